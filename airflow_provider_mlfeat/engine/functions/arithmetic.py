"""Arithmetic over arrays of one type; whole numbers wrap at their width, and a bool is true unless the result is 0."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.functions.context import CallContext

Array = NDArray[Any]
Checked = tuple[Array, NDArray[np.bool_]]

_QUIET = np.errstate(all="ignore")


def _is_bool(values: Array) -> bool:
    return values.dtype.kind == "b"


def _quiet_for_floats(compute: Callable[[Array, Array], Array]) -> Callable[[CallContext, Array, Array], Array]:
    """Only floats warn of overflow, and silencing costs more than adding two numbers."""
    quiet = _QUIET(compute)

    def function(context: CallContext, left: Array, right: Array) -> Array:
        return quiet(left, right) if left.dtype.kind == "f" else compute(left, right)

    return function


add = _quiet_for_floats(operator.add)
multiply = _quiet_for_floats(operator.mul)
subtract = _quiet_for_floats(lambda left, right: left ^ right if left.dtype.kind == "b" else left - right)


@_QUIET
def divide(context: CallContext, left: Array, right: Array) -> Checked:
    """a / b of doubles; NULL for b = 0."""
    return left / right, right != 0


@_QUIET
def int_divide(context: CallContext, left: Array, right: Array) -> Checked:
    """a DIV b, truncated toward zero; NULL for b = 0."""
    if _is_bool(left):
        return left, right
    quotient = left // right
    # Floor and truncation differ by one where the signs do and there is a remainder.
    return quotient + ((left % right != 0) & ((left < 0) != (right < 0))), right != 0


@_QUIET
def modulo(context: CallContext, left: Array, right: Array) -> Checked:
    """a % b with the sign of a; NULL for b = 0."""
    if _is_bool(left):
        return np.zeros_like(left), right
    return np.fmod(left, right), right != 0


def negate(context: CallContext, values: Array) -> Array:
    """-a."""
    return values if _is_bool(values) else -values


def bit_and(context: CallContext, left: Array, right: Array) -> Array:
    """a & b."""
    return left & right


def bit_or(context: CallContext, left: Array, right: Array) -> Array:
    """a | b."""
    return left | right


def bit_xor(context: CallContext, left: Array, right: Array) -> Array:
    """a ^ b."""
    return left ^ right


def bit_not(context: CallContext, values: Array) -> Array:
    """~a."""
    return ~values
