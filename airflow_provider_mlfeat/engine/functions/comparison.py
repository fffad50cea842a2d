"""Comparisons of columns of one type; strings compare by their UTF-8 bytes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.sql.types import BOOL

Comparison = Callable[[CallContext, Column, Column], Column]

_MIRRORED = {
    "equal": "equal",
    "not_equal": "not_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}


def _comparison(name: str, compare: Callable[[Any, Any], Any], by_order: bool) -> Comparison:
    def comparison(context: CallContext, left: Column, right: Column) -> Column:
        if left.dictionary is None:
            return Column(BOOL, compare(left.values, right.values))
        return Column(BOOL, _compare_strings(name, compare, by_order, left, right))

    comparison.__name__ = name
    return comparison


def _compare_strings(
    name: str, compare: Callable[[Any, Any], Any], by_order: bool, left: Column, right: Column
) -> NDArray[np.bool_]:
    assert left.dictionary is not None
    assert right.dictionary is not None
    if len(left) == 1:
        # The order of code points is that of UTF-8 bytes.
        texts = (column.dictionary.strings[column.values[0]] for column in (left, right) if column.dictionary)
        return np.array([compare(*texts)])
    for constant, varying, kernel in ((right, left, name), (left, right, _MIRRORED[name])):
        assert constant.dictionary is not None
        assert varying.dictionary is not None
        if len(constant.dictionary) == 1:
            scalar = pa.scalar(constant.dictionary.strings[0])
            per_code = getattr(pc, kernel)(varying.dictionary.arrow, scalar).to_numpy(zero_copy_only=False)
            found: NDArray[np.bool_] = per_code[varying.values]
            return found
    if left.dictionary is right.dictionary:
        sides = [left.dictionary.ranks[side.values] if by_order else side.values for side in (left, right)]
        return np.asarray(compare(*sides))
    # Reading the strings row by row is cheaper than merging two dictionaries and ordering what they hold.
    by_row = getattr(pc, name)(left.to_arrow(), right.to_arrow()).fill_null(False)
    return np.asarray(by_row.to_numpy(zero_copy_only=False))


equal = _comparison("equal", operator.eq, by_order=False)
not_equal = _comparison("not_equal", operator.ne, by_order=False)
less = _comparison("less", operator.lt, by_order=True)
less_equal = _comparison("less_equal", operator.le, by_order=True)
greater = _comparison("greater", operator.gt, by_order=True)
greater_equal = _comparison("greater_equal", operator.ge, by_order=True)


def in_(context: CallContext, value: Column, *items: Column) -> Column:
    """Whether the value equals an item; NULL when none does and an item is NULL."""
    found = np.zeros(len(value), np.bool_)
    unknown = np.zeros(len(value), np.bool_)
    for item in items:
        same = equal(context, value, item).values
        if item.valid is not None:
            unknown |= ~item.valid
            same = same & item.valid
        found |= same
    valid = found | ~unknown
    return Column(BOOL, found, valid if value.valid is None else valid & value.valid)
