"""DESC and SHOW, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.jobs.tables.display import text_table
from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, IndexDefinition, TableDefinition

if TYPE_CHECKING:
    from airflow_provider_mlfeat.jobs.tables.definer import Definer
    from airflow_provider_mlfeat.tables.store import TableStore


def show(
    statement: s.Statement,
    store: TableStore,
    definer: Definer,
    variables: Mapping[str, Any],
    jobs: Sequence[tuple[int, str, str]],
) -> str:
    """What a statement asks to see.

    :param statement: DESC or SHOW.
    :param store: where the tables are.
    :param definer: knows catalog and current database.
    :param variables: of the session.
    :param jobs: number, type and text of the loads and exports that this script has run.
    """
    catalog, database = definer.catalog, definer.database
    match statement:
        case s.ShowDatabases():
            return text_table(["Databases"], [[name] for name in catalog.databases if name])
        case s.ShowTables():
            return text_table(["Tables"], [[table.name] for table in catalog.tables(database)])
        case s.ShowTableStatus():
            return _status(store, catalog.tables(database))
        case s.ShowVariables():
            return text_table(["Variable_name", "Value"], sorted(variables.items()))
        case s.ShowJobs():
            rows = [[number, kind, "FINISHED", " ".join(text.split())] for number, kind, text in jobs]
            return text_table(["job_id", "job_type", "state", "parameter"], rows)
        case s.DescribeTable() | s.ShowCreateTable():
            table = catalog.get_table(statement.table.database or database, statement.table.name)
            return create_statement(table) if isinstance(statement, s.ShowCreateTable) else describe_table(table)
    raise AssertionError(f"{type(statement).__name__} shows nothing")


def describe_table(table: TableDefinition) -> str:
    """Columns and indexes of a table."""
    columns = [
        [number, column.name, str(column.type), "NO" if column.not_null else "YES", _default(column)]
        for number, column in enumerate(table.columns, 1)
    ]
    text = text_table(["#", "Field", "Type", "Null", "Default"], columns)
    if not table.indexes:
        return text
    indexes = [
        [number, index.name, "|".join(index.keys), index.ts or "-", _ttl(index), index.ttl_type.value]
        for number, index in enumerate(table.indexes, 1)
    ]
    return f"{text}\n\n{text_table(['#', 'name', 'keys', 'ts', 'ttl', 'ttl_type'], indexes)}"


def create_statement(table: TableDefinition) -> str:
    """The CREATE TABLE statement of a table."""
    parts = []
    for column in table.columns:
        default = f" DEFAULT {_literal(column.default)}" if column.has_default else ""
        parts.append(f"  `{column.name}` {column.type}{' NOT NULL' if column.not_null else ''}{default}")
    for index in table.indexes:
        keys = ", ".join(f"`{key}`" for key in index.keys)
        order = f", TS=`{index.ts}`" if index.ts else ""
        parts.append(f"  INDEX (KEY=({keys}){order}, TTL_TYPE={index.ttl_type.value}, TTL={_ttl(index)})")
    options = ", ".join(f"{name.upper()}={_literal(value)}" for name, value in table.options.items())
    end = f" OPTIONS ({options})" if options else ""
    return f"CREATE TABLE `{table.name}` (\n" + ",\n".join(parts) + f"\n){end};"


def _status(store: TableStore, tables: Sequence[TableDefinition]) -> str:
    from airflow_provider_mlfeat.tables.versions import current

    rows = []
    for table in tables:
        version = current(store, table.database, table.name)
        when = version.committed_at.isoformat(timespec="seconds")
        rows.append([table.name, table.database or "-", version.version, version.rows, when])
    return text_table(["Table_name", "Database_name", "Version", "Rows", "Changed"], rows)


def _default(column: ColumnDefinition) -> str:
    return _literal(column.default) if column.has_default else ""


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" if isinstance(value, str) else str(value)


def _ttl(index: IndexDefinition) -> str:
    """The limits as the language writes them."""
    age = f"{index.ttl_ms // 60_000}m"
    match index.ttl_type.value:
        case "latest":
            return str(index.ttl_rows)
        case "absolute":
            return age
    return f"({age}, {index.ttl_rows})"
