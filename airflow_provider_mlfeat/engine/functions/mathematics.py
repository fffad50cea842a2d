"""Mathematical functions over arrays; what is undefined is NaN or infinite as IEEE has it, and nothing raises.

Floats are computed in 64 bits and then rounded to 32, by the driver, when the result's type is float.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.rounding import round_integers, round_reals
from airflow_provider_mlfeat.engine.functions.writing import writable

Array = NDArray[Any]
_QUIET = np.errstate(all="ignore")
_EARTH_RADIUS_KM = 6372.8


def _real(name: str, compute: Callable[[Array], Array]) -> Callable[[CallContext, Array], Array]:
    @_QUIET
    def function(context: CallContext, values: Array) -> Array:
        return compute(values.astype(np.float64, copy=False))

    function.__name__ = name
    return function


exp = _real("exp", np.exp)
sqrt = _real("sqrt", np.sqrt)
sin = _real("sin", np.sin)
cos = _real("cos", np.cos)
tan = _real("tan", np.tan)
cot = _real("cot", lambda values: 1.0 / np.tan(values))
asin = _real("asin", np.arcsin)
acos = _real("acos", np.arccos)
ln = _real("ln", np.log)
log2 = _real("log2", np.log2)
log10 = _real("log10", np.log10)
degrees = _real("degrees", np.degrees)
radians = _real("radians", np.radians)


@_QUIET
def log(context: CallContext, first: Array, second: Array | None = None) -> Array:
    """The natural logarithm, or that of the second argument to the base of the first."""
    of_first = np.log(first.astype(np.float64, copy=False))
    return of_first if second is None else np.log(second.astype(np.float64, copy=False)) / of_first


@_QUIET
def atan(context: CallContext, first: Array, second: Array | None = None) -> Array:
    """The inverse tangent, or the angle of the point (second, first)."""
    wide = first.astype(np.float64, copy=False)
    return np.arctan(wide) if second is None else np.arctan2(wide, second.astype(np.float64, copy=False))


@_QUIET
def power(context: CallContext, base: Array, exponent: Array) -> Array:
    """The base raised to the exponent."""
    raised: Array = np.power(base.astype(np.float64, copy=False), exponent.astype(np.float64, copy=False))
    return raised


def inc(context: CallContext, values: Array) -> Array:
    """The value and 1, in its type."""
    return values + 1


def absolute(context: CallContext, values: Array) -> Array:
    """The value without its sign; the most negative whole number stays, as it has no counterpart."""
    return np.abs(values)


def truncate(context: CallContext, values: Array) -> Array:
    """The fraction cut off."""
    return np.trunc(values)


def ceil(context: CallContext, values: Array) -> Array:
    """The next whole number up."""
    return np.ceil(values)


def floor(context: CallContext, values: Array) -> Array:
    """The next whole number down."""
    return np.floor(values)


def round_half_away(context: CallContext, values: Array, digits: Array | None = None) -> Array:
    """Rounded to a number of decimals, half away from zero, in the type of the value."""
    if digits is None:
        digits = np.zeros(len(values), np.int64)
    kernel, wide = (round_reals, np.float64) if values.dtype.kind == "f" else (round_integers, np.int64)
    rounded: Array = kernel(writable(values, wide), writable(digits, np.int64))
    return rounded


@_QUIET
def pmod(context: CallContext, left: Array, right: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The remainder, with the divisor added once where it is negative; NULL for a divisor of 0."""
    remainder = np.fmod(left, right)
    return np.where(remainder < 0, remainder + right, remainder), right != 0


@_QUIET
def earth_distance(
    context: CallContext, latitude1: Array, longitude1: Array, latitude2: Array, longitude2: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Haversine distance in km; NULL outside -90 … 90 and -180 … 180 degrees."""
    valid = (np.abs(latitude1) <= 90) & (np.abs(latitude2) <= 90)
    valid &= (np.abs(longitude1) <= 180) & (np.abs(longitude2) <= 180)
    phi1, phi2 = np.radians(np.where(valid, latitude1, 0.0)), np.radians(np.where(valid, latitude2, 0.0))
    half_lambda = np.radians(np.where(valid, longitude2 - longitude1, 0.0)) / 2
    haversine = np.sin((phi2 - phi1) / 2) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin(half_lambda) ** 2
    return 2 * _EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(1.0, haversine))), valid
