"""Mathematical functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Argument, Resolver, Signature
from airflow_provider_mlfeat.sql.functions.signatures import (
    INTEGER,
    NUMBER,
    NUMBER_OR_BOOL,
    Slot,
    first,
    signature,
)
from airflow_provider_mlfeat.sql.types import BIGINT, DOUBLE, FLOAT, INT, DataType, Kind, promote


def _converted(slots: Resolver, convert: Callable[[DataType], DataType]) -> Resolver:
    """A resolver whose arguments and result have the type that `convert` makes of the argument's."""

    def resolve(arguments: Sequence[Argument]) -> Signature:
        converted = convert(slots(arguments).arguments[0])
        return Signature((converted,), converted)

    return resolve


def _real(*slots: Slot, optional: int = 0) -> Resolver:
    """Computed in float when all arguments are floats, else in double."""
    check = signature(*slots, result=DOUBLE, optional=optional)

    def resolve(arguments: Sequence[Argument]) -> Signature:
        accepted = check(arguments).arguments
        result = FLOAT if all(data_type == FLOAT for data_type in accepted) else DOUBLE
        return Signature((result,) * len(accepted), result)

    return resolve


def _kept_width(data_type: DataType) -> DataType:
    if data_type.kind in (Kind.SMALLINT, Kind.INT):
        return INT
    return BIGINT if data_type == BIGINT else DOUBLE


def _whole(data_type: DataType) -> DataType:
    return BIGINT if data_type.is_integer else DOUBLE


def _remainder(arguments: Sequence[Argument]) -> Signature:
    left, right = signature(NUMBER, NUMBER, result=DOUBLE)(arguments).arguments
    common = promote(left, right)
    assert common is not None
    return Signature((common, common), common)


_ONE_NUMBER_OR_BOOL = signature(NUMBER_OR_BOOL, result=first)

MATH = Group("Mathematics", "mathematics")
MATH.scalar(
    "abs", "abs(x)", _converted(_ONE_NUMBER_OR_BOOL, _kept_width), "The absolute value.", implementation="absolute"
)
MATH.scalar("truncate", "truncate(x)", _converted(_ONE_NUMBER_OR_BOOL, _kept_width), "The fraction cut off.")
MATH.scalar(
    "ceil", "ceil(x)", _converted(_ONE_NUMBER_OR_BOOL, _whole), "The next whole number up.", aliases=("ceiling",)
)
MATH.scalar("floor", "floor(x)", _converted(_ONE_NUMBER_OR_BOOL, _whole), "The next whole number down.")
MATH.scalar(
    "round",
    "round(x[, d])",
    signature(NUMBER, INTEGER.to(BIGINT), optional=1, result=first),
    "Rounded to d decimals (0), half away from zero; a negative d rounds before the point.",
    implementation="round_half_away",
)
for _name, _doc in {
    "exp": "e raised to x.",
    "sqrt": "The square root; NaN of a negative number.",
    "sin": "The sine.",
    "cos": "The cosine.",
    "tan": "The tangent.",
    "cot": "The cotangent.",
    "asin": "The inverse sine; NaN outside -1 … 1.",
    "acos": "The inverse cosine; NaN outside -1 … 1.",
    "degrees": "Radians as degrees.",
    "radians": "Degrees as radians.",
}.items():
    MATH.scalar(_name, f"{_name}(x)", _real(NUMBER), _doc)
for _name, _doc in {
    "ln": "The natural logarithm; -inf of 0, NaN of a negative number.",
    "log2": "The logarithm to base 2.",
    "log10": "The logarithm to base 10.",
}.items():
    MATH.scalar(_name, f"{_name}(x)", _real(NUMBER_OR_BOOL), _doc)
MATH.scalar(
    "log",
    "log([base, ]x)",
    _real(NUMBER_OR_BOOL, NUMBER_OR_BOOL, optional=1),
    "The logarithm of x to a base, or the natural one.",
)
MATH.scalar(
    "atan",
    "atan(x) or atan(y, x)",
    _real(NUMBER, NUMBER, optional=1),
    "The inverse tangent; of two, the angle of (x, y).",
)
MATH.scalar("atan2", "atan2(y, x)", _real(NUMBER, NUMBER), "The angle of the point (x, y).", implementation="atan")
MATH.scalar(
    "pow",
    "pow(x, y)",
    _real(NUMBER_OR_BOOL, NUMBER_OR_BOOL),
    "x raised to y.",
    implementation="power",
    aliases=("power",),
)
MATH.scalar("inc", "inc(x)", signature(NUMBER, result=first), "x + 1 in the type of x.")
MATH.scalar(
    "pmod", "pmod(a, b)", _remainder, "The remainder, with b added once where it is negative; NULL when b is 0."
)
MATH.scalar(
    "earth_distance",
    "earth_distance(lat1, lon1, lat2, lon2)",
    signature(*[NUMBER.to(DOUBLE)] * 4, result=DOUBLE),
    "Great-circle distance in km between two points in degrees; NULL outside their range.",
)
