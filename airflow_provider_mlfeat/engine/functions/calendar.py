"""Civil dates and local times as numbers: days, and milliseconds of a local clock, since 1970."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

MILLISECONDS_PER_DAY = 86_400_000
# A clock that is never set, such as that of UTC, counts local times as well.
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)


def _day(year: int, month: int, day: int) -> int:
    return (datetime.datetime(year, month, day, tzinfo=datetime.UTC) - _EPOCH).days


EARLIEST_DAY = _day(1900, 1, 1)
LATEST_DAY = _day(9999, 12, 31)
# Local times outside the years 1 to 9999 have no text and no parts.
_FIRST_MILLISECOND = _day(1, 1, 1) * MILLISECONDS_PER_DAY
_LAST_MILLISECOND = (LATEST_DAY + 1) * MILLISECONDS_PER_DAY - 1

_FORMS = (
    re.compile(r"(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})", re.ASCII),
    re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII),
    re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII),
)
# By length, because each form has one.
_FORM_OF_LENGTH = dict(zip((19, 10, 8), _FORMS, strict=True))


def parse_local(text: str) -> int | None:
    """The local time that one of the three accepted forms names, from the year 1900 on."""
    form = _FORM_OF_LENGTH.get(len(text))
    match = form.fullmatch(text) if form else None
    if match is None or text < "1900":
        return None
    try:
        moment = datetime.datetime(*map(int, match.groups()), tzinfo=datetime.UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return (moment - _EPOCH) // _MILLISECOND


def has_calendar(local: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which local times lie in the years 1 to 9999."""
    return (local >= _FIRST_MILLISECOND) & (local <= _LAST_MILLISECOND)


def months(days: NDArray[Any]) -> NDArray[np.int64]:
    """Months since January 1970 of days."""
    return _as_days(days).astype("M8[M]").astype(np.int64)


def first_of_month(months_since_1970: NDArray[Any]) -> NDArray[np.int64]:
    """The first day of months."""
    return months_since_1970.astype(np.int64).view("M8[M]").astype("M8[D]").astype(np.int64)


def _as_days(days: NDArray[Any]) -> NDArray[Any]:
    return days.astype(np.int64).view("M8[D]")
