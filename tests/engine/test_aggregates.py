"""Aggregates over a group: the vectors of the language, newest row first."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.engine.queries import Tables

N = None
T, F = True, False


def aggregate(call: str, columns: str, *values: list[Any]) -> Any:
    """A call over rows that are given newest first, column by column."""
    rows = list(zip(*values, strict=True))[::-1]
    return Tables({"t": (columns, rows)}).batch(f"SELECT {call} AS answer FROM t")[0][0]


NUMBERS = [
    ("ew_avg(v, 0.5)", [4, 3, 2, 1, 0], 3.161290),
    ("ew_avg(v, 0.5)", [4, 3, 2, N, 1, 0], 3.161290),
    ("ew_avg(v, 0.5)", [1, 2, 3, 4], 1.733333),
    ("ew_avg(v, 0.2)", [1, 2, 3, 4], 2.224932),
    ("ew_avg(v, 1.0)", [4, 3, 2, 1], 4.0),
    ("ew_avg(v, 0.0)", [4, 3, 2, 1], 2.5),
    ("ew_avg(v, NULL)", [4, 3, 2, 1], 2.5),
    ("ew_avg(v, 0.5)", [], N),
    ("drawdown(v)", [4, 10, N, 2, 5, 8, 1], 0.75),
    ("drawdown(v)", [8, 1], 0.0),
    ("drawdown(v)", [0, 1], 1.0),
    ("drawdown(v)", [10, 20, 20, 0, 1, 10], 1.0),
    ("drawdown(v)", [10, 50, 20, 5, 4, 10], 0.8),
    ("drawdown(v)", [1, -2, 2, -1], 0.5),
    ("drawdown(v)", [-1, -2, -1], N),
    ("stddev_pop(v)", [1, 2, 3, 4, N], 1.118034),
    ("stddev(v)", [1, 2, 3, 4], 1.290994),
    ("stddev_samp(v)", [1], N),
    ("var_pop(v)", [0, 3, 6], 6.0),
    ("var_samp(v)", [0, 2, 4], 4.0),
    ("var_pop(v)", [2], 0.0),
    ("variance(v)", [4], N),
    ("median(v)", [0, 1, 2, N], 1.0),
    ("median(v)", [0, 1, 2, 3], 1.5),
    ("median(v)", [1, 5, 2, 4, 3], 3.0),
    ("median(v)", [-1, -2, 0, 1], -0.5),
    ("median(v)", [N], N),
    ("avg(v)", [1, N, 2], 1.5),
    ("top1_ratio(v)", [1, 1, 2, N], 2 / 3),
    ("top1_ratio(v)", [], 0.0),
    ("entropy(v)", [1, 1, 2, 2], 1.0),
    ("entropy(v)", [N], N),
]


@pytest.mark.parametrize(("call", "values", "expected"), NUMBERS)
def test_numbers(call: str, values: list[Any], expected: float | None) -> None:
    answer = aggregate(call, "v int", values)
    assert answer is None if expected is None else math.isclose(answer, expected, rel_tol=1e-6)


EXACT = [
    ("sum(v)", [4, N, 5], 9),
    ("sum(v)", [2_147_483_647, 1], -2_147_483_648),
    ("sum(v)", [], N),
    ("min(v)", [3, N, 1], 1),
    ("max(v)", [N], N),
    ("count(v)", [3, N, 1], 2),
    ("count(*)", [3, N, 1], 3),
    ("count(*)", [], 0),
    ("distinct_count(v)", [0, N, 1], 2),
    ("distinct_count(v)", [N], 1),
    ("distinct_count(v)", [], 0),
    ("first_value(v)", [3, 2, N], N),
    ("first_value(v, true)", [3, 2, N], 2),
    ("last_value(v)", [3, 2, N], 3),
    ("top(v, 4)", [1, 6, 3, 4, 5, 2, 6], "6,6,5,4"),
    ("top(v, 4)", [1, N, 3, N, 5], "5,3,1"),
    ("top(v, 4)", [], ""),
    ("topn_frequency(v, 2)", [3, 1, 2, 1, 3], "1,3"),
    ("topn_frequency(v, 3)", [1, N], "1,NULL,NULL"),
    ("topn_frequency(v, 2)", [N, N], "NULL,NULL"),
    ("topn_frequency(v, 2)", [], ""),
    ("topn_frequency(v, 0)", [1], ""),
]


@pytest.mark.parametrize(("call", "values", "expected"), EXACT)
def test_exact(call: str, values: list[Any], expected: Any) -> None:
    assert aggregate(call, "v int", values) == expected


def test_the_smallest_bigint_is_no_padding() -> None:
    smallest = -(2**63)
    assert aggregate("topn_frequency(v, 2)", "v bigint", [smallest]) == f"{smallest},NULL"


def test_texts_of_floats_and_times() -> None:
    assert aggregate("top(v, 4)", "v float", [1.1, 6.6, 5.5, 6.6]) == "6.600000,6.600000,5.500000,1.100000"
    assert aggregate("top(v, 2)", "v timestamp", [1000, 6000]) == "1970-01-01 08:00:06,1970-01-01 08:00:01"


def test_sum_of_floats_is_rounded_at_each_step() -> None:
    big = float(2**24)
    assert aggregate("sum(v)", "v float", [big, 1.0, 1.0]) == big
    assert aggregate("sum(v)", "v float", [1.0, 1.0, big]) == big + 2


@pytest.mark.parametrize(
    ("call", "values", "conditions", "expected"),
    [
        ("sum_where(v, c)", [4, 5, 6, N], [T, T, N, F], 9),
        ("sum_where(v, c)", [0], [T], 0),
        ("avg_where(v, c)", [4, 5, 6, N, 8], [T, F, N, T, T], 6.0),
        ("count_where(v, c)", [4, 5, 6, N], [T, F, N, T], 1),
        ("count_where(*, c)", [4, 5, 6, N], [T, F, N, T], 2),
        ("min_where(v, c)", [7, 5, 4, 8], [T, F, N, T], 7),
        ("max_where(v, c)", [1, 5, 4, 0], [T, F, N, T], 1),
        ("max_where(v, c)", [1], [F], N),
        ("nth_value_where(v, 2, c)", [4, 5, 6, 7], [T, T, F, T], 5),
        ("nth_value_where(v, -1, c)", [4, 5, 6, 7], [F, T, F, T], 5),
        ("nth_value_where(v, 0, c)", [4], [T], N),
    ],
)
def test_conditions(call: str, values: list[Any], conditions: list[Any], expected: Any) -> None:
    assert aggregate(call, "v int, c bool", values, conditions) == expected


NINE = [1, 2, 3, 4, 5, 6, 7, 8, 9]
KEYS = [0, 1, 2] * 3


@pytest.mark.parametrize(
    ("call", "true_rows", "expected"),
    [
        ("top_n_key_count_cate_where(v, c, k, 2)", 6, "2:2,1:2"),
        ("top_n_key_sum_cate_where(v, c, k, 2)", 6, "2:9,1:7"),
        ("top_n_key_min_cate_where(v, c, k, 2)", 6, "2:3,1:2"),
        ("top_n_key_max_cate_where(v, c, k, 2)", 6, "2:6,1:5"),
        ("top_n_key_avg_cate_where(v, c, k, 2)", 6, "2:4.500000,1:3.500000"),
        ("top_n_value_sum_cate_where(v, c, k, 2)", 7, "0:12,2:9"),
        ("top_n_value_min_cate_where(v, c, k, 2)", 7, "2:3,1:2"),
        ("top_n_value_max_cate_where(v, c, k, 2)", 7, "0:7,2:6"),
        ("top_n_value_avg_cate_where(v, c, k, 2)", 7, "2:4.500000,0:4.000000"),
        ("top_n_value_count_cate_where(v, c, k, 2)", 6, "2:2,1:2"),
        ("top_n_value_sum_cate_where(v, c, k, 0)", 7, ""),
        ("top_n_value_sum_cate_where(v, c, k, -1)", 7, "0:12,2:9,1:7"),
        ("sum_cate_where(v, c, k)", 6, "0:5,1:7,2:9"),
        ("count_cate(v, k)", 0, "0:3,1:3,2:3"),
    ],
)
def test_categories(call: str, true_rows: int, expected: str) -> None:
    conditions = [place < true_rows for place in range(9)]
    assert aggregate(call, "v int, c bool, k int", NINE, conditions, KEYS) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("top_n_key_count_cate_where(v, c, k, 2)", "z:1,y:1"),
        ("top_n_key_sum_cate_where(v, c, k, 2)", "z:3,y:5"),
        ("top_n_key_avg_cate_where(v, c, k, 2)", "z:3.000000,y:5.000000"),
        ("top_n_value_sum_cate_where(v, c, k, 2)", "y:5,x:4"),
        ("top_n_value_avg_cate_where(v, c, k, 2)", "y:5.000000,x:4.000000"),
    ],
)
def test_categories_with_nulls(call: str, expected: str) -> None:
    values, conditions = [1, 2, 3, 4, 5, 6, N], [F, N, T, T, T, T, T]
    assert aggregate(call, "v int, c bool, k string", values, conditions, ["x", "y", "z", "x", "y", N, "x"]) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("top_n_key_ratio_cate(v, c, k, 2)", "z:1.000000,y:0.500000"),
        ("top_n_value_ratio_cate(v, c, k, 2)", "z:1.000000,x:1.000000"),
    ],
)
def test_ratios(call: str, expected: str) -> None:
    keys = ["x", "x", "x", "y", "y", "z", "z"]
    assert aggregate(call, "v int, c bool, k string", [1] * 7, [T, T, T, T, F, T, T], keys) == expected


def test_strings_order_by_their_bytes() -> None:
    values = ["b", "é", "a", "Z", "é"]
    assert aggregate("max(v)", "v string", values) == "é"
    assert aggregate("min(v)", "v string", values) == "Z"
    assert aggregate("topn_frequency(v, 3)", "v string", values) == "é,Z,a"


def test_lists_over_rows() -> None:
    values = ["b,c", N, "a,b"]
    assert aggregate("`join`(window_split(v, ','), ' ')", "v string", values) == "b c a b"
    assert aggregate("distinct_count(window_split(v, ','))", "v string", values) == 3
    assert aggregate("top1_ratio(window_split(v, ','))", "v string", values) == 0.5
    assert aggregate("`join`(window_split_by_key(v, ',', ':'), ' ')", "v string", ["x:1,y", "z:2:3"]) == "x z"
    assert aggregate("`join`(window_split_by_value(v, ',', ':'), ' ')", "v string", ["x:1,y", "z:2:3"]) == "1 2:3"
