"""What tables are: their definitions in the language's terms, kept beside the data, and the catalog made of them.

A definition is a property of the Delta table, so it is versioned with it. Types follow from it: a timestamp is Delta's
`timestamp` (microseconds, UTC), because the language's timestamp is a point in time.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow import fs

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.catalog import (
    DEFAULT_DATABASE,
    Catalog,
    ColumnDefinition,
    IndexDefinition,
    TableDefinition,
    TtlType,
)
from airflow_provider_mlfeat.sql.types import DataType, Kind, parse_type
from airflow_provider_mlfeat.tables.delta import folders, open_table
from airflow_provider_mlfeat.tables.store import DEFAULT_FOLDER, TableStore, storage_errors
from airflow_provider_mlfeat.tables.versions import TableVersion, current

DEFINITION = "mlfeat.definition"
_DATABASE_FILE = "_database.json"
_ARROW_TYPES = {
    Kind.BOOL: pa.bool_(),
    Kind.SMALLINT: pa.int16(),
    Kind.INT: pa.int32(),
    Kind.BIGINT: pa.int64(),
    Kind.FLOAT: pa.float32(),
    Kind.DOUBLE: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
}
_OTHER_TYPES = {pa.int8(): Kind.SMALLINT, pa.timestamp("us"): Kind.TIMESTAMP, pa.large_string(): Kind.STRING}
_OTHER_TYPES |= {pa.string_view(): Kind.STRING}
_KINDS = {type_: kind for kind, type_ in _ARROW_TYPES.items()} | _OTHER_TYPES


def arrow_type(data_type: DataType) -> pa.DataType:
    """How a column of this type is stored; raises UserError for a type that a table cannot hold."""
    try:
        return _ARROW_TYPES[data_type.kind]
    except KeyError:
        raise UserError(f"a table cannot have a column of type {data_type}") from None


def arrow_schema(definition: TableDefinition) -> pa.Schema:
    """The schema of a table's files."""
    return pa.schema(
        [pa.field(column.name, arrow_type(column.type), not column.not_null) for column in definition.columns]
    )


def to_document(definition: TableDefinition) -> dict[str, Any]:
    """The JSON form of a definition."""
    return {
        "database": definition.database,
        "name": definition.name,
        "columns": [
            {"name": column.name, "type": str(column.type), "not_null": column.not_null}
            | ({"default": column.default} if column.has_default else {})
            for column in definition.columns
        ],
        "indexes": [
            {
                "name": index.name,
                "keys": list(index.keys),
                "ts": index.ts,
                "ttl_type": index.ttl_type.value,
                "ttl_ms": index.ttl_ms,
                "ttl_rows": index.ttl_rows,
            }
            for index in definition.indexes
        ],
        "options": dict(definition.options),
    }


def from_document(document: dict[str, Any]) -> TableDefinition:
    """The definition of a JSON form."""
    return TableDefinition(
        document["database"],
        document["name"],
        tuple(
            ColumnDefinition(
                column["name"],
                parse_type(column["type"]),
                column["not_null"],
                column.get("default"),
                "default" in column,
            )
            for column in document["columns"]
        ),
        tuple(
            IndexDefinition(
                index["name"],
                tuple(index["keys"]),
                index["ts"],
                TtlType(index["ttl_type"]),
                index["ttl_ms"],
                index["ttl_rows"],
            )
            for index in document["indexes"]
        ),
        document["options"],
    )


def create_database(store: TableStore, name: str, if_not_exists: bool = False) -> None:
    """Create a database.

    :param store: where.
    :param name: its name; it is kept as declared.
    :param if_not_exists: do nothing when there is one of that name.
    """
    if name.lower() in (known.lower() for known in _databases(store).values()):
        if not if_not_exists:
            raise UserError(f"database '{name}' exists already")
        return
    uri = store.database_uri(name)
    with storage_errors(f"creating database '{name}'"):
        _ensure_folder(store, uri)
        with store.filesystem(uri).open_output_stream(_DATABASE_FILE) as file:
            file.write(json.dumps({"name": name}).encode())


def drop_database(store: TableStore, name: str, if_exists: bool = False) -> None:
    """Drop a database with all its tables; parameters are those of `drop`."""
    if name.lower() not in (known.lower() for known in _databases(store).values()):
        if not if_exists:
            raise UserError(f"there is no database '{name}'")
        return
    for table in load_catalog(store).tables(name):
        drop(store, name, table.name)
    with storage_errors(f"dropping database '{name}'"):
        _remove(store, store.database_uri(name))


def create_table(store: TableStore, definition: TableDefinition, if_not_exists: bool = False) -> TableVersion:
    """Create an empty table.

    :param store: where.
    :param definition: what it is; its database must exist, the default one always does.
    :param if_not_exists: do nothing when there is a table of that name.
    :return: its first version, or the current one of the table that was there.
    """
    database = definition.database
    if database and database.lower() not in (known.lower() for known in _databases(store).values()):
        raise UserError(f"there is no database '{database}'; CREATE DATABASE {database} makes it")
    uri = store.uri(database, definition.name)
    schema = arrow_schema(definition)
    with storage_errors(f"creating table '{definition.qualified_name}'"):
        if DeltaTable.is_deltatable(uri, store.options()):
            if not if_not_exists:
                raise UserError(f"table '{definition.qualified_name}' exists already")
            return current(store, database, definition.name)
        _ensure_folder(store, uri)
        try:
            DeltaTable.create(
                uri,
                schema,
                name=definition.name,
                configuration={DEFINITION: files.canonical_json(to_document(definition))},
                storage_options=store.options(),
                raise_if_key_not_exists=False,
            )
        except DeltaError:
            # Somebody else may have been first.
            if not DeltaTable.is_deltatable(uri, store.options()):
                raise
            if not if_not_exists:
                raise UserError(f"table '{definition.qualified_name}' exists already") from None
    return current(store, database, definition.name)


def alter_definition(store: TableStore, definition: TableDefinition) -> TableVersion:
    """Keep a changed definition of the same columns: other indexes or options, as a new version."""
    table = open_table(store, definition.database, definition.name)
    old = definition_of(table, definition.database)
    if [column.name for column in old.columns] != [column.name for column in definition.columns]:
        raise UserError(f"the columns of '{definition.qualified_name}' cannot change; only its indexes and options can")
    with storage_errors(f"changing table '{definition.qualified_name}'"):
        text = files.canonical_json(to_document(definition))
        table.alter.set_table_properties({DEFINITION: text}, raise_if_not_exists=False)
    return current(store, definition.database, definition.name)


def drop(store: TableStore, database: str, table: str, if_exists: bool = False) -> None:
    """Drop a table with all its versions.

    :param store: where.
    :param database: its database; '' is the default one.
    :param table: its name.
    :param if_exists: do nothing when there is none.
    """
    uri = store.uri(database, table)
    with storage_errors(f"dropping table '{table}'"):
        if not DeltaTable.is_deltatable(uri, store.options()):
            if not if_exists:
                open_table(store, database, table)
            return
        _remove(store, uri)


def read_definition(store: TableStore, database: str, table: str, version: int | None = None) -> TableDefinition:
    """What a table is, at a version or now."""
    return definition_of(open_table(store, database, table, version), database)


def definition_of(table: DeltaTable, database: str = DEFAULT_DATABASE) -> TableDefinition:
    """The definition that a Delta table carries; one that was made elsewhere is defined by its schema."""
    metadata = table.metadata()
    text = metadata.configuration.get(DEFINITION)
    if text is not None:
        return from_document(json.loads(text))
    name = metadata.name or table.table_uri.rstrip("/").rsplit("/", 1)[-1]
    columns = []
    for field in pa.schema(table.schema().to_arrow()):
        kind = _KINDS.get(field.type)
        if kind is None:
            message = f"column '{field.name}' of '{name}' has type {field.type}, which the language does not have"
            raise UserError(message)
        columns.append(ColumnDefinition(field.name, DataType(kind), not field.nullable))
    return TableDefinition(database, name, tuple(columns))


def load_catalog(store: TableStore) -> Catalog:
    """All databases and tables of a store, in the order of their names."""
    catalog = Catalog()
    with storage_errors(f"looking at '{store.root}'"):
        databases = {
            folder: (name, folders(store, f"{store.root}/{folder}")) for folder, name in _databases(store).items()
        }
    for folder, (database, tables) in sorted(databases.items()):
        catalog.add_database(database)
        for table in tables:
            uri = f"{store.root}/{folder}/{table}"
            with storage_errors(f"looking at '{uri}'"):
                if DeltaTable.is_deltatable(uri, store.options()):
                    definition = definition_of(DeltaTable(uri, storage_options=store.options()), database)
                    catalog.add_table(replace(definition, database=database))
    return catalog


def _databases(store: TableStore) -> dict[str, str]:
    """Names of the databases, as declared, by their folders."""
    found = {DEFAULT_FOLDER: DEFAULT_DATABASE}
    for folder in folders(store, store.root):
        if folder != DEFAULT_FOLDER:
            try:
                with store.filesystem(f"{store.root}/{folder}").open_input_stream(_DATABASE_FILE) as file:
                    found[folder] = json.loads(file.read())["name"]
            except FileNotFoundError:
                continue
    return found


def _ensure_folder(store: TableStore, uri: str) -> None:
    if store.is_local:
        Path(uri).mkdir(parents=True, exist_ok=True)


def _remove(store: TableStore, uri: str) -> None:
    """Take a place away: a rename on a file system, the log first where there is none."""
    if store.is_local:
        gone = Path(store.root) / f".dropped-{uuid4().hex}"
        Path(uri).rename(gone)
        files.remove(gone)
        return
    system = store.filesystem(uri)
    paths = [info.path for info in system.get_file_info(fs.FileSelector("", recursive=True)) if info.is_file]
    for path in sorted(paths, key=lambda path: not path.startswith("_delta_log/")):
        system.delete_file(path)
