"""Date parts and date values (reference 1.11), in the session's zone."""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Callable
from typing import Any

from tests.oracle.calendar import EPOCH, MILLISECOND, instant, local_time, midnight, parse_civil
from tests.oracle.scalars import Invocation, scalar

_PARTS: dict[tuple[str, ...], Callable[[Any], int]] = {
    ("year",): lambda civil: civil.year,
    ("month",): lambda civil: civil.month,
    ("day", "dayofmonth"): lambda civil: civil.day,
    ("dayofweek",): lambda civil: civil.isoweekday() % 7 + 1,
    ("dayofyear",): lambda civil: civil.timetuple().tm_yday,
    ("weekofyear", "week"): lambda civil: civil.isocalendar().week,
    ("hour",): lambda civil: civil.hour,
    ("minute",): lambda civil: civil.minute,
    ("second",): lambda civil: civil.second,
}


def _civil(value: Any, time_zone: str) -> Any:
    """A date as it is, milliseconds as civil time; None before 1970."""
    if isinstance(value, datetime.date):
        return value
    return local_time(value, time_zone) if value >= 0 else None


def _register_part(names: tuple[str, ...], part: Callable[[Any], int]) -> None:
    @scalar(*names)
    def date_part(call: Invocation, value: Any) -> int | None:
        civil = _civil(value, call.time_zone)
        return None if civil is None else part(civil)


for _names, _part in _PARTS.items():
    _register_part(_names, _part)


@scalar("date_format")
def date_format(call: Invocation, value: Any, form: str) -> str | None:
    civil = _civil(value, call.time_zone)
    return None if civil is None else civil.strftime(form)


@scalar("last_day")
def last_day(call: Invocation, value: Any) -> datetime.date | None:
    civil = _civil(value, call.time_zone)
    if civil is None:
        return None
    return datetime.date(civil.year, civil.month, calendar.monthrange(civil.year, civil.month)[1])


@scalar("add_months")
def add_months(call: Invocation, value: Any, months: int) -> datetime.date | None:
    day = _civil(value, call.time_zone)
    if day is None:
        return None
    month = day.year * 12 + day.month - 1 + months
    year, month = month // 12, month % 12 + 1
    if not 1900 <= year <= 9999:
        return None
    return datetime.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def _day(value: Any, time_zone: str) -> datetime.date | None:
    if isinstance(value, datetime.date):
        return value
    civil = parse_civil(value)
    if civil is not None:
        return civil.date()
    match = _RFC3339.fullmatch(value)
    try:
        moment = datetime.datetime.fromisoformat(value.upper()) if match else None
    except ValueError:
        return None
    if moment is None or moment.year < 1900:
        return None
    local = local_time((moment - EPOCH) // MILLISECOND, time_zone)
    return None if local is None else local.date()


@scalar("datediff")
def datediff(call: Invocation, left: Any, right: Any) -> int | None:
    first, second = _day(left, call.time_zone), _day(right, call.time_zone)
    return None if first is None or second is None else (first - second).days


@scalar("unix_timestamp")
def unix_timestamp(call: Invocation, value: Any) -> int | None:
    if isinstance(value, datetime.date):
        return midnight(value, call.time_zone) // 1000
    civil = parse_civil(value)
    return None if civil is None else instant(civil, call.time_zone) // 1000
