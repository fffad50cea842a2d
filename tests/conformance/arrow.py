"""Rows of Python values to Arrow tables and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import DataType, Kind
from tests.conformance.cases import Columns, Row

_TYPES = {
    Kind.BOOL: pa.bool_(),
    Kind.SMALLINT: pa.int16(),
    Kind.INT: pa.int32(),
    Kind.BIGINT: pa.int64(),
    Kind.FLOAT: pa.float32(),
    Kind.DOUBLE: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: pa.timestamp("ms"),
    Kind.NULL: pa.null(),
}


def to_arrow(columns: Columns, rows: Sequence[Row]) -> pa.Table:
    """A table of typed columns."""
    arrays = [pa.array([row[at] for row in rows], _TYPES[kind.kind]) for at, (_, kind) in enumerate(columns)]
    return pa.Table.from_arrays(arrays, names=[name for name, _ in columns])


def from_arrow(table: pa.Table, schema: Schema) -> list[Row]:
    """The rows of a table; it must have exactly the types that the plan promises."""
    columns = [_values(column, wanted.type) for column, wanted in zip(table.columns, schema, strict=True)]
    return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows


def _values(column: pa.ChunkedArray, kind: DataType) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    assert column.type == _TYPES[kind.kind], f"a column of {kind} came as {column.type}"
    if kind.kind is Kind.TIMESTAMP:
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values
