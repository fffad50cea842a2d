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
from airflow_provider_mlfeat.engine.kernels.histogram import PADDING
from airflow_provider_mlfeat.engine.kernels.segments import distinct_segments, flatten
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference
from airflow_provider_mlfeat.sql.types import STRING, DataType, Kind

_NOTHING = np.empty(0, np.int64)


def format_number(value: float) -> str:
    """How floats, doubles, averages and ratios stand in these texts."""
    return f"{value:.6f}"


def format_values(column: Column, context: EvaluationContext) -> list[str]:
    """The texts of values that are not NULL: integers and strings as they are, dates and times in the session's zone."""
    if column.type.is_floating:
        return [format_number(value) for value in column.values.tolist()]
    if column.type.kind in (Kind.DATE, Kind.TIMESTAMP):
        cast = Call("cast", (ColumnReference(0, column.type),), STRING)
        column = compile_expression(cast, context)((column,), len(column))
    return [str(value) for value in column.to_values()]


def _entry_texts(bits: Bits, encoding: Encoding, context: EvaluationContext) -> pa.StringArray:
    encoded = pa.array(bits).dictionary_encode()
    distinct = encoded.dictionary.to_numpy()
    is_padding = distinct == PADDING
    texts = format_values(encoding.decode(np.where(is_padding, 0, distinct), None), context)
    for place in np.flatnonzero(is_padding).tolist():
        texts[place] = "NULL"
    return pa.array(texts, pa.string()).take(encoded.indices)


def text_column(
    bounds: Bits, keys: Bits, key_encoding: Encoding, values: Bits | None, value_encoding: Encoding, context: EvaluationContext
) -> Column:
    """The text of every row.

    :param bounds: per row the start and stop of its entries.
    :param keys, key_encoding: the entries' keys.
    :param values, value_encoding: the entries' values; None for texts of keys alone.
    """
    numbers, rows = distinct_segments(bounds, keys, _NOTHING if values is None else values)
    places = flatten(np.ascontiguousarray(bounds[rows]))
    entries = _entry_texts(keys[places], key_encoding, context)
    if values is not None:
        entries = pc.binary_join_element_wise(entries, _entry_texts(values[places], value_encoding, context), ":")
    lengths = bounds[rows, 1] - bounds[rows, 0]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    texts = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), entries), ",")
    return string_column(texts).take(numbers)


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
