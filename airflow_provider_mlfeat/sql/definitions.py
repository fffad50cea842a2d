"""What defining statements do to a catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

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
    definer = _Definer(catalog, database)
    try:
        definer.define(statement)
    except SqlError as error:
        error.position = error.position or statement.position
        raise
    return definer.database


class _Definer:
    """One method per kind of statement.

    :param catalog: what statements change.
    :param database: the current database; USE changes it.
    """

    def __init__(self, catalog: Catalog, database: str) -> None:
        self.catalog = catalog
        self.database = database
        self._handlers: dict[type[s.Statement], Callable[[Any], None]] = {
            s.UseDatabase: self._use,
            s.CreateDatabase: self._create_database,
            s.DropDatabase: self._drop_database,
            s.CreateTable: self._create_table,
            s.DropTable: self._drop_table,
            s.CreateIndex: self._create_index,
            s.DropIndex: self._drop_index,
            s.Insert: self._insert,
            s.Delete: self._delete,
            s.LoadData: self._need_table,
            s.DescribeTable: self._need_table,
            s.ShowCreateTable: self._need_table,
            s.TruncateTable: self._need_table,
        }

    def define(self, statement: s.Statement) -> None:
        handler = self._handlers.get(type(statement))
        if handler is not None:
            handler(statement)

    # ── databases ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _use(self, statement: s.UseDatabase) -> None:
        self.database = self.catalog.resolve_database(statement.name)

    def _has_database(self, name: str) -> bool:
        return name.lower() in (known.lower() for known in self.catalog.databases)

    def _create_database(self, statement: s.CreateDatabase) -> None:
        if self._has_database(statement.name) and not statement.if_not_exists:
            raise SqlNameError(f"database '{statement.name}' exists already")
        self.catalog.add_database(statement.name)

    def _drop_database(self, statement: s.DropDatabase) -> None:
        if self._has_database(statement.name) or not statement.if_exists:
            self.catalog.drop_database(statement.name)

    # ── tables and indexes ──────────────────────────────────────────────────────────────────────────────────────────

    def _table(self, name: s.TableName) -> TableDefinition:
        return self.catalog.get_table(name.database or self.database, name.name)

    def _need_table(self, statement: s.LoadData | s.DescribeTable | s.ShowCreateTable | s.TruncateTable) -> None:
        self._table(statement.table)

    def _create_table(self, statement: s.CreateTable) -> None:
        database = self.catalog.resolve_database(statement.table.database or self.database)
        if self.catalog.find_table(database, statement.table.name) is None:
            self.catalog.add_table(replace(statement.table, database=database))
        elif not statement.if_not_exists:
            raise SqlNameError(f"table '{statement.table.name}' exists already")

    def _drop_table(self, statement: s.DropTable) -> None:
        name, database = statement.table, statement.table.database or self.database
        if self.catalog.find_table(database, name.name) or not statement.if_exists:
            self.catalog.drop_table(database, name.name)

    def _create_index(self, statement: s.CreateIndex) -> None:
        table = self._table(statement.table)
        if any(index.name.lower() == statement.index.name.lower() for index in table.indexes):
            raise SqlNameError(f"index '{statement.index.name}' of table '{table.name}' exists already")
        check_index(statement.index, table.columns, statement.position)
        self.catalog.add_table(replace(table, indexes=(*table.indexes, statement.index)))

    def _drop_index(self, statement: s.DropIndex) -> None:
        table = self._table(statement.table)
        kept = tuple(index for index in table.indexes if index.name.lower() != statement.name.lower())
        if len(kept) == len(table.indexes):
            suggestion = nearest_name(statement.name, [index.name for index in table.indexes])
            raise SqlNameError(f"table '{table.name}' has no index '{statement.name}'", suggestion=suggestion)
        self.catalog.add_table(replace(table, indexes=kept))

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _delete(self, statement: s.Delete) -> None:
        table = self._table(statement.table)
        for column, _, _ in statement.conditions:
            _check_column(table, column)

    def _insert(self, statement: s.Insert) -> None:
        """The columns exist, each row gives a value for each, and what has no default is given."""
        table = self._table(statement.table)
        for name in statement.columns:
            _check_column(table, name)
        given = {name.lower() for name in statement.columns} or {column.name.lower() for column in table.columns}
        if len(statement.rows[0]) != len(given):
            raise SqlError(f"{len(statement.rows[0])} values are given for {len(given)} columns of '{table.name}'")
        for column in table.columns:
            if column.not_null and not column.has_default and column.name.lower() not in given:
                raise SqlError(f"column '{column.name}' is NOT NULL and is given no value")


def _check_column(table: TableDefinition, name: str) -> None:
    if table.find_column(name) is None:
        suggestion = nearest_name(name, [column.name for column in table.columns])
        raise SqlNameError(f"unknown column '{name}' in table '{table.name}'", suggestion=suggestion)
