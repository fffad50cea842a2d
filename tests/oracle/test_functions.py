"""The oracle's scalar functions against values that the reference states."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest

from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    DataType,
)
from tests.oracle.casts import cast
from tests.oracle.farmhash import fingerprint64
from tests.oracle.patterns import matches_like
from tests.oracle.scalars import Invocation, apply
from tests.oracle.values import float32, wrap

ZONE = "+08:00"
TYPES = {int: INT, float: DOUBLE, str: STRING, bool: BOOL, datetime.date: DATE, type(None): INT}


def call(function: str, *values: Any, result: DataType = INT, types: tuple[DataType, ...] | None = None) -> Any:
    types = types or tuple(TYPES.get(type(value), INT) for value in values)
    return apply(function, Invocation(types, result, ZONE), list(values))


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("1.5", STRING, INT, None),
        ("", STRING, INT, None),
        (" 12", STRING, INT, 12),
        ("-0x1F", STRING, INT, -31),
        ("40000", STRING, SMALLINT, None),
        ("1e3", STRING, DOUBLE, 1000.0),
        ("1e3 ", STRING, DOUBLE, None),
        ("-Inf", STRING, DOUBLE, -math.inf),
        ("YES", STRING, BOOL, True),
        ("2", STRING, BOOL, None),
        (40000, INT, SMALLINT, -25536),
        (-1.9, DOUBLE, INT, -1),
        (3e9, DOUBLE, INT, None),
        (math.nan, DOUBLE, BIGINT, None),
        (-1, BIGINT, TIMESTAMP, None),
        (datetime.date(2020, 5, 20), DATE, INT, None),
        (datetime.date(1970, 1, 2), DATE, TIMESTAMP, 57_600_000),
        (1590115420000, TIMESTAMP, STRING, "2020-05-22 10:43:40"),
        (1590115420000, TIMESTAMP, DATE, datetime.date(2020, 5, 22)),
        ("20200522", STRING, DATE, datetime.date(2020, 5, 22)),
        ("2020-5-22", STRING, DATE, None),
        ("1899-12-31", STRING, DATE, None),
        ("2020-05-22 10:43:40", STRING, TIMESTAMP, 1590115420000),
        (1234567.0, DOUBLE, STRING, "1.23457e+06"),
        (float32(11.1), FLOAT, STRING, "11.1"),
        (True, BOOL, STRING, "true"),
    ],
)
def test_casts(value: Any, source: DataType, target: DataType, expected: Any) -> None:
    assert cast(value, source, target, ZONE) == expected


@pytest.mark.parametrize(
    ("text", "pattern", "escape", "expected"),
    [
        ("abc", "a%", "\\", True),
        ("abc", "a_", "\\", False),
        ("a%", "a\\%", "\\", True),
        ("ab", "a\\%", "\\", False),
        ("a\\b", "a\\_", "", True),
        ("", "%", "\\", True),
        ("é", "_", "\\", True),
    ],
)
def test_like(text: str, pattern: str, escape: str, expected: bool) -> None:
    assert matches_like(text, pattern, escape) is expected


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        ("divide", (1, 0), None),
        ("modulo", (-7, 3), -1),
        ("int_divide", (-7, 2), -3),
        ("pmod", (-10, 3), 2),
        ("pmod", (10, -3), 1),
        ("and", (False, None), False),
        ("or", (True, None), True),
        ("and", (True, None), None),
        ("in", (1, 2, None), None),
        ("in", (1, 1, None), True),
        ("locate", ("b", "abb", 3), 3),
        ("locate", ("b", "abb", 0), 0),
        ("substr", ("hello_world", 3), "llo_world"),
        ("substr", ("hello_world", -5, 2), "wo"),
        ("substr", ("hello_world", 0), ""),
        ("char_length", ("né",), 2),
        ("strcmp", ("a", "b"), -1),
        ("dayofweek", (datetime.date(2020, 5, 17),), 1),
        ("datediff", ("2020-05-20", "20200519"), 1),
        ("hash64", (90,), -3754664774081171349),
        ("hash64", (3,), 2681491882390849628),
    ],
)
def test_functions(function: str, values: tuple[Any, ...], expected: Any) -> None:
    result = {str: STRING, bool: BOOL, type(None): BOOL}.get(type(expected), BIGINT)
    assert call(function, *values, result=result) == expected


def test_rounding_to_float_happens_once() -> None:
    assert wrap(2**31, INT.kind) == -(2**31)
    assert float32(2**24 + 1) == 2**24
    # Half way between two floats in double, but one above half way as an int.
    assert float32((1 << 60) + (1 << 36) + 1) == float((1 << 60) + (1 << 37))
    assert call("earth_distance", 40.0, 73.0, 41.0, 74.0, result=DOUBLE) == pytest.approx(139.72810080682342)


def test_fingerprints_of_text() -> None:
    published = {"1footrue": -1541654101129638711, "2applefalse": 2794438866806483259, "3true": -4880158226897771312}
    assert {text: wrap(fingerprint64(text.encode()), BIGINT.kind) for text in published} == published
    assert wrap(fingerprint64(b"a" * 66), BIGINT.kind) == -5326603526618982479
