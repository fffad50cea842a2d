"""Civil time in the session's zone: milliseconds, dates and their text."""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MILLISECOND = datetime.timedelta(milliseconds=1)
_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})")


def zone(name: str) -> datetime.tzinfo:
    """The zone of an offset such as ``+08:00`` or of an IANA name."""
    match = _OFFSET.fullmatch(name)
    if match is None:
        return ZoneInfo(name)
    sign, hours, minutes = match.groups()
    offset = datetime.timedelta(hours=int(hours), minutes=int(minutes))
    return datetime.timezone(-offset if sign == "-" else offset)


def local_time(milliseconds: int, time_zone: str) -> datetime.datetime | None:
    """The civil time of an instant, or None outside the years that a calendar has."""
    try:
        return (EPOCH + milliseconds * MILLISECOND).astimezone(zone(time_zone))
    except OverflowError:
        return None


def instant(civil: datetime.datetime, time_zone: str) -> int:
    """The milliseconds of a civil time; of two equal ones the first."""
    return (civil.replace(tzinfo=zone(time_zone)) - EPOCH) // MILLISECOND


def midnight(day: datetime.date, time_zone: str) -> int:
    """The milliseconds at which a day begins."""
    return instant(datetime.datetime(day.year, day.month, day.day), time_zone)


def timestamp_text(milliseconds: int, time_zone: str) -> str | None:
    """``yyyy-mm-dd hh:mm:ss``."""
    civil = local_time(milliseconds, time_zone)
    return None if civil is None else civil.replace(tzinfo=None).isoformat(" ", "seconds")


_FORMS = (
    re.compile(r"(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})", re.ASCII),
    re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII),
    re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII),
)


def parse_civil(text: str) -> datetime.datetime | None:
    """The civil time of one of the three accepted forms, from the year 1900 on."""
    for form in _FORMS:
        match = form.fullmatch(text)
        if match:
            try:
                civil = datetime.datetime(*(int(part) for part in match.groups()))  # type: ignore[arg-type]
            except ValueError:
                return None
            return civil if civil.year >= 1900 else None
    return None
