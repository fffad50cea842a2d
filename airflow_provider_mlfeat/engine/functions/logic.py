"""Three-valued logic over values of any base type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.sql.types import BOOL, Kind


def truth(column: Column) -> NDArray[np.bool_]:
    """Which values are true: numbers and timestamps other than 0, strings that are not empty, any date."""
    if column.type.kind is Kind.BOOL:
        return column.values
    if column.dictionary is not None:
        if len(column) == 1:
            return np.array([column.dictionary.strings[column.values[0]] != ""])
        per_code = pc.not_equal(column.dictionary.arrow, "").to_numpy(zero_copy_only=False)
        filled: NDArray[np.bool_] = per_code[column.values]
        return filled
    if column.type.kind is Kind.DATE:
        return np.ones(len(column), np.bool_)
    is_true: NDArray[np.bool_] = column.values != 0
    return is_true


def holds(column: Column) -> NDArray[np.bool_]:
    """Which values are true and not NULL: the rows that a condition keeps."""
    values = truth(column)
    return values if column.valid is None else values & column.valid


def and_(context: CallContext, *operands: Column) -> Column:
    """True unless an operand is false; NULL where no operand is false and one is NULL."""
    return _junction(operands, False)


def or_(context: CallContext, *operands: Column) -> Column:
    """False unless an operand is true; NULL where no operand is true and one is NULL."""
    return _junction(operands, True)


def _junction(operands: tuple[Column, ...], deciding: bool) -> Column:
    """An operand of the deciding value decides, whatever the others are."""
    combine: Any = np.logical_or if deciding else np.logical_and
    values = truth(operands[0])
    for operand in operands[1:]:
        values = combine(values, truth(operand))
    if all(operand.valid is None for operand in operands):
        return Column(BOOL, values)
    decided = np.zeros(len(values), np.bool_)
    known = np.ones(len(values), np.bool_)
    for operand in operands:
        decides = truth(operand) == deciding
        if operand.valid is not None:
            decides = decides & operand.valid
            known = known & operand.valid
        decided = decided | decides
    return Column(BOOL, decided if deciding else ~decided, decided | known)


def xor(context: CallContext, left: Column, right: Column) -> Column:
    """Whether exactly one side is true."""
    return Column(BOOL, truth(left) != truth(right))


def not_(context: CallContext, operand: Column) -> Column:
    """Whether the operand is false."""
    return Column(BOOL, ~truth(operand))
