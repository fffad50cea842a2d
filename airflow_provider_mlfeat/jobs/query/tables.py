"""Files as the tables of a query."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import csv

from airflow_provider_mlfeat.engine.column import Column, arrow_type
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, compile_expression
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference
from airflow_provider_mlfeat.sql.statements import CreateTable, CreateTableLike, Statement
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    DataType,
)

TableName = tuple[str, str]


def parse_bindings(given: list[str]) -> dict[str, str]:
    """``NAME=PATH`` texts as a mapping."""
    bindings = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not (name and separator and path):
            raise UserError(f"--table takes NAME=PATH, not '{text}'")
        if name in bindings:
            raise UserError(f"--table '{name}' is given twice")
        bindings[name] = path
    return bindings


class BoundTables:
    """The files behind the tables of a script.

    A name means the table that the script creates, whose types then hold; a table that the script does not create gets
    its columns from the file.

    :param bindings: path of each table; names may be qualified by a database.
    :param statements: the script, for the tables that it creates.
    :param database: database of unqualified names that the script does not create.
    """

    def __init__(self, bindings: Mapping[str, str], statements: tuple[Statement, ...], database: str = "") -> None:
        self._paths: dict[TableName, str] = {}
        self._read: dict[TableName, pa.Table] = {}
        self.catalog = Catalog()
        created = [statement.table for statement in statements if isinstance(statement, CreateTable)]
        created += [_like(statement) for statement in statements if isinstance(statement, CreateTableLike)]
        for name, path in bindings.items():
            found = _created(name, created)
            if found is None:
                found = self._inferred(name, path, database)
                self.catalog.add_table(found)
            self._paths[found.database.lower(), found.name.lower()] = path

    def _inferred(self, name: str, path: str, database: str) -> TableDefinition:
        qualifier, _, table = name.rpartition(".")
        fields = _schema(path)
        columns = tuple(ColumnDefinition(field.name, type_of(field, path)) for field in fields)
        return TableDefinition(qualifier or database, table, columns)

    def for_plan(self, sources: Mapping[TableName, Any], time_zone: str) -> dict[TableName, Any]:
        """What a driver reads for each of a plan's tables.

        :param sources: schema of each table that the plan reads.
        :param time_zone: the zone of points in time that are written as text.
        """
        return {table: self._table(table, schema, time_zone) for table, schema in sources.items()}

    def _table(self, table: TableName, schema: Any, time_zone: str) -> Any:
        database, name = table
        # A script may create its tables in a database that it uses; its bindings need not repeat that.
        path = self._paths.get((database.lower(), name.lower())) or self._paths.get(("", name.lower()))
        if path is None:
            shown = ".".join(filter(None, table))
            raise UserError(f"no data for table '{shown}': give --table {shown}=PATH")
        if not path.endswith((".csv", ".csv.gz")):
            return path if Path(path).exists() else ds.dataset(files_of(path), format="parquet")
        if table not in self._read:
            self._read[table] = _read_csv(path, {column.name: column.type for column in schema}, time_zone)
        return self._read[table]


def _created(name: str, created: list[TableDefinition]) -> TableDefinition | None:
    """The table that the script creates under a name."""
    qualifier, _, table = name.lower().rpartition(".")
    found = [
        one for one in created if one.name.lower() == table and (not qualifier or one.database.lower() == qualifier)
    ]
    if len(found) > 1:
        places = ", ".join(one.qualified_name for one in found)
        raise UserError(f"--table '{name}' may mean {places}: write the database too")
    return found[0] if found else None


def files_of(path: str) -> list[str]:
    """The files that a path or pattern names."""
    if Path(path).is_dir():
        found = sorted(str(file) for file in Path(path).rglob("*.parquet"))
    else:
        found = sorted(glob.glob(path))  # noqa: PTH207 - absolute patterns
    if not found:
        raise UserError(f"no file at '{path}'")
    return found


def columns_of_source(statement: CreateTableLike) -> tuple[ColumnDefinition, ...]:
    """The columns of the file of a CREATE TABLE … LIKE."""
    if statement.format != "parquet":
        raise UserError(f"CREATE TABLE … LIKE takes parquet files here, not {statement.format}")
    return tuple(ColumnDefinition(name, kind) for name, kind in columns_of_file(statement.path))


def _like(statement: CreateTableLike) -> TableDefinition:
    return TableDefinition(statement.table.database, statement.table.name, columns_of_source(statement))


def columns_of_file(path: str) -> list[tuple[str, DataType]]:
    """Names and types of a file's columns, in the language's terms."""
    return [(field.name, type_of(field, path)) for field in _schema(path)]


def _schema(path: str) -> pa.Schema:
    try:
        if path.endswith((".csv", ".csv.gz")):
            return csv.open_csv(files_of(path)[0]).schema
        return ds.dataset(files_of(path), format="parquet").schema
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: {error}") from None


def _read_csv(path: str, types: Mapping[str, DataType], time_zone: str) -> pa.Table:
    """A csv file with a table's types; points in time are milliseconds, or text in the session's zone."""
    read_as = {name: pa.string() if type_ == TIMESTAMP else arrow_type(type_) for name, type_ in types.items()}
    options = csv.ConvertOptions(column_types=read_as, strings_can_be_null=True)
    try:
        table = pa.concat_tables([csv.read_csv(file, convert_options=options) for file in files_of(path)])
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: {error}") from None
    for name, type_ in types.items():
        if type_ == TIMESTAMP and name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, _points_in_time(table.column(name), path, name, time_zone))
    return table


def _points_in_time(text: pa.ChunkedArray, path: str, name: str, time_zone: str) -> pa.Array:
    """Texts as timestamps, by the language's own cast; a text that is none is an error with its row."""
    milliseconds = _cast(_cast(Column.from_arrow(text, STRING), BIGINT, time_zone), TIMESTAMP, time_zone)
    local = _cast(Column.from_arrow(text, STRING), TIMESTAMP, time_zone)
    points = pc.coalesce(local.to_arrow(), milliseconds.to_arrow())
    wrong = pc.indices_nonzero(pc.and_(pc.is_null(points), pc.is_valid(text)))
    if len(wrong):
        row = wrong[0].as_py()
        raise UserError(f"{path}: column '{name}', row {row + 1}: '{text[row].as_py()}' is no point in time")
    return points


def _cast(column: Column, target: DataType, time_zone: str) -> Column:
    call = Call("cast", (ColumnReference(0, column.type),), target)
    return compile_expression(call, EvaluationContext(time_zone))([column], len(column.values))


def type_of(field: pa.Field, path: str) -> DataType:
    """The language's type of a column of a file."""
    type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    rules: list[tuple[Any, DataType]] = [
        (pa.types.is_boolean, BOOL),
        (lambda t: t in (pa.int8(), pa.uint8(), pa.int16()), SMALLINT),
        (lambda t: t in (pa.uint16(), pa.int32()), INT),
        (lambda t: t in (pa.uint32(), pa.int64()), BIGINT),
        (lambda t: t in (pa.float16(), pa.float32()), FLOAT),
        (lambda t: t == pa.float64(), DOUBLE),
        (lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t), STRING),
        (pa.types.is_date, DATE),
        (pa.types.is_timestamp, TIMESTAMP),
    ]
    for holds, found in rules:
        if holds(type_):
            return found
    raise UserError(f"{path}: column '{field.name}' is of type {type_}, which the feature language does not have")
