"""Partial aggregates: which aggregates have them, and when what they come to is exact."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.engine.partials import NotExactError, Summary, mean_of, parts_of, why_without_parts
from airflow_provider_mlfeat.engine.request_long import LongFrame, long_frames
from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.planner import plan_query

CATALOG = Catalog.from_columns({"t": {"k": "string", "at": "timestamp", "n": "int", "x": "double", "s": "string"}})


def _long(call: str, frame: str = "ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW") -> LongFrame:
    sql = f"SELECT {call} OVER w AS f FROM t WINDOW w AS (PARTITION BY k ORDER BY at {frame})"
    (found,) = long_frames(plan_query(sql, CATALOG, mode="request", long_windows={"w": 1_000}))
    return found


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("sum(n)", ""),
        ("avg_where(n, x > 1.5)", ""),
        ("count(s)", ""),
        ("count(*)", ""),
        ("max(x)", ""),
        ("min(at)", ""),
        ("sum(x)", "the order in which numbers of type double are added decides their sum"),
        ("avg_where(x, n = 1)", "the order in which numbers of type double are added decides their sum"),
        ("max(s)", "strings have no order among buckets"),
    ],
)
def test_what_has_parts(call: str, reason: str) -> None:
    long = _long(call)
    (feature,) = long.features
    assert why_without_parts(feature, long.frame) == reason
    assert bool(long.parts()) == (not reason)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("sum(n + 1)", "it aggregates an expression"),
        ("count(substr(s, 2))", "it aggregates an expression"),
        ("avg_where(n, x > 1.5 and n > 2)", "its condition is more than a column compared with a constant"),
        ("count_where(n, x > n)", "its condition is more than a column compared with a constant"),
        ("count_where(n, at > timestamp(1000))", "its condition is more than a column compared with a constant"),
        ("count_where(n, x > -1.5)", ""),
        ("count_where(n, n > 1.5)", ""),
    ],
)
def test_what_another_window_of_the_same_rows_computes(call: str, reason: str) -> None:
    window = "(PARTITION BY k ORDER BY at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)"
    sql = f"SELECT count(*) OVER w AS f, {call} OVER v AS g FROM t WINDOW w AS {window}, v AS {window}"
    (long,) = long_frames(plan_query(sql, CATALOG, mode="request", long_windows={"w": 1_000}))
    assert [why_without_parts(feature, long.frame) for feature in long.features] == ["", reason]
    # Whatever they are, a store can compute them.
    Summary(long.parts(), long.schema)


def test_windows_that_count_rows_have_none() -> None:
    for frame in (
        "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
        "ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW MAXSIZE 9",
    ):
        assert list(_long("sum(n)", frame).from_rows()) == ["sum(n): its window counts rows"]


def test_a_mean_is_made_of_four_parts() -> None:
    (feature,) = _long("avg_where(n, x > 1.5)").features
    assert [part.function for part in parts_of(feature)] == ["sum_where", "count_where", "min_where", "max_where"]


def test_means() -> None:
    assert mean_of(7, 2, 3, 4) == 3.5
    assert mean_of(None, 0, None, None) is None
    assert mean_of(2**53, 2, 2**52, 2**52) == 2.0**52
    # The walk adds in doubles, and beyond this the order decides which bits are lost.
    with pytest.raises(NotExactError):
        mean_of(2**53 + 1, 2, 2**52, 2**52 + 1)
    with pytest.raises(NotExactError):
        mean_of(0, 2, -(2**60), 2**60)
