"""What defining statements do to a catalog."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.catalog import Catalog, TableDefinition
from airflow_provider_mlfeat.sql.errors import SqlError, SqlNameError, nearest_name
from airflow_provider_mlfeat.sql.table_parser import check_index


def define(statement: s.Statement, catalog: Catalog, database: str = "") -> str:
    """Carry out a statement that creates, drops or chooses databases, tables and indexes.

    Statements about the rows of a table change nothing, but the table and its columns must be there.

    :param statement: the statement.
    :param catalog: what it changes.
    :param database: the current database.
    :return: the current database afterwards.
    """
    try:
        return _define(statement, catalog, database)
    except SqlError as error:
        error.position = error.position or statement.position
        raise


def _define(statement: s.Statement, catalog: Catalog, database: str) -> str:
    match statement:
        case s.UseDatabase():
            return catalog.resolve_database(statement.name)
        case s.CreateDatabase():
            exists = statement.name.lower() in (name.lower() for name in catalog.databases)
            if exists and not statement.if_not_exists:
                raise SqlNameError(f"database '{statement.name}' exists already")
            catalog.add_database(statement.name)
        case s.DropDatabase():
            known = statement.name.lower() in (name.lower() for name in catalog.databases)
            if known or not statement.if_exists:
                catalog.drop_database(statement.name)
        case s.CreateTable():
            _create_table(statement, catalog, statement.table.database or database)
        case s.DropTable():
            name = statement.table
            if catalog.find_table(name.database or database, name.name) or not statement.if_exists:
                catalog.drop_table(name.database or database, name.name)
        case s.CreateIndex():
            table = _table(statement.table, catalog, database)
            if any(index.name.lower() == statement.index.name.lower() for index in table.indexes):
                raise SqlNameError(f"index '{statement.index.name}' of table '{table.name}' exists already")
            check_index(statement.index, table.columns, statement.position)
            catalog.add_table(replace(table, indexes=(*table.indexes, statement.index)))
        case s.Insert():
            _check_columns(_table(statement.table, catalog, database), statement)
        case s.Delete():
            table = _table(statement.table, catalog, database)
            for column, _, _ in statement.conditions:
                _check_column(table, column)
        case s.LoadData() | s.DescribeTable() | s.ShowCreateTable() | s.TruncateTable():
            _table(statement.table, catalog, database)
        case s.DropIndex():
            table = _table(statement.table, catalog, database)
            kept = tuple(index for index in table.indexes if index.name.lower() != statement.name.lower())
            if len(kept) == len(table.indexes):
                suggestion = nearest_name(statement.name, [index.name for index in table.indexes])
                raise SqlNameError(f"table '{table.name}' has no index '{statement.name}'", suggestion=suggestion)
            catalog.add_table(replace(table, indexes=kept))
    return database


def _table(name: s.TableName, catalog: Catalog, database: str) -> TableDefinition:
    return catalog.get_table(name.database or database, name.name)


def _check_column(table: TableDefinition, name: str) -> None:
    if table.find_column(name) is None:
        suggestion = nearest_name(name, [column.name for column in table.columns])
        raise SqlNameError(f"unknown column '{name}' in table '{table.name}'", suggestion=suggestion)


def _check_columns(table: TableDefinition, statement: s.Insert) -> None:
    """The columns exist, each row gives a value for each, and what has no default is given."""
    for name in statement.columns:
        _check_column(table, name)
    given = {name.lower() for name in statement.columns} or {column.name.lower() for column in table.columns}
    if len(statement.rows[0]) != len(given):
        raise SqlError(f"INSERT gives {len(statement.rows[0])} values for {len(given)} columns of '{table.name}'")
    for column in table.columns:
        if column.not_null and not column.has_default and column.name.lower() not in given:
            raise SqlError(f"INSERT gives no value for column '{column.name}', which is NOT NULL")


def _create_table(statement: s.CreateTable, catalog: Catalog, database: str) -> None:
    database = catalog.resolve_database(database)
    if catalog.find_table(database, statement.table.name) is None:
        catalog.add_table(replace(statement.table, database=database))
    elif not statement.if_not_exists:
        raise SqlNameError(f"table '{statement.table.name}' exists already")
