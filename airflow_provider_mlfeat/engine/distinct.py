"""Distinct values and distinct rows of columns, so that Python runs once per distinct argument and never per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column

_LARGEST_KEY = 1 << 62


def distinct_integers(values: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Per value its number among the distinct ones, in order of appearance, and those values."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_numpy(zero_copy_only=False)


def distinct_values(column: Column) -> tuple[NDArray[Any], list[Any]]:
    """Per row the number of its Python value in a list of the column's values; a NULL is one of them."""
    codes, distinct = _numbered(column)
    if column.valid is None:
        return codes, distinct
    return np.where(column.valid, codes, len(distinct)), [*distinct, None]


def _numbered(column: Column) -> tuple[NDArray[Any], list[Any]]:
    values = column.values
    if column.dictionary is not None:
        if len(column.dictionary) <= len(values):
            return values, list(column.dictionary.strings)
        codes, used = distinct_integers(values)
        return codes, column.dictionary.arrow.take(pa.array(used)).to_pylist()
    if values.dtype.kind == "O":
        return np.arange(len(values)), column.to_values()
    # Bit patterns instead of numbers keep -0.0 apart from 0.0.
    bits = values.view(f"i{values.dtype.itemsize}") if values.dtype.kind == "f" else values
    if column.valid is not None:
        # What stands where a value is NULL need not be a value of the type.
        bits = np.where(column.valid, bits, 0).astype(bits.dtype)
    codes, found = distinct_integers(bits)
    return codes, Column(column.type, found.view(values.dtype)).to_values()


def distinct_rows(columns: Sequence[Column]) -> tuple[NDArray[Any], list[tuple[Any, ...]]]:
    """Per row its number in a list of tuples that holds every distinct row of the columns, NULL as None."""
    numbered = [distinct_values(column) for column in columns]
    varying = [place for place, (_, distinct) in enumerate(numbered) if len(distinct) > 1]
    if len(varying) <= 1:
        place = varying[0] if varying else 0
        codes, distinct = numbered[place]
        fixed = [values[0] if values else None for _, values in numbered]
        return codes, [(*fixed[:place], value, *fixed[place + 1 :]) for value in distinct]
    keys, size = np.zeros(len(columns[0]), np.int64), 1
    for place in varying:
        codes, distinct = numbered[place]
        if size > _LARGEST_KEY // len(distinct):
            keys, size = _renumbered(keys)
        keys = keys * len(distinct) + codes
        size *= len(distinct)
    codes, found = distinct_integers(keys)
    row_of = np.empty(len(found), np.int64)
    row_of[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    parts = [[distinct[code] for code in part_codes[row_of].tolist()] for part_codes, distinct in numbered]
    return codes, list(zip(*parts, strict=True))


def _renumbered(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    codes, found = distinct_integers(keys)
    return codes.astype(np.int64), len(found)
