"""CAST and the conversion functions: every rule, and properties against Python."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    DataType,
    parse_type,
)
from tests.functions.calls import call, cast, over_columns, typed, value_of

DAY = datetime.date(2020, 5, 22)
RULES = [
    # type, value, target, result
    ("int", 70000, "smallint", 4464),
    ("bigint", 2**31, "int", -(2**31)),
    ("timestamp", 1590115420000, "smallint", -14496),
    ("double", -1.9, "int", -1),
    ("double", math.nan, "int", None),
    ("double", 2147483648.0, "int", None),
    ("double", 2147483647.5, "int", 2147483647),
    ("double", 9.3e18, "bigint", None),
    ("float", math.inf, "smallint", None),
    ("double", 1e300, "float", math.inf),
    ("double", 0.1, "float", 0.10000000149011612),
    ("int", 2, "bool", True),
    ("double", math.nan, "bool", True),
    ("double", -0.0, "bool", False),
    ("bool", True, "double", 1.0),
    ("bool", True, "timestamp", 1),
    ("int", -1, "timestamp", None),
    ("double", -1.0, "timestamp", None),
    ("double", 12.9, "timestamp", 12),
    ("date", DAY, "int", None),
    ("date", DAY, "bool", None),
    ("date", DAY, "timestamp", 1590076800000),
    ("timestamp", 1590115420000, "double", 1590115420000.0),
    ("timestamp", 0, "bool", False),
    ("timestamp", 1590163199000, "date", DAY),
    ("timestamp", 1590163200000, "date", datetime.date(2020, 5, 23)),
    ("string", " 12", "int", 12),
    ("string", "-0x1F", "int", -31),
    ("string", "+7", "smallint", 7),
    ("string", "32768", "smallint", None),
    ("string", "1.5", "int", None),
    ("string", "", "int", None),
    ("string", "12 ", "int", None),
    ("string", "1_000", "int", None),
    ("string", "٣", "int", None),
    ("string", "9" * 5000, "bigint", None),
    ("string", "0" * 5000 + "7", "bigint", 7),
    ("string", "1.5e3", "double", 1500.0),
    ("string", ".5", "float", 0.5),
    ("string", "0x1p3", "double", 8.0),
    ("string", "0x1p99999", "double", math.inf),
    ("string", "-INF", "double", -math.inf),
    ("string", "1e999", "double", math.inf),
    ("string", "1.5x", "double", None),
    ("string", "", "double", None),
    ("string", "1_0", "double", None),
    ("string", "Yes", "bool", True),
    ("string", "F", "bool", False),
    ("string", "2", "bool", None),
    ("string", "2020-05-22 10:43:40", "timestamp", 1590115420000),
    ("string", "2020-05-22", "timestamp", 1590076800000),
    ("string", "20200522", "timestamp", 1590076800000),
    ("string", "1590738989000", "timestamp", None),
    ("string", "2020-5-22", "timestamp", None),
    ("string", "2020-02-30", "date", None),
    ("string", "1899-12-31", "date", None),
    ("string", "1900-01-01", "date", datetime.date(1900, 1, 1)),
    ("string", "2020-05-22 23:59:59", "date", DAY),
    ("string", "2020-05-22T10:43:40", "date", None),
    ("bool", False, "string", "false"),
    ("bigint", -(2**63), "string", "-9223372036854775808"),
    ("double", 1.234, "string", "1.234"),
    ("double", 1234567.0, "string", "1.23457e+06"),
    ("double", 100000.0, "string", "100000"),
    ("double", 0.00001, "string", "1e-05"),
    ("double", math.inf, "string", "inf"),
    ("float", 11.1, "string", "11.1"),
    ("date", datetime.date(1900, 1, 2), "string", "1900-01-02"),
    ("timestamp", 1590115420999, "string", "2020-05-22 10:43:40"),
    ("timestamp", 253402300800000, "string", None),
    ("timestamp", 253402300800000, "date", None),
]


@pytest.mark.parametrize(("source", "value", "target", "expected"), RULES)
def test_rule(source: str, value: Any, target: str, expected: Any) -> None:
    source_type, target_type = parse_type(source), parse_type(target)
    stored = Column.from_values([value], source_type).value(0)
    assert repr(value_of(cast(typed(stored, source), target_type))) == repr(expected)
    function = target_type.kind.value
    assert repr(value_of(call(function, typed(stored, source)))) == repr(expected)
    values, result = over_columns(function, [source_type], [[stored], [None], [stored], [None]])
    assert result == target_type
    assert repr(values) == repr([expected, None, expected, None])


def test_null_is_null_in_every_type() -> None:
    for target in (SMALLINT, STRING, DATE, parse_type("map<int,string>"), parse_type("array<date>")):
        assert value_of(cast(typed(None, "null"), target)) is None


def test_lists_and_maps_are_cast_by_element() -> None:
    assert value_of(cast(call("array", 1, None), parse_type("array<string>"))) == ("1", None)
    assert value_of(cast(call("map", 7, "9"), parse_type("map<string,int>"))) == {"7": 9}
    # 65537 and 1 are the same smallint; the first pair counts.
    merged = cast(call("map", 65537, "first", 1, "second"), parse_type("map<smallint,string>"))
    assert value_of(merged) == {1: "first"}
    assert value_of(cast(call("map"), parse_type("map<string,timestamp>"))) == {}


def test_the_zone_counts() -> None:
    summer, winter = 1594800000000, 1579000000000
    for zone, texts in (
        ("+00:00", ["2020-07-15 08:00:00", "2020-01-14 11:06:40"]),
        ("-03:30", ["2020-07-15 04:30:00", "2020-01-14 07:36:40"]),
        ("Europe/Berlin", ["2020-07-15 10:00:00", "2020-01-14 12:06:40"]),
    ):
        assert over_columns("string", [TIMESTAMP], [[summer], [winter]], zone)[0] == texts
        assert over_columns("timestamp", [STRING], [[text] for text in texts], zone)[0] == [summer, winter]


def test_many_texts_are_read_as_few_are() -> None:
    texts = [
        *("-0", "007", "32768", "-32768", "1" * 18, "1" * 19, "9" * 20, "0.1", "1.50", "-3.14159265358979", "1e3", ""),
        *("0x1F", " 1", "1 ", "1\n", "nan", "-inf", ".5", "5.", "123456789012345.123456789012345", "x", "-", "--1"),
    ]
    rows = [[text] for text in texts]
    many = [[f"{number}.{number}"] for number in range(100)]
    for target in ("smallint", "int", "bigint", "float", "double"):
        alone = [value_of(call(target, typed(text, "string"))) for text in texts]
        together, _ = over_columns(target, [STRING], [*rows, *many])
        assert repr(together[: len(texts)]) == repr(alone)


WIDTHS = {SMALLINT: 16, INT: 32, BIGINT: 64}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), st.sampled_from(list(WIDTHS)))
def test_narrowing_wraps_as_in_twos_complement(values: list[int], target: DataType) -> None:
    bits = WIDTHS[target]
    expected = [(value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1)) for value in values]
    assert over_columns(str(target), [BIGINT], [[value] for value in values])[0] == expected


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_whole_numbers_survive_text(values: list[int]) -> None:
    texts = over_columns("string", [BIGINT], [[value] for value in values])[0]
    assert texts == [str(value) for value in values]
    assert over_columns("bigint", [STRING], [[text] for text in texts])[0] == values


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_text_of_fractions_is_printf_g(values: list[float]) -> None:
    assert over_columns("string", [FLOAT], [[value] for value in values])[0] == [f"{value:g}" for value in values]
    assert over_columns("string", [DOUBLE], [[value] for value in values])[0] == [f"{value:g}" for value in values]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.dates(datetime.date(1900, 1, 1)), min_size=1, max_size=20),
    st.sampled_from(["+08:00", "-11:00", "Asia/Shanghai", "America/New_York", "Pacific/Apia"]),
)
def test_dates_survive_text_and_local_midnight(days: list[datetime.date], zone: str) -> None:
    texts = over_columns("string", [DATE], [[day] for day in days], zone)[0]
    assert texts == [day.isoformat() for day in days]
    assert over_columns("date", [STRING], [[text] for text in texts], zone)[0] == days
    midnights = over_columns("timestamp", [DATE], [[day] for day in days], zone)[0]
    # Samoa slept through the 30th of December 2011.
    again = over_columns("date", [TIMESTAMP], [[moment] for moment in midnights], zone)[0]
    skipped = datetime.date(2011, 12, 30)
    assert [day for day in again if day != skipped + datetime.timedelta(1)] == [
        day for day in days if day not in (skipped, skipped + datetime.timedelta(1))
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=8) | st.from_regex(r"[ +-]?[0-9.exinf]{1,8}", fullmatch=True), max_size=20))
def test_no_text_makes_a_cast_fail(texts: list[str]) -> None:
    for target in ("bool", "smallint", "bigint", "float", "double", "date", "timestamp"):
        over_columns(target, [STRING], [[text] for text in texts])
