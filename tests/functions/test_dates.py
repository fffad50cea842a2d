"""Dates and times against Python's calendar, and the zones."""

from __future__ import annotations

import calendar
import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.engine.functions.zones import zone_of
from airflow_provider_mlfeat.sql.types import BIGINT, DATE, INT, STRING, TIMESTAMP
from tests.functions.calls import evaluate, over_columns, typed

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
PARTS = {
    "year": lambda civil: civil.year,
    "month": lambda civil: civil.month,
    "day": lambda civil: civil.day,
    "dayofmonth": lambda civil: civil.day,
    "dayofweek": lambda civil: civil.isoweekday() % 7 + 1,
    "dayofyear": lambda civil: civil.timetuple().tm_yday,
    "weekofyear": lambda civil: civil.isocalendar().week,
    "week": lambda civil: civil.isocalendar().week,
}
CLOCK = {
    "hour": lambda civil: civil.hour,
    "minute": lambda civil: civil.minute,
    "second": lambda civil: civil.second,
}
ZONES = ["+08:00", "-03:30", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]
# As far as the transitions of zones are known.
MOMENTS = st.integers(0, 4_102_444_800_000 - 1)


def civil_time(milliseconds: int, zone: str) -> datetime.datetime:
    info: datetime.tzinfo
    if zone[0] in "+-":
        offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        info = datetime.timezone(-offset if zone[0] == "-" else offset)
    else:
        info = ZoneInfo(zone)
    return (EPOCH + datetime.timedelta(milliseconds=milliseconds)).astimezone(info)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dates(datetime.date(1900, 1, 1)), min_size=1, max_size=12))
def test_parts_of_dates(days: list[datetime.date]) -> None:
    for name, part in PARTS.items():
        assert over_columns(name, [DATE], [[day] for day in days])[0] == [part(day) for day in days], name
    ends = [day.replace(day=calendar.monthrange(day.year, day.month)[1]) for day in days]
    assert over_columns("last_day", [DATE], [[day] for day in days])[0] == ends


@settings(max_examples=80, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=12), st.sampled_from(ZONES))
def test_parts_of_timestamps(moments: list[int], zone: str) -> None:
    local = [civil_time(moment, zone) for moment in moments]
    for data_type in (TIMESTAMP, BIGINT):
        for name, part in (PARTS | CLOCK).items():
            found, _ = over_columns(name, [data_type], [[moment] for moment in moments], zone)
            assert found == [part(civil) for civil in local], name
    texts, _ = over_columns(
        "date_format", [TIMESTAMP, STRING], [[moment, "%Y-%j %H:%M:%S"] for moment in moments], zone
    )
    assert texts == [civil.strftime("%Y-%j %H:%M:%S") for civil in local]


def test_before_1970_and_after_9999_there_are_no_parts() -> None:
    moments = [[-1], [None], [253402271999999], [253402272000000], [2**63 - 1], [0]]
    assert over_columns("year", [BIGINT], moments)[0] == [None, None, 9999, None, None, 1970]
    assert over_columns("hour", [TIMESTAMP], moments)[0] == [None, None, 23, None, None, 8]
    assert over_columns("last_day", [TIMESTAMP], moments)[0][2:4] == [datetime.date(9999, 12, 31), None]
    assert over_columns("date_format", [TIMESTAMP, STRING], [[*moment, "%Y"] for moment in moments])[0] == [
        *(None, None, "9999", None, None, "1970")
    ]


@settings(max_examples=80, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=20), st.sampled_from([zone for zone in ZONES if "/" in zone]))
def test_zones_follow_their_transitions(moments: list[int], name: str) -> None:
    zone, info = zone_of(name), ZoneInfo(name)
    local = zone.to_local(np.array(moments))
    for moment, found in zip(moments, local.tolist(), strict=True):
        offset = civil_time(moment, name).utcoffset()
        assert offset is not None
        assert found == moment + offset // datetime.timedelta(milliseconds=1)
    # Local times that were skipped or came twice are read as Python reads them first.
    for found, back in zip(local.tolist(), zone.to_instant(local).tolist(), strict=True):
        wall = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=found)
        assert back == (wall.replace(tzinfo=info) - EPOCH) // datetime.timedelta(milliseconds=1)


def test_shanghai_had_summer_time_and_the_default_has_none() -> None:
    summer = 583_000_000_000  # June 1988
    assert evaluate("hour", typed(summer, "timestamp")) == 0
    assert evaluate("hour", typed(summer, "timestamp"), time_zone="Asia/Shanghai") == 1


def test_skipped_and_repeated_hours() -> None:
    berlin = {"time_zone": "Europe/Berlin"}
    skipped, repeated = typed("2021-03-28 02:30:00", "string"), typed("2021-10-31 02:30:00", "string")
    assert evaluate("timestamp", skipped, **berlin) == 1616895000000  # as if the clock had not moved yet: 01:30 UTC
    assert evaluate("timestamp", repeated, **berlin) == 1635640200000  # the first of the two: 00:30 UTC


@pytest.mark.parametrize("name", ["Mars/Olympus", "+8", "", "../etc"])
def test_unknown_zones(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        zone_of(name)


DATES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("add_months", ("2020-01-31", 1), "2020-02-29"),
    ("add_months", ("2020-03-31", -1), "2020-02-29"),
    ("add_months", ("2020-02-29", 12), "2021-02-28"),
    ("add_months", ("1970-01-15", -12), "1969-01-15"),
    ("add_months", ("1900-01-01", -1), None),
    ("add_months", ("9999-12-01", 1), None),
    ("add_months", ("2020-01-31", 2**40), None),
    ("add_months", ("2020-01-31", -(2**63)), None),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), DATES)
def test_add_months(name: str, arguments: tuple[Any, ...], expected: str | None) -> None:
    day = datetime.date.fromisoformat(arguments[0])
    found = evaluate(name, typed(day, "date"), typed(arguments[1], "bigint"))
    assert found == (None if expected is None else datetime.date.fromisoformat(expected))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("2020-03-01", "2020-02-28", 2),
        ("1969-12-31", "1970-01-02", -2),
        ("20200301", "2020-02-28 23:59:59", 2),
        ("2020-02-28T23:30:00Z", "2020-02-28", 1),
        ("2020-02-28T23:30:00.5+08:00", "2020-02-28", 0),
        ("2020-02-28 23:30:00-09:00", "2020-02-28", 1),
        ("2020-02-28T23:30:00", "2020-02-28", None),
        ("2020-02-30", "2020-02-28", None),
        ("1800-02-28T23:30:00Z", "2020-02-28", None),
        ("2020-02-28T25:30:00Z", "2020-02-28", None),
        ("", "2020-02-28", None),
        (None, "2020-02-28", None),
    ],
)
def test_datediff(left: str | None, right: str, expected: int | None) -> None:
    assert evaluate("datediff", left, right) == expected
    assert over_columns("datediff", [STRING, STRING], [[left, right]] * 2)[0] == [expected] * 2
    day = datetime.date.fromisoformat(right[:10])
    assert over_columns("datediff", [STRING, DATE], [[left, day]] * 2)[0] == [expected] * 2


def test_unix_timestamp() -> None:
    assert evaluate("unix_timestamp", "1970-01-01 08:00:01") == 1
    assert evaluate("unix_timestamp", typed(datetime.date(1970, 1, 1), "date")) == -28800
    rows = [["2020-05-22 10:43:40"], [""], [None], ["2020-05-22"]]
    assert over_columns("unix_timestamp", [STRING], rows)[0] == [1590115420, None, None, 1590076800]


def test_formats_of_dates_and_by_row() -> None:
    day = datetime.date(1950, 3, 4)
    rows = [(day, "%Y/%m/%d"), (day, "%H"), (None, "%Y"), (day, None)]
    assert over_columns("date_format", [DATE, STRING], rows)[0] == ["1950/03/04", "00", None, None]
    assert over_columns("add_months", [DATE, INT], [(day, 1), (None, 1)])[0] == [datetime.date(1950, 4, 4), None]
