"""Reading single rows of blocks as Python values."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import DataType, Kind

_DOUBLE, _DOUBLE_BITS, _FLOAT = Struct("<d"), Struct("<q"), Struct("<f")
_EPOCH_ORDINAL = datetime.date(1970, 1, 1).toordinal()

RowReader = Callable[[Block, int], list[Any]]


def value_reader(schema: Schema, columns: Sequence[int], pool: StringPool) -> RowReader:
    """Reads some columns of a row."""
    converters = [(column, 1 + column, _converter(schema[column].type, column, pool)) for column in columns]

    def read(block: Block, place: int) -> list[Any]:
        bits, kept = block.bits[:, place].tolist(), block.kept[:, place].tolist()
        return [convert(bits[column], block, place) if kept[mask] else None for column, mask, convert in converters]

    return read


ValueWriter = Callable[[Any], int]


def value_writer(data_type: DataType, pool: StringPool) -> ValueWriter:
    """The pattern of a value that is not NULL, strings being added to the pool."""
    if data_type.kind is Kind.STRING:
        return pool.add
    if data_type.kind is Kind.FLOAT:
        # Widened from 32 bits, as columns of floats are.
        return lambda value: int(_DOUBLE_BITS.unpack(_DOUBLE.pack(*_FLOAT.unpack(_FLOAT.pack(value))))[0])
    if data_type.kind is Kind.DOUBLE:
        return lambda value: int(_DOUBLE_BITS.unpack(_DOUBLE.pack(value))[0])
    if data_type.kind is Kind.DATE:
        return lambda value: int(value.toordinal()) - _EPOCH_ORDINAL
    return int


def _converter(data_type: DataType, column: int, pool: StringPool) -> Callable[[int, Block, int], Any]:
    if data_type.kind is Kind.STRING:
        strings = pool.strings
        return lambda bits, block, place: strings[bits]
    if data_type.is_floating:
        return lambda bits, block, place: float(block.reals[column, place])
    if data_type.kind is Kind.DATE:
        return lambda bits, block, place: datetime.date.fromordinal(bits + _EPOCH_ORDINAL)
    if data_type.kind is Kind.BOOL:
        return lambda bits, block, place: bool(bits)
    return lambda bits, block, place: bits
