"""The oracle against upstream's unit vectors (rows newest first)."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    DataType,
)
from tests.oracle.expressions import Session
from tests.oracle.relations import feature_value
from tests.oracle.values import float32

T, F, N = True, False, None


def over(function: str, *columns: Any, result: DataType = DOUBLE) -> Any:
    """An aggregate over columns ``(type, values)``, newest first; anything else is a constant argument."""
    arguments: list[plan.Expression] = []
    data: list[list[Any]] = []
    for column in columns:
        if isinstance(column, tuple):
            arguments.append(plan.ColumnReference(len(data), column[0]))
            data.append(column[1])
        else:
            arguments.append(plan.Literal(column, _type_of(column)))
    rows = list(zip(*data, strict=True))
    call = plan.Feature(0, 0, function, tuple(arguments), result)
    return feature_value(call, rows, rows[0] if rows else None, Session("+08:00"))


def near(expected: float | None) -> Any:
    return None if expected is None else pytest.approx(expected, rel=1e-5)


def _type_of(value: Any) -> DataType:
    return {float: DOUBLE, int: INT, str: STRING, type(None): NULL}[type(value)]


@pytest.mark.parametrize(
    ("alpha", "values", "expected"),
    [
        (0.5, [4, 3, 2, 1, 0], 3.161290),
        (0.5, [4, 3, 2, N, 1, 0], 3.161290),
        (0.5, [1, 2, 3, 4], 1.733333),
        (0.5, [1], 1.0),
        (0.5, [0], 0.0),
        (0.2, [1, 2, 3, 4], 2.224932),
        (1.0, [4, 3, 2, 1], 4.0),
        (0.0, [4, 3, 2, 1], 2.5),
        (N, [4, 3, 2, 1], 2.5),
        (0.5, [], N),
        (0.5, [N], N),
    ],
)
def test_ew_avg(alpha: float | None, values: list[Any], expected: float | None) -> None:
    assert over("ew_avg", (INT, values), alpha) == near(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4, 10, 2, 5, 8, 1], 0.75),
        ([4, 10, N, 2, 5, 8, 1], 0.75),
        ([1], 0.0),
        ([8, 1], 0.0),
        ([0, 0], 0.0),
        ([1, 1], 0.0),
        ([0, 1], 1.0),
        ([10, 20, 20, 0, 1, 10], 1.0),
        ([10, 50, 20, 5, 4, 10], 0.8),
        ([1, -2, 2, -1], 0.5),
        ([], N),
        ([N], N),
        ([-1, -2, -1], N),
    ],
)
def test_drawdown(values: list[Any], expected: float | None) -> None:
    assert over("drawdown", (INT, values)) == near(expected)


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        ("stddev_pop", [1, 2, 3, 4], 1.118034),
        ("stddev_samp", [1, 2, 3, 4], 1.290994),
        ("stddev_samp", [1, 2, N, 3, 4], 1.290994),
        ("stddev_samp", [1], N),
        ("stddev_pop", [], N),
        ("stddev_samp", [N], N),
        ("var_pop", [0, 3, 6], 6.0),
        ("var_samp", [0, 2, 4], 4.0),
        ("var_pop", [2], 0.0),
        ("var_samp", [4], N),
        ("var_pop", [], N),
        ("median", [0, 1, 2], 1.0),
        ("median", [0, 1, 2, 3], 1.5),
        ("median", [1, 5, 2, 4, 3], 3.0),
        ("median", [-1, -2, 0, 1], -0.5),
        ("median", [0, 1, 2, N], 1.0),
        ("median", [], N),
        ("median", [N], N),
    ],
)
def test_statistics(function: str, values: list[Any], expected: float | None) -> None:
    assert over(function, (INT, values)) == near(expected)


def test_entropy() -> None:
    days = [datetime.date(2020, 5, day) for day in (1, 1, 2, 3)]
    assert over("entropy", (STRING, ["A", "A", "B", "B"])) == 1.0
    assert over("entropy", (DATE, days)) == 1.5
    assert over("entropy", (INT, [])) is None
    assert over("entropy", (INT, [N])) is None


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (INT, [1, 6, 3, 4, 5, 2, 6], "6,6,5,4"),
        (FLOAT, [float32(v * 1.1) for v in (1, 6, 3, 4, 5, 2, 6)], "6.600000,6.600000,5.500000,4.400000"),
        (
            TIMESTAMP,
            [v * 1000 for v in (1, 6, 3, 4, 5, 2, 6)],
            "1970-01-01 08:00:06,1970-01-01 08:00:06,1970-01-01 08:00:05,1970-01-01 08:00:04",
        ),
        (INT, [1, N, 3, N, 5], "5,3,1"),
        (INT, [], ""),
    ],
)
def test_top(kind: DataType, values: list[Any], expected: str) -> None:
    assert over("top", (kind, values), 4, result=STRING) == expected


@pytest.mark.parametrize(
    ("function", "values", "conditions", "expected"),
    [
        ("sum_where", [4, 5, 6, N], [T, T, N, F], 9),
        ("avg_where", [4, 5, 6, N], [T, F, N, T], 4.0),
        ("avg_where", [4, 5, 6, N, 8], [T, F, N, T, T], 6.0),
        ("sum_where", [], [], N),
        ("avg_where", [N], [T], N),
        ("count_where", [4, 5, 6, N], [T, F, N, T], 1),
        ("min_where", [7, 5, 4, 8], [T, F, N, T], 7),
        ("max_where", [1, 5, 4, 0], [T, F, N, T], 1),
        ("count_where", [1], [F], 0),
        ("min_where", [1], [F], N),
        ("max_where", [1], [F], N),
    ],
)
def test_where(function: str, values: list[Any], conditions: list[Any], expected: Any) -> None:
    result = {"count_where": BIGINT, "avg_where": DOUBLE}.get(function, INT)
    assert over(function, (INT, values), (BOOL, conditions), result=result) == expected


VALUES, KEYS = list(range(1, 10)), [0, 1, 2] * 3
FIRST_SIX, FIRST_SEVEN = [T] * 6 + [F] * 3, [T] * 7 + [F] * 2
GAPS = ([1, 2, 3, 4, 5, 6, N], [F, N, T, T, T, T, T], ["x", "y", "z", "x", "y", N, "x"])


@pytest.mark.parametrize(
    ("order", "summary", "conditions", "expected"),
    [
        ("key", "count", FIRST_SIX, "2:2,1:2"),
        ("key", "sum", FIRST_SIX, "2:9,1:7"),
        ("key", "min", FIRST_SIX, "2:3,1:2"),
        ("key", "max", FIRST_SIX, "2:6,1:5"),
        ("key", "avg", FIRST_SIX, "2:4.500000,1:3.500000"),
        ("value", "sum", FIRST_SEVEN, "0:12,2:9"),
        ("value", "min", FIRST_SEVEN, "2:3,1:2"),
        ("value", "max", FIRST_SEVEN, "0:7,2:6"),
        ("value", "avg", FIRST_SEVEN, "2:4.500000,0:4.000000"),
        ("value", "count", FIRST_SIX, "2:2,1:2"),
    ],
)
def test_top_n(order: str, summary: str, conditions: list[bool], expected: str) -> None:
    name = f"top_n_{order}_{summary}_cate_where"
    assert over(name, (INT, VALUES), (BOOL, conditions), (INT, KEYS), 2, result=STRING) == expected


@pytest.mark.parametrize(
    ("order", "summary", "expected"),
    [
        ("key", "count", "z:1,y:1"),
        ("key", "sum", "z:3,y:5"),
        ("key", "min", "z:3,y:5"),
        ("key", "max", "z:3,y:5"),
        ("key", "avg", "z:3.000000,y:5.000000"),
        ("value", "sum", "y:5,x:4"),
        ("value", "min", "y:5,x:4"),
        ("value", "max", "y:5,x:4"),
        ("value", "avg", "y:5.000000,x:4.000000"),
    ],
)
def test_top_n_with_gaps(order: str, summary: str, expected: str) -> None:
    values, conditions, keys = GAPS
    name = f"top_n_{order}_{summary}_cate_where"
    assert over(name, (INT, values), (BOOL, conditions), (STRING, keys), 2, result=STRING) == expected


@pytest.mark.parametrize(("order", "expected"), [("key", "z:1.000000,y:0.500000"), ("value", "z:1.000000,x:1.000000")])
def test_ratio(order: str, expected: str) -> None:
    keys, conditions = ["x", "x", "x", "y", "y", "z", "z"], [T, T, T, T, F, T, T]
    name = f"top_n_{order}_ratio_cate"
    assert over(name, (INT, [1] * 7), (BOOL, conditions), (STRING, keys), 2, result=STRING) == expected


def test_frequencies() -> None:
    assert over("topn_frequency", (STRING, ["b", "a", "", N]), 4, result=STRING) == ",a,b,NULL"
    assert over("topn_frequency", (STRING, []), 2, result=STRING) == ""
    assert over("topn_frequency", (STRING, [N]), 2, result=STRING) == "NULL,NULL"
    assert over("topn_frequency", (STRING, ["a"]), -1, result=STRING).count("NULL") == 1023
    assert over("top1_ratio", (STRING, ["a", "a", "b", N])) == pytest.approx(2 / 3)
    assert over("top1_ratio", (STRING, [])) == 0.0


def test_distinct_count_takes_null_for_the_zero_value() -> None:
    assert over("distinct_count", (INT, [0, N, 1]), result=BIGINT) == 2
    assert over("distinct_count", (STRING, ["", N]), result=BIGINT) == 1
    assert over("distinct_count", (BOOL, [F, N]), result=BIGINT) == 1
    assert over("distinct_count", (DATE, [datetime.date(1970, 1, 1), N]), result=BIGINT) == 2
    assert over("distinct_count", (INT, [N]), result=BIGINT) == 1
    assert over("distinct_count", (INT, []), result=BIGINT) == 0


def test_positions() -> None:
    rows = (INT, [3, N, 1])
    assert over("at", rows, 0, result=INT) == 3
    assert over("at", rows, 1, result=INT) is None
    assert over("at", rows, 3, result=INT) is None
    assert over("first_value", rows, result=INT) == 1
    assert over("last_value", rows, result=INT) == 3
    assert over("nth_value_where", rows, 1, (BOOL, [T, T, F]), result=INT) is None
    assert over("nth_value_where", rows, -1, (BOOL, [T, T, F]), result=INT) == 3
    assert over("nth_value_where", rows, 0, (BOOL, [T, T, F]), result=INT) is None
