"""CAST and the conversion functions (reference 1.10)."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType, Kind
from tests.oracle.calendar import instant, local_time, midnight, parse_civil
from tests.oracle.text import cast_text
from tests.oracle.values import BITS, float32, wrap

_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)", re.ASCII)
_NUMBER = re.compile(
    r"[ \t\n\v\f\r]*[+-]?(inf(inity)?|nan|0x([0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(p[+-]?\d+)?"
    r"|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)",
    re.ASCII | re.IGNORECASE,
)
_TRUE = {"y", "yes", "t", "true", "1"}
_FALSE = {"n", "no", "f", "false", "0"}


def cast(value: Any, source: DataType, target: DataType, time_zone: str) -> Any:
    """`value` of type `source` as a value of `target`, or None where the rules have no result."""
    if value is None or source == target or source.kind is Kind.NULL:
        return value
    if target.is_nested:
        return _cast_nested(value, source, target, time_zone)
    if target.kind is Kind.STRING:
        return cast_text(value, source, time_zone)
    if target.kind is Kind.BOOL:
        return _to_bool(value, source)
    if target.is_integer:
        return _to_integer(value, source, target.kind)
    if target.is_floating:
        return _to_floating(value, source, target.kind)
    if target.kind is Kind.TIMESTAMP:
        return _to_timestamp(value, source, time_zone)
    return _to_date(value, source, time_zone)


def _cast_nested(value: Any, source: DataType, target: DataType, time_zone: str) -> Any:
    if target.kind is Kind.MAP:
        (key_from, value_from), (key_to, value_to) = source.parameters, target.parameters
        return {
            cast(key, key_from, key_to, time_zone): cast(item, value_from, value_to, time_zone)
            for key, item in value.items()
        }
    return tuple(cast(item, source.element, target.element, time_zone) for item in value)


def _to_bool(value: Any, source: DataType) -> bool | None:
    if source.kind is Kind.STRING:
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    if source.kind is Kind.DATE:
        return None
    return bool(value != 0)


def _to_integer(value: Any, source: DataType, kind: Kind) -> int | None:
    if source.kind is Kind.STRING:
        match = _INTEGER.fullmatch(value)
        if match is None:
            return None
        sign, digits = match.groups()
        number = int(digits, 16 if digits[:2].lower() == "0x" else 10)
        number = -number if sign == "-" else number
        return number if wrap(number, kind) == number else None
    if source.kind is Kind.DATE:
        return None
    if source.is_floating:
        if not math.isfinite(value):
            return None
        number = math.trunc(value)
        return number if wrap(number, kind) == number else None
    return wrap(int(value), kind)


def _to_floating(value: Any, source: DataType, kind: Kind) -> float | None:
    if source.kind is Kind.DATE:
        return None
    if source.kind is Kind.STRING:
        if _NUMBER.fullmatch(value) is None:
            return None
        value = float.fromhex(value.strip()) if "x" in value.lower() else float(value.strip())
    return float32(value) if kind is Kind.FLOAT else float(value)


def _to_timestamp(value: Any, source: DataType, time_zone: str) -> int | None:
    if source.kind is Kind.STRING:
        civil = parse_civil(value)
        return None if civil is None else instant(civil, time_zone)
    if isinstance(value, datetime.date):
        return midnight(value, time_zone)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    milliseconds = math.trunc(value)
    in_range = 0 <= milliseconds < 1 << (BITS[Kind.TIMESTAMP] - 1)
    return milliseconds if in_range else None


def _to_date(value: Any, source: DataType, time_zone: str) -> datetime.date | None:
    civil = parse_civil(value) if source.kind is Kind.STRING else local_time(value, time_zone)
    return None if civil is None else civil.date()
