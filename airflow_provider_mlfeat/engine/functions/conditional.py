"""Choosing between values, and functions about NULL."""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.functions.comparison import less_equal
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.logic import holds
from airflow_provider_mlfeat.engine.functions.selection import choose
from airflow_provider_mlfeat.sql.types import BOOL


def case(context: CallContext, *parts: Column) -> Column:
    """The value of the first true condition; conditions and values take turns, and the default comes last."""
    return choose([holds(condition) for condition in parts[:-1:2]], [*parts[1:-1:2], parts[-1]])


def is_null(context: CallContext, column: Column) -> Column:
    """Whether a value is NULL."""
    if column.valid is None:
        return Column(BOOL, np.zeros(len(column), np.bool_))
    return Column(BOOL, ~column.valid)


def if_null(context: CallContext, column: Column, default: Column) -> Column:
    """The value, or the default where it is NULL."""
    return column if column.valid is None else choose([column.valid], [column, default])


def nvl2(context: CallContext, column: Column, present: Column, absent: Column) -> Column:
    """One value where the first is not NULL, another where it is."""
    return present if column.valid is None else choose([column.valid], [present, absent])


def identity(context: CallContext, column: Column) -> Column:
    """The value itself."""
    return column


def minimum(context: CallContext, left: Column, right: Column) -> Column:
    """The smaller value; NaN is above every number."""
    if left.dictionary is None:
        return Column(left.type, np.fmin(left.values, right.values))
    return _valid_strings(choose([less_equal(context, left, right).values], [left, right]))


def maximum(context: CallContext, left: Column, right: Column) -> Column:
    """The larger value; NaN is above every number."""
    if left.dictionary is None:
        return Column(left.type, np.maximum(left.values, right.values))
    return _valid_strings(choose([less_equal(context, left, right).values], [right, left]))


def _valid_strings(column: Column) -> Column:
    """Validity is that of both arguments together, which the caller adds."""
    return Column(column.type, column.values, None, column.dictionary)
