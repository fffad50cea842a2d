"""CREATE, DROP and USE, carried out on a store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.definitions import define

if TYPE_CHECKING:
    from airflow_provider_mlfeat.tables.store import TableStore

DEFINING = (
    *(s.UseDatabase, s.CreateDatabase, s.DropDatabase, s.CreateTable, s.CreateTableLike, s.DropTable),
    *(s.CreateIndex, s.DropIndex),
)


class Definer:
    """Carries out statements that define, so that a script may run again.

    What a CREATE names and what exists with the very same definition is left as it is: that is the state that the
    script asks for. What exists with another definition is an error, as in the language.

    :param store: where the tables are.
    :param database: the current database at the beginning; it is created when it does not exist.
    """

    def __init__(self, store: TableStore, database: str = "") -> None:
        from airflow_provider_mlfeat.tables.definitions import create_database, load_catalog

        self.store = store
        self.catalog: Catalog = load_catalog(store)
        self.database = database
        self.created: list[str] = []
        self.existing: list[str] = []
        if database:
            create_database(store, database, if_not_exists=True)
            self.catalog.add_database(database)
            self.database = self.catalog.resolve_database(database)

    def define(self, statement: s.Statement) -> str:
        """Carry out one statement; what it did, for the log."""
        match statement:
            case s.UseDatabase():
                self.database = self.catalog.resolve_database(statement.name)
                return f"database '{self.database}'"
            case s.CreateDatabase():
                return self._create_database(statement)
            case s.DropDatabase():
                return self._drop_database(statement)
            case s.CreateTable():
                return self._create_table(statement.table, statement.if_not_exists)
            case s.CreateTableLike():
                return self._create_table_like(statement)
            case s.DropTable():
                return self._drop_table(statement)
            case s.CreateIndex() | s.DropIndex():
                return self._change_index(statement)
        raise AssertionError(f"{type(statement).__name__} defines nothing")

    def _create_database(self, statement: s.CreateDatabase) -> str:
        from airflow_provider_mlfeat.tables.definitions import create_database

        if statement.name.lower() in (name.lower() for name in self.catalog.databases):
            return f"database '{statement.name}' is there"
        create_database(self.store, statement.name, if_not_exists=True)
        self.catalog.add_database(statement.name)
        return f"database '{statement.name}' created"

    def _drop_database(self, statement: s.DropDatabase) -> str:
        from airflow_provider_mlfeat.tables.definitions import drop_database

        define(statement, self.catalog, self.database)
        drop_database(self.store, statement.name, if_exists=True)
        if self.database.lower() == statement.name.lower():
            self.database = ""
        return f"database '{statement.name}' dropped"

    def _create_table(self, table: TableDefinition, if_not_exists: bool) -> str:
        from airflow_provider_mlfeat.tables.definitions import create_table

        table = replace(table, database=self.catalog.resolve_database(table.database or self.database))
        name = table.qualified_name
        found = self.catalog.find_table(table.database, table.name)
        if found is None:
            create_table(self.store, table)
            self.catalog.add_table(table)
            self.created.append(name)
            return f"table '{name}' created"
        difference = _difference(found, table)
        if difference and not if_not_exists:
            raise UserError(f"table '{name}' exists already and {difference}; drop it, or write the same definition")
        self.existing.append(name)
        return f"table '{name}' is there" + (f"; {difference}" if difference else "")

    def _create_table_like(self, statement: s.CreateTableLike) -> str:
        from airflow_provider_mlfeat.jobs.query.tables import columns_of_source

        table = TableDefinition(statement.table.database, statement.table.name, columns_of_source(statement))
        return self._create_table(table, statement.if_not_exists)

    def _drop_table(self, statement: s.DropTable) -> str:
        from airflow_provider_mlfeat.tables.definitions import drop

        define(statement, self.catalog, self.database)
        database = statement.table.database or self.database
        drop(self.store, database, statement.table.name, if_exists=True)
        return f"table '{statement.table}' dropped"

    def _change_index(self, statement: s.CreateIndex | s.DropIndex) -> str:
        from airflow_provider_mlfeat.tables.definitions import alter_definition

        database = statement.table.database or self.database
        table = self.catalog.get_table(database, statement.table.name)
        if isinstance(statement, s.CreateIndex) and statement.index in table.indexes:
            return f"index '{statement.index.name}' is there"
        define(statement, self.catalog, self.database)
        alter_definition(self.store, self.catalog.get_table(database, statement.table.name))
        return f"indexes of '{table.qualified_name}' changed"


def _difference(found: TableDefinition, wanted: TableDefinition) -> str:
    """How a table differs from a statement; empty when it does not."""
    if [column.name for column in found.columns] != [column.name for column in wanted.columns]:
        return f"has the columns {', '.join(column.name for column in found.columns)}"
    for one, other in zip(found.columns, wanted.columns, strict=True):
        if one != other:
            return f"its column '{one.name}' is {_described(one)}, not {_described(other)}"
    if found.indexes != wanted.indexes:
        return "has other indexes"
    return "" if dict(found.options) == dict(wanted.options) else "has other options"


def _described(column: ColumnDefinition) -> str:
    default = f" DEFAULT {column.default!r}" if column.has_default else ""
    return f"{column.type}{' NOT NULL' if column.not_null else ''}{default}"
