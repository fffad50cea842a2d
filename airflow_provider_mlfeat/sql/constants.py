"""Constants of statements: literals as values of a type."""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo

from sqlglot import exp

from airflow_provider_mlfeat.sql.dialect.nodes import TypedNumber
from airflow_provider_mlfeat.sql.types import BOOL, DATE, FLOATING_KINDS, STRING, TIMESTAMP, TYPE_NAMES, DataType, Kind

Constant = None | bool | int | float | str

_BITS = {Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64}
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")


def literal_value(node: exp.Expr, type_: DataType, time_zone: str) -> bool | int | float | str | None:
    """A constant as a value of `type_`, or None when it is no constant or does not fit.

    A date is ``'yyyy-mm-dd'``; a timestamp is whole milliseconds or a text in the session's zone; either may stand in
    the conversion function of its type, as in ``timestamp(1590738990000)``.
    """
    if isinstance(node, exp.Anonymous) and TYPE_NAMES.get(node.name.lower()) == type_ and len(node.expressions) == 1:
        node = node.expressions[0]
    value = constant(node)
    if isinstance(value, bool):
        return value if type_ == BOOL else None
    if isinstance(value, str):
        return _text(value, type_, time_zone)
    return _number(value, type_) if value is not None else None


def constant(node: exp.Expr) -> Constant:
    """The Python value of a literal; None for NULL and for what is no literal."""
    if isinstance(node, exp.Neg) and isinstance(node.this, TypedNumber):
        return -_value(node.this)
    if isinstance(node, TypedNumber):
        return _value(node)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    return node.name if isinstance(node, exp.Literal) else None


def _value(number: TypedNumber) -> int | float:
    value: int | float = number.this
    assert isinstance(value, int | float)
    return value


def _number(value: int | float, type_: DataType) -> int | float | None:
    if type_.kind in FLOATING_KINDS:
        return float(value)
    bits = _BITS.get(type_.kind)
    if isinstance(value, float) or (bits is None and (type_ != TIMESTAMP or value < 0)):
        return None
    return value if -(1 << ((bits or 64) - 1)) <= value < 1 << ((bits or 64) - 1) else None


def _text(text: str, type_: DataType, time_zone: str) -> int | str | None:
    if type_ == STRING:
        return text
    if type_ == DATE and _DATE.fullmatch(text):
        try:
            return datetime.date(*map(int, text.split("-"))).isoformat()
        except ValueError:
            return None
    if type_ == TIMESTAMP:
        for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y%m%d"):
            try:
                moment = datetime.datetime.strptime(text, form).replace(tzinfo=_zone(time_zone))
            except ValueError:
                continue
            return int(moment.timestamp() * 1000)
    return None


def _zone(name: str) -> datetime.tzinfo:
    if name[0] not in "+-":
        return ZoneInfo(name)
    offset = datetime.timedelta(hours=int(name[1:3]), minutes=int(name[4:6]))
    return datetime.timezone(-offset if name[0] == "-" else offset)
