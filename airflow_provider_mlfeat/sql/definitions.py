"""What defining statements do to a catalog."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.catalog import Catalog, TableDefinition
from airflow_provider_mlfeat.sql.errors import SqlError, SqlNameError, nearest_name
from airflow_provider_mlfeat.sql.table_parser import check_index


def define(statement: s.Statement, catalog: Catalog, database: str = "") -> str:
    """Carry out a statement that creates, drops or chooses databases, tables and indexes; others change nothing.

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


def _create_table(statement: s.CreateTable, catalog: Catalog, database: str) -> None:
    database = catalog.resolve_database(database)
    if catalog.find_table(database, statement.table.name) is None:
        catalog.add_table(replace(statement.table, database=database))
    elif not statement.if_not_exists:
        raise SqlNameError(f"table '{statement.table.name}' exists already")
