"""Mathematical functions (reference 1.11). Domain errors give the values of IEEE arithmetic, never an exception."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.oracle.scalars import Invocation, scalar


def guarded(function: Callable[..., float], *values: float) -> float:
    """`function` with C's results where Python raises: infinity when too large, NaN outside the domain."""
    try:
        return function(*(float(value) for value in values))
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


def logarithm(function: Callable[[float], float], value: float) -> float:
    """A logarithm that is -infinity at zero."""
    return -math.inf if value == 0 else guarded(function, value)


@scalar("abs")
def absolute(call: Invocation, value: Any) -> Any:
    return abs(value)


@scalar("ceil", "ceiling")
def ceil(call: Invocation, value: Any) -> Any:
    return _whole(math.ceil, value)


@scalar("floor")
def floor(call: Invocation, value: Any) -> Any:
    return _whole(math.floor, value)


@scalar("truncate")
def truncate(call: Invocation, value: Any) -> Any:
    return _whole(math.trunc, value)


def _whole(rounding: Callable[[float], int], value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return math.copysign(float(rounding(value)), value) if math.isfinite(value) else value


@scalar("round")
def round_half_away(call: Invocation, value: Any, digits: int = 0) -> Any:
    if not isinstance(value, float):
        scale = 10 ** max(0, -digits)
        return int(math.copysign(1, value)) * ((abs(value) + scale // 2) // scale) * scale
    if not math.isfinite(value):
        return value
    scale = guarded(math.pow, 10.0, abs(digits))
    scaled = value * scale if digits >= 0 else value / scale
    if not math.isfinite(scaled):
        return value
    whole = math.copysign(math.floor(abs(scaled) + 0.5), scaled) if abs(scaled) < 2**52 else scaled
    return whole / scale if digits >= 0 else whole * scale


for _name, _function in {
    "exp": math.exp,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "degrees": math.degrees,
    "radians": math.radians,
}.items():
    scalar(_name)(lambda call, value, function=_function: guarded(function, value))

for _name, _function in {"ln": math.log, "log2": math.log2, "log10": math.log10}.items():
    scalar(_name)(lambda call, value, function=_function: logarithm(function, value))


@scalar("log")
def log(call: Invocation, first: float, second: float | None = None) -> float:
    if second is None:
        return logarithm(math.log, first)
    return _ratio(logarithm(math.log, second), logarithm(math.log, first))


def _ratio(above: float, below: float) -> float:
    if below == 0:
        return math.nan if above == 0 or math.isnan(above) else math.copysign(math.inf, above * math.copysign(1, below))
    return above / below


@scalar("cot")
def cot(call: Invocation, value: float) -> float:
    return _ratio(1.0, guarded(math.tan, value))


@scalar("atan")
def atan(call: Invocation, first: float, second: float | None = None) -> float:
    return math.atan(first) if second is None else math.atan2(first, second)


@scalar("atan2")
def atan2(call: Invocation, y: float, x: float) -> float:
    return math.atan2(y, x)


@scalar("pow", "power")
def power(call: Invocation, base: float, exponent: float) -> float:
    if base == 0 and exponent < 0:
        odd = exponent.is_integer() and exponent % 2 == 1
        return math.copysign(math.inf, base) if odd else math.inf
    negative = base < 0 and float(exponent).is_integer() and exponent % 2 == 1
    raised = guarded(math.pow, base, exponent)
    return -raised if negative and raised == math.inf else raised


@scalar("pmod")
def pmod(call: Invocation, left: Any, right: Any) -> Any:
    if right == 0:
        return None
    if isinstance(left, float) or isinstance(right, float):
        remainder = math.nan if math.isinf(left) else math.fmod(left, right)
    else:
        remainder = abs(left) % abs(right) * (-1 if left < 0 else 1)
    return remainder + right if remainder < 0 else remainder


@scalar("earth_distance")
def earth_distance(call: Invocation, lat1: float, lon1: float, lat2: float, lon2: float) -> float | None:
    if not all(abs(latitude) <= 90 for latitude in (lat1, lat2)):
        return None
    if not all(abs(longitude) <= 180 for longitude in (lon1, lon2)):
        return None
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    half_phi, half_lambda = (phi2 - phi1) / 2, math.radians(lon2 - lon1) / 2
    haversine = math.sin(half_phi) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin(half_lambda) ** 2
    return 2 * 6372.8 * math.asin(math.sqrt(min(1.0, haversine)))
