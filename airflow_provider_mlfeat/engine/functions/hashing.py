"""hash64 over columns: a distinct string is hashed once, a number by its bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.distinct import distinct_integers
from airflow_provider_mlfeat.engine.functions.calendar_kernels import Part, parts_of_days
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.farmhash import fingerprints
from airflow_provider_mlfeat.engine.functions.writing import writable
from airflow_provider_mlfeat.sql.types import BIGINT, DataType, Kind


def hash64(context: CallContext, column: Column) -> Column:
    """The fingerprint of each value, read as a signed number."""
    return Column(BIGINT, fingerprint_column(column))


def fingerprint_column(column: Column) -> NDArray[np.int64]:
    """The fingerprints of a column's values; anything where a value is NULL."""
    if column.dictionary is None:
        return _hash_numbers(column)
    if len(column.dictionary) <= len(column):
        hashes: NDArray[np.int64] = _hash_strings(column.dictionary.arrow)[column.values]
        return hashes
    if len(column) == 1:
        return _hash_bytes(column.dictionary.strings[column.values[0]].encode())
    codes, used = distinct_integers(column.values)
    return _hash_strings(column.dictionary.arrow.take(pa.array(used)))[codes]


@lru_cache(maxsize=1 << 16)
def fingerprint(value: Any, data_type: DataType) -> int:
    """The signed fingerprint of one value; features repeat their values, so the last ones are remembered."""
    if data_type.kind is Kind.STRING:
        return int(_hash_bytes(value.encode())[0])
    return int(_hash_numbers(Column.constant(value, data_type, 1))[0])


def _hash_bytes(value: bytes) -> NDArray[np.int64]:
    data = np.frombuffer(value, np.uint8) if value else np.zeros(0, np.uint8)
    hashes: NDArray[np.int64] = fingerprints(data.copy(), np.array([0, len(value)], np.int64)).view(np.int64)
    return hashes


def _hash_strings(strings: pa.StringArray) -> NDArray[np.int64]:
    _, offsets, data = strings.buffers()
    places = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1].astype(np.int64)
    content = np.frombuffer(data, np.uint8).copy() if data is not None and data.size else np.zeros(0, np.uint8)
    hashes: NDArray[np.int64] = fingerprints(content, places).view(np.int64)
    return hashes


def _hash_numbers(column: Column) -> NDArray[np.int64]:
    values = np.ascontiguousarray(column.values)
    if column.type.kind is Kind.DATE:
        values = parts_of_days(writable(values, np.int64), int(Part.HASH_CODE))
    width = values.dtype.itemsize
    offsets = np.arange(len(values) + 1, dtype=np.int64) * width
    little_endian = values.astype(values.dtype.newbyteorder("<"))
    hashes: NDArray[np.int64] = fingerprints(little_endian.view(np.uint8), offsets).view(np.int64)
    return hashes
