"""Arithmetic against Python's unbounded numbers, and comparisons."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.functions.comparison import equal, less
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.zones import zone_of
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
from tests.functions.calls import evaluate, over_columns, typed

BITS = {SMALLINT: 16, INT: 32, BIGINT: 64}


def wrap(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def truncated(left: int, right: int) -> int:
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[DataType, list[tuple[int, int]]]:
    data_type = draw(st.sampled_from(list(BITS)))
    low, high = -(1 << (BITS[data_type] - 1)), (1 << (BITS[data_type] - 1)) - 1
    numbers = st.integers(low, high) | st.sampled_from([low, high, 0, 1, -1])
    return data_type, draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12))


@settings(max_examples=80, deadline=None)
@given(pairs())
def test_whole_numbers_wrap(drawn: tuple[DataType, list[tuple[int, int]]]) -> None:
    data_type, rows = drawn
    bits = BITS[data_type]
    for name, compute in (
        ("add", lambda left, right: left + right),
        ("subtract", lambda left, right: left - right),
        ("multiply", lambda left, right: left * right),
        ("int_divide", lambda left, right: truncated(left, right) if right else None),
        ("modulo", lambda left, right: left - truncated(left, right) * right if right else None),
        ("bit_and", lambda left, right: left & right),
        ("bit_or", lambda left, right: left | right),
        ("bit_xor", lambda left, right: left ^ right),
    ):
        values, result = over_columns(name, [data_type, data_type], rows)
        expected = [compute(left, right) for left, right in rows]
        assert result == data_type
        assert values == [None if value is None else wrap(value, bits) for value in expected], name
    for name, negated in (("negate", lambda value: -value), ("bit_not", lambda value: ~value)):
        values, _ = over_columns(name, [data_type], [[left] for left, _ in rows])
        assert values == [wrap(negated(left), bits) for left, _ in rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), min_size=1, max_size=12))
def test_floats_are_rounded_after_each_operation(rows: list[tuple[float, float]]) -> None:
    with np.errstate(all="ignore"):
        for name, compute in (("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply)):
            values, result = over_columns(name, [FLOAT, FLOAT], rows)
            assert result == FLOAT
            expected = [float(compute(np.float32(left), np.float32(right))) for left, right in rows]
            assert list(map(repr, values)) == list(map(repr, expected))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("divide", (1, 2), 0.5),
        ("divide", (1.0, 0.0), None),
        ("divide", (0, 0), None),
        ("modulo", (-7.5, 2.0), -1.5),
        ("modulo", (7.5, 0.0), None),
        ("modulo", (-7, 2), -1),
        ("int_divide", (-7, 2), -3),
        ("add", (typed(True, "bool"), typed(True, "bool")), True),
        ("subtract", (typed(False, "bool"), typed(True, "bool")), True),
        ("multiply", (typed(True, "bool"), typed(False, "bool")), False),
        ("int_divide", (typed(True, "bool"), typed(False, "bool")), None),
        ("modulo", (typed(True, "bool"), typed(True, "bool")), False),
        ("negate", (typed(True, "bool"),), True),
        ("add", (typed(1590738989001, "timestamp"), 30), 1590738989031),
        ("add", (typed(5, "timestamp"), typed(6, "timestamp")), 11),
        ("subtract", (typed(5, "timestamp"), typed(True, "bool")), 4),
        ("add", (None, 1), None),
        ("inc", (typed(32767, "smallint"),), -32768),
    ],
)
def test_values(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    assert repr(evaluate(name, *arguments)) == repr(expected)


COMPARISONS = {
    "equal": lambda left, right: left == right,
    "not_equal": lambda left, right: left != right,
    "less": lambda left, right: left < right,
    "less_equal": lambda left, right: left <= right,
    "greater": lambda left, right: left > right,
    "greater_equal": lambda left, right: left >= right,
}
SAMPLES: list[tuple[DataType, st.SearchStrategy[Any]]] = [
    (BOOL, st.booleans()),
    (INT, st.integers(-3, 3)),
    (DOUBLE, st.floats()),
    (STRING, st.text("aé\U0001f600b", max_size=3)),
    (DATE, st.dates(datetime.date(1900, 1, 1))),
    (TIMESTAMP, st.integers(0, 5)),
]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(SAMPLES), st.booleans())
def test_comparisons(data: st.DataObject, sample: tuple[DataType, st.SearchStrategy[Any]], constant: bool) -> None:
    data_type, values = sample
    rights = st.just(data.draw(values)) if constant else st.none() | values
    rows = data.draw(st.lists(st.tuples(st.none() | values, rights), min_size=1, max_size=10))
    for name, compare in COMPARISONS.items():
        found, result = over_columns(name, [data_type, data_type], rows)
        assert result == BOOL
        assert found == [None if None in row else compare(*row) for row in rows], name


def test_strings_of_one_dictionary_and_constants_on_either_side() -> None:
    context = CallContext(zone_of("+08:00"), (STRING, STRING), BOOL)
    column = Column.from_values(["b", "a", "c"], STRING)
    assert less(context, column, column.take(np.array([2, 0, 0]))).values.tolist() == [True, True, False]
    constant = Column.constant("b", STRING, 3)
    assert less(context, constant, column).values.tolist() == [False, False, True]
    assert equal(context, constant, constant).values.tolist() == [True] * 3


@pytest.mark.parametrize(
    ("left", "right", "is_less"),
    [
        (typed(9, "int"), typed("10", "string"), False),  # as text
        (typed(2**53 + 1, "bigint"), typed(2**53, "bigint"), False),
        (typed(16777217, "int"), typed(16777216.0, "float"), False),
        (typed(16777216.0, "float"), typed(16777217, "int"), True),
        (typed(datetime.date(2020, 5, 1), "date"), typed("2020-05-01x", "string"), True),
        (typed(math.nan, "double"), typed(1.0, "double"), False),
    ],
)
def test_mixed_types(left: Any, right: Any, is_less: bool) -> None:
    assert evaluate("less", left, right) is is_less


def test_in() -> None:
    rows = [("a", "b", None), ("a", "a", None), ("a", "b", "c"), (None, "a", "b")]
    assert over_columns("in", [STRING, STRING, STRING], rows)[0] == [None, True, False, None]
    assert evaluate("in", 3, "1", 3.0) is True
