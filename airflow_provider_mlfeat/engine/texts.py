"""The texts that aggregates give: ``a,b,NULL`` and ``k:v,k:v``, made once per distinct combination of entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, string_column
from airflow_provider_mlfeat.engine.encoding import Bits, Encoding
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, compile_expression
from airflow_provider_mlfeat.engine.kernels.segments import distinct_segments, flatten
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference
from airflow_provider_mlfeat.sql.types import STRING, DataType, Kind

_NOTHING = np.empty(0, np.int64)


def format_number(value: float) -> str:
    """How floats, doubles, averages and ratios stand in these texts."""
    return f"{value:.6f}"


def format_values(column: Column, context: EvaluationContext) -> list[str]:
    """The texts of values that are not NULL; dates and times in the session's zone."""
    if column.type.is_floating:
        return [format_number(value) for value in column.values.tolist()]
    if column.type.kind in (Kind.DATE, Kind.TIMESTAMP):
        cast = Call("cast", (ColumnReference(0, column.type),), STRING)
        column = compile_expression(cast, context)((column,), len(column))
    return [str(value) for value in column.to_values()]


def key_text_column(bounds: Bits, keys: Bits, encoding: Encoding, context: EvaluationContext) -> Column:
    """Texts of keys.

    :param bounds: per row the start and stop of its entries.
    :param keys, encoding: the entries' keys, and what they mean.
    """
    return _text_column(bounds, keys, None, lambda places: _entry_texts(keys[places], encoding, context))


def padded_text_column(
    bounds: Bits, keys: Bits, encoding: Encoding, is_key: Bits, context: EvaluationContext
) -> Column:
    """Texts of keys, some of which are none and written as NULL."""

    def entries(places: Bits) -> pa.StringArray:
        texts = _entry_texts(keys[places], encoding, context)
        return pc.if_else(pa.array(is_key[places].astype(np.bool_)), texts, "NULL")

    return _text_column(bounds, keys, is_key, entries)


def pair_text_column(
    bounds: Bits, keys: Bits, encoding: Encoding, values: Bits, value_encoding: Encoding, context: EvaluationContext
) -> Column:
    """Texts of keys and values."""

    def entries(places: Bits) -> pa.StringArray:
        texts = _entry_texts(keys[places], encoding, context)
        return pc.binary_join_element_wise(texts, _entry_texts(values[places], value_encoding, context), ":")

    return _text_column(bounds, keys, values, entries)


def _text_column(bounds: Bits, keys: Bits, values: Bits | None, entries: Callable[[Bits], pa.StringArray]) -> Column:
    numbers, rows = distinct_segments(bounds, keys, _NOTHING if values is None else values)
    texts = entries(flatten(np.ascontiguousarray(bounds[rows])))
    lengths = bounds[rows, 1] - bounds[rows, 0]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return string_column(pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), texts), ",")).take(numbers)


def _entry_texts(bits: Bits, encoding: Encoding, context: EvaluationContext) -> pa.StringArray:
    encoded = pa.array(bits).dictionary_encode()
    distinct = encoding.decode(encoded.dictionary.to_numpy(), None)
    if distinct.dictionary is not None:
        return distinct.to_arrow().take(encoded.indices)
    return pa.array(format_values(distinct, context), pa.string()).take(encoded.indices)


EntryFormat = Callable[[Any], str]


def entry_formatter(data_type: DataType, context: EvaluationContext) -> EntryFormat:
    """How one Python value of a type stands in these texts, for callers that have single rows."""
    if data_type.is_floating:
        return format_number
    if data_type.kind in (Kind.DATE, Kind.TIMESTAMP):
        return lambda value: format_values(Column.from_values([value], data_type), context)[0]
    return str


def valid_mask(valid: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """A kernel's validity as a column's."""
    return None if valid.all() else valid.astype(np.bool_)
