"""What stands behind a table of a query: files, a Delta table at a version, a stored table, Spark's, or Arrow's.

A source is written as text: a path, ``delta:PATH@3``, ``table:database.name@3`` or ``spark:name``; an Arrow table is
given in Python. Opened, it is what the drivers read, with columns in the language's types and a fingerprint of the
rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.exceptions import TableNotFoundError

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.types import DataType, Kind
from airflow_provider_mlfeat.tables import delta as delta_tables
from airflow_provider_mlfeat.tables import versions
from airflow_provider_mlfeat.tables.conform import Conformer
from airflow_provider_mlfeat.tables.definitions import definition_of
from airflow_provider_mlfeat.tables.formats.opening import open_reader
from airflow_provider_mlfeat.tables.load_options import LoadOptions
from airflow_provider_mlfeat.tables.matching import match_columns
from airflow_provider_mlfeat.tables.source_files import SourceFile, find_files
from airflow_provider_mlfeat.tables.store import TableStore, storage_errors
from airflow_provider_mlfeat.tables.texts import Texts

SourceKind = Literal["files", "delta", "table", "spark", "arrow"]
_PREFIXES: tuple[SourceKind, ...] = ("delta", "table", "spark")
_KINDS = (
    (pa.types.is_boolean, Kind.BOOL),
    (lambda type_: type_ in (pa.int8(), pa.uint8(), pa.int16()), Kind.SMALLINT),
    (lambda type_: type_ in (pa.uint16(), pa.int32()), Kind.INT),
    (lambda type_: type_ in (pa.uint32(), pa.int64()), Kind.BIGINT),
    (lambda type_: type_ in (pa.float16(), pa.float32()), Kind.FLOAT),
    (pa.types.is_float64, Kind.DOUBLE),
    (lambda type_: type_ in (pa.string(), pa.large_string(), pa.string_view()), Kind.STRING),
    (pa.types.is_date, Kind.DATE),
    (pa.types.is_timestamp, Kind.TIMESTAMP),
)


@dataclass(frozen=True, slots=True)
class TableSource:
    """What a query's table is bound to.

    :param kind: which sort of thing.
    :param place: the path or name; '' for an Arrow table.
    :param version: of a Delta or stored table; None is the newest.
    :param arrow: the Arrow table.
    """

    kind: SourceKind
    place: str = ""
    version: int | None = None
    arrow: pa.Table | None = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> TableSource:
        """The source that a text means."""
        prefix, colon, rest = text.partition(":")
        kind = next((kind for kind in _PREFIXES if kind == prefix and colon), None)
        if kind is None or rest.startswith("//"):
            if not text:
                raise UserError("a table is bound to nothing: give a path, delta:PATH@VERSION or table:NAME@VERSION")
            return cls("files", text)
        place, at, number = rest.rpartition("@")
        if kind == "spark" or not at:
            place, number = rest, ""
        if not place or (at and kind != "spark" and not number.isdigit()):
            raise UserError(f"'{text}' names no table: write {kind}:{'PATH' if kind == 'delta' else 'NAME'}@VERSION")
        return cls(kind, place, int(number) if number else None)

    def __str__(self) -> str:
        prefix = "" if self.kind == "files" else f"{self.kind}:"
        return f"{prefix}{self.place}" + (f"@{self.version}" if self.version is not None else "")


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source, ready to be read.

    :param source: what was asked for; a version is always told where there are versions.
    :param definition: its columns in the language's types; None for a Spark table, which Spark alone knows.
    :param data: what the batch driver reads; None for a Spark table.
    :param parquet: the Parquet files behind it, in order, when it is nothing else than these.
    :param fingerprint: equal for equal rows of the same files; of a Spark table only the name is known.
    """

    source: TableSource
    definition: TableDefinition | None
    data: pa.Table | ds.Dataset | None = field(repr=False)
    parquet: tuple[str, ...] | None
    fingerprint: str


def open_source(
    source: TableSource,
    store: TableStore | None = None,
    definition: TableDefinition | None = None,
    storage_options: Mapping[str, str] | None = None,
    options: LoadOptions | None = None,
) -> OpenedSource:
    """Open what a table is bound to.

    :param source: what.
    :param store: where stored tables are.
    :param definition: the table's definition when a script declares it; csv and json lines take their types from it.
    :param storage_options: access to an object store for paths; None is the store's.
    :param options: how csv files are written.
    """
    given = storage_options if storage_options is not None else store.storage_options if store is not None else {}
    match source.kind:
        case "arrow":
            assert source.arrow is not None
            found = definition or define("", source.arrow.schema, "the Arrow table")
            return OpenedSource(source, found, source.arrow, None, _digest_arrow(source.arrow))
        case "spark":
            return OpenedSource(source, definition, None, None, files.digest_text(f"spark:{source.place}"))
        case "files":
            return _open_files(source, definition, given, options)
        case "delta":
            try:
                delta = delta_tables.open_delta(source.place, dict(given), source.version)
            except TableNotFoundError:
                raise UserError(f"there is no Delta table at '{source.place}'") from None
        case "table":
            if store is None:
                raise UserError(f"'{source}' needs the root of the tables")
            database, _, name = source.place.rpartition(".")
            delta = delta_tables.open_table(store, database, name, source.version)
    exact = TableSource(source.kind, source.place, delta.version())
    data = versions.dataset_of(delta, dict(given))
    paths = tuple(versions.files_of(delta)) if not delta.metadata().partition_columns else None
    return OpenedSource(exact, definition_of(delta), data, paths, versions.fingerprint(delta))


def define(name: str, schema: pa.Schema, where: str) -> TableDefinition:
    """A table of an Arrow schema's columns.

    :param name: the table's.
    :param schema: its columns.
    :param where: for the message about a type that the language does not have.
    """
    columns = []
    for column in schema:
        type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        kind = next((kind for holds, kind in _KINDS if holds(type_)), None)
        if kind is None:
            message = f"column '{column.name}' of {where} has type {type_}, which the feature language does not have"
            raise UserError(message)
        columns.append(ColumnDefinition(column.name, DataType(kind), not column.nullable))
    return TableDefinition("", name, tuple(columns))


def _open_files(
    source: TableSource,
    definition: TableDefinition | None,
    storage_options: Mapping[str, str],
    options: LoadOptions | None,
) -> OpenedSource:
    found = find_files(source.place, storage_options)
    suffixes = found[0].name.lower().removesuffix(".gz").rsplit(".", 1)
    form = {"csv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "orc": "orc"}.get(suffixes[-1], "parquet")
    with storage_errors(f"reading '{source.place}'"):
        fingerprint = files.digest_text("\n".join(_digest_file(file) for file in found))
    if form == "parquet":
        readers = [open_reader(file, LoadOptions(format="parquet"), TableDefinition("", "", ())) for file in found]
        schema = pa.schema(list(zip(readers[0].names, readers[0].types or (), strict=True)))
        fragments = [ds.ParquetFileFormat().make_fragment(file.path, filesystem=file.system) for file in found]
        data: Any = ds.FileSystemDataset(fragments, schema, ds.ParquetFileFormat(), found[0].system)
        made = definition or define("", schema, f"'{found[0].name}'")
        return OpenedSource(source, made, data, tuple(file.name for file in found), fingerprint)
    if definition is None:
        raise UserError(f"'{source.place}' is text: CREATE TABLE must say its columns' types")
    return OpenedSource(source, definition, _read_all(found, definition, options, form), None, fingerprint)


def _read_all(
    found: Sequence[SourceFile], definition: TableDefinition, options: LoadOptions | None, form: Any
) -> pa.Table:
    """The rows of text or ORC files; the first bad one is an error."""
    chosen = options or LoadOptions(format=form)
    texts = Texts(chosen.time_zone)
    tables = []
    for file in found:
        reader = open_reader(file, chosen, definition)
        by_order = chosen.positional or not reader.has_names
        conform = Conformer(definition, match_columns(definition, reader.names, file.name, by_order), texts)
        if reader.types is not None:
            conform.check_types(reader.types, file.name)
        first = 0
        for part in reader.parts(1):
            for chunk in reader.chunks(part, conform):
                if chunk.rejected:
                    bad = chunk.rejected[0]
                    where = f"'{file.name}' row {first + bad.row + 1}"
                    where += f", column '{bad.column}': '{bad.value}'" if bad.column else ""
                    raise UserError(f"{where} {bad.reason}")
                first += chunk.rows
                tables.append(chunk.good)
    return pa.concat_tables(tables) if tables else conform.schema.empty_table()


def _digest_file(file: SourceFile) -> str:
    with file.system.open_input_stream(file.path) as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _digest_arrow(table: pa.Table) -> str:
    digest = hashlib.sha256(str(table.schema).encode())
    for batch in table.combine_chunks().to_batches():
        digest.update(batch.serialize())
    return digest.hexdigest()
