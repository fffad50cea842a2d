"""LONG_WINDOWS: which windows of a deployment are taken, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_mlfeat.sql.commands import check
from airflow_provider_mlfeat.sql.explain import explain
from airflow_provider_mlfeat.sql.plan import LongWindow, Plan
from tests.sql.planning import plan, refused

FRAME = "ORDER BY ts ROWS_RANGE BETWEEN 365d PRECEDING AND CURRENT ROW"
W = f"WINDOW w AS (PARTITION BY key {FRAME})"
DAY = 86_400_000


def long(sql: str) -> tuple[LongWindow, ...]:
    return plan(sql, mode="request", long_windows={"W": DAY}).long_windows


def message(sql: str) -> tuple[str, int]:
    """What is said of a query whose window w is long, and the column that it points to."""
    error = refused(sql, mode="request", long_windows={"w": DAY})
    assert error.position is not None
    assert error.suggestion is not None
    return error.message, error.position.column


def test_a_long_window_is_found_in_the_plan() -> None:
    others = f"v AS (PARTITION BY key {FRAME} MAXSIZE 3), u AS (PARTITION BY id {FRAME})"
    sql = f"SELECT id, lag(big, 1) OVER u, min(big) OVER v, sum(big) OVER w + 1 FROM t {W}, {others}"
    assert long(sql) == (LongWindow("w", DAY, 1, 1),)


@pytest.mark.parametrize(
    "call",
    [
        *("count(*)", "sum(small)", "avg(real)", "min(day)", "max(text)", "count(flag)"),
        *("count_where(*, 4 > small)", "sum_where(big, (flag = true))", "avg_where(number, text != 'a')"),
        *("min_where(big, number <= -1.5)", "max_where(big, flag = 'true')"),
    ],
)
def test_aggregates_that_are_put_together_from_buckets(call: str) -> None:
    assert long(f"SELECT {call} OVER w FROM t {W}") == (LongWindow("w", DAY, 0, 0),)


@pytest.mark.parametrize(
    ("call", "expected", "column"),
    [
        ("distinct_count(big)", "'distinct_count' over the long window 'w' cannot be put together from buckets", 8),
        ("lag(big, 1)", "'lag' over the long window 'w' cannot be put together from buckets", 8),
        ("sum(big + 1)", "the long window 'w' aggregates columns, not expressions", 12),
        ("sum_where(big, small < 4 AND small > 1)", "a condition in the long window 'w' compares one column", 23),
        ("sum_where(big, if_null(small, 0) > 4)", "a condition in the long window 'w' compares one column", 23),
        ("sum_where(big, small < big)", "a condition in the long window 'w' compares one column", 23),
        ("sum_where(big, flag)", "a condition in the long window 'w' compares one column", 23),
        ("count_where(big, big = at(big, 0))", "a condition in the long window 'w' compares one column", 25),
        (
            "count_where(*, day < '2020-05-04')",
            "a condition in the long window 'w' cannot be about 'day' of type date",
            23,
        ),
    ],
)
def test_aggregates_that_are_not(call: str, expected: str, column: int) -> None:
    text, place = message(f"SELECT {call} OVER w FROM t {W}")
    assert text.startswith(expected)
    assert place == column
    # Without the option, or over another window, the query is legal.
    assert plan(f"SELECT {call} OVER w FROM t {W}", mode="request").long_windows == ()
    other = f"SELECT {call} OVER other FROM t WINDOW other AS (PARTITION BY key {FRAME})"
    assert long(other) == ()


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            f"SELECT sum(t.big) OVER w FROM t LAST JOIN u ON t.id = u.id WINDOW w AS (PARTITION BY t.key {FRAME})",
            "stands over a join, a condition or a sub-query",
        ),
        (f"SELECT sum(big) OVER w FROM t WHERE id > 1 {W}", "stands over a join, a condition or a sub-query"),
        (f"SELECT sum(b) OVER w FROM (SELECT big + 1 b, key, ts FROM t) {W}", "stands over a join, a condition or"),
        (
            f"SELECT sum(big) OVER w FROM t WINDOW w AS (UNION (SELECT * FROM t) PARTITION BY key {FRAME})",
            "has rows of other tables",
        ),
        (
            "SELECT sum(big) OVER w FROM t WINDOW w AS (PARTITION BY key ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)",
            "has no ORDER BY",
        ),
    ],
)
def test_rows_that_no_bucket_stands_for(sql: str, reason: str) -> None:
    text, place = message(sql)
    assert text.startswith(f"the long window 'w' {reason}")
    assert place == sql.index("WINDOW w") + len("WINDOW ") + 1


def test_a_window_of_a_sub_query_is_another_one() -> None:
    inner = (
        f"(SELECT id, key, ts, sum(big) OVER v AS a, sum(big) OVER w AS b FROM t WINDOW v AS (PARTITION BY id {FRAME})"
    )
    assert long(f"SELECT a, b FROM {inner}, w AS (PARTITION BY key {FRAME})) {W}") == ()


def test_buckets_are_no_part_of_the_identity() -> None:
    sql = f"SELECT sum(big) OVER w FROM t {W}"
    plain, bucketed = plan(sql), plan(sql, long_windows={"w": DAY})
    assert bucketed == plain
    assert bucketed.plan_id == plain.plan_id
    assert Plan.from_json(bucketed.to_json()).long_windows == ()
    assert "long window w: stream 0, frame 0, buckets of 1d\n" in explain(bucketed)
    assert "long window" not in explain(plain)


def test_a_script_with_a_long_window_is_checked(tmp_path: Path) -> None:
    script = tmp_path / "deploy.sql"
    script.write_text(
        "CREATE TABLE t (id int, key string, ts timestamp, big bigint);\n"
        f"DEPLOY d OPTIONS (LONG_WINDOWS='w')\nSELECT median(big) OVER w FROM t {W};\n"
    )
    outcome = check(script)
    assert outcome.code == 1
    assert f"{script}:3:8: 'median' over the long window 'w' cannot be put together from buckets" in outcome.text
