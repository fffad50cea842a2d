"""The oracle on plans written by hand: frames, joins, groups and the request row."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.types import BIGINT, BOOL, INT, STRING, TIMESTAMP, DataType
from tests.oracle.evaluate import run_batch, run_replay, run_request

NAMES = (("k", STRING), ("ts", TIMESTAMP), ("v", INT))
SCHEMA = tuple(plan.Column(name, kind) for name, kind in NAMES)
MAIN, SIDE = plan.Source("", "main", SCHEMA), plan.Source("", "side", SCHEMA)
V = plan.ColumnReference(2, INT)


def stream(*frames: plan.Frame, unions: tuple[plan.Relation, ...] = (), instance: bool = False) -> plan.Stream:
    return plan.Stream(unions, (0,), 1, instance, frames)


def seen(frame: plan.Frame, main: list[Any], side: list[Any] | None = None, instance: bool = False) -> list[list[Any]]:
    """The values that each row of `main` sees in the frame, newest first."""
    unions = () if side is None else (SIDE,)
    found: list[list[Any]] = [[] for _ in main]
    for position in range(len(main) + len(side or ())):
        nth = plan.Feature(0, 0, "at", (V, plan.Literal(position, INT)), INT)
        windows = plan.Windows(
            MAIN, (stream(frame, unions=unions, instance=instance),), (nth,), (*SCHEMA, plan.Column("x", INT))
        )
        rows = run_batch(plan.Plan(windows), {("", "main"): main, ("", "side"): side or []})
        for answer, row in zip(found, rows, strict=True):
            answer.extend([] if row[-1] is None else [row[-1]])
    return found


ROWS = [("a", 1000, 1), ("a", 2000, 2), ("b", 2000, 9), ("a", 2000, 3), ("a", 4000, 4)]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (plan.Frame("rows", 1, 0), [[1], [2, 1], [9], [3, 2], [4, 3]]),
        (plan.Frame("rows", 2, 1), [[], [1], [], [2, 1], [3, 2]]),
        (plan.Frame("rows", None, 0, exclude_current_row=True), [[], [1], [], [2, 1], [3, 2, 1]]),
        (plan.Frame("rows", 1, 0, exclude_current_time=True), [[1], [2, 1], [9], [3, 1], [4, 3]]),
        (plan.Frame("range", 1000, 0), [[1], [2, 1], [9], [3, 2, 1], [4]]),
        (plan.Frame("range", 2000, 0), [[1], [2, 1], [9], [3, 2, 1], [4, 3, 2]]),
        (plan.Frame("range", 1999, 0), [[1], [2, 1], [9], [3, 2, 1], [4]]),
        (plan.Frame("range", None, 1), [[], [1], [], [1], [3, 2, 1]]),
        (plan.Frame("range", None, 0, maxsize=2), [[1], [2, 1], [9], [3, 2], [4, 3]]),
        (plan.Frame("range", None, 0, maxsize=1, exclude_current_row=True), [[], [1], [], [2], [3]]),
        (plan.Frame("range", None, 1, maxsize=1), [[], [1], [], [1], [3]]),
        (plan.Frame("rows", 0, 1), [[], [], [], [], []]),
    ],
)
def test_frames(frame: plan.Frame, expected: list[list[int]]) -> None:
    assert seen(frame, ROWS) == expected


def test_union_rows_of_the_same_time_are_older() -> None:
    side = [("a", 2000, 10), ("a", 5000, 11)]
    assert seen(plan.Frame("rows", None, 0), ROWS, side) == [[1], [2, 10, 1], [9], [3, 2, 10, 1], [4, 3, 2, 10, 1]]
    assert seen(plan.Frame("rows", None, 0), ROWS, side, instance=True) == [[1], [2, 10], [9], [3, 10], [4, 10]]


def test_a_null_order_key_is_refused() -> None:
    with pytest.raises(DataRuleError, match="ts"):
        seen(plan.Frame("rows", None, 0), [("a", None, 1)])


def test_nulls_form_a_partition() -> None:
    main = [(None, 1, 1), ("", 2, 2), (None, 3, 3)]
    assert seen(plan.Frame("rows", None, 0), main) == [[1], [2], [3, 1]]


def last_join(order: int | None, descending: bool = False, condition: plan.Expression | None = None) -> plan.Join:
    key = (plan.ColumnReference(0, STRING),)
    return plan.Join("last", MAIN, SIDE, key, key, order, descending, condition, SCHEMA + SCHEMA)


@pytest.mark.parametrize(
    ("join", "expected"),
    [
        (last_join(None), [4, None, 5]),
        (last_join(1), [2, None, 5]),
        (last_join(1, descending=True), [3, None, 5]),
    ],
)
def test_last_join(join: plan.Join, expected: list[Any]) -> None:
    main = [("a", 1, 0), ("c", 1, 0), (None, 1, 0)]
    side = [("a", 7, 1), ("a", 7, 2), ("a", 1, 3), ("a", None, 4), (None, 1, 5)]
    rows = run_batch(plan.Plan(join), {("", "main"): main, ("", "side"): side})
    assert [row[-1] for row in rows] == expected


def test_null_join_keys_can_be_told_apart() -> None:
    tables = {("", "main"): [(None, 1, 0)], ("", "side"): [(None, 1, 5)]}
    assert run_batch(plan.Plan(last_join(None), null_join_keys="never"), tables)[0][-1] is None


def total(kind: DataType = BIGINT) -> plan.Feature:
    return plan.Feature(0, 0, "count", (), kind)


def test_groups_come_in_the_order_of_their_first_row() -> None:
    grouped = plan.Aggregate(MAIN, (0,), (total(),), (SCHEMA[0], plan.Column("n", BIGINT)))
    main = [("a", 1, 1), (None, 1, 1), ("b", 1, 1), ("a", 1, 1), (None, 1, 1)]
    assert run_batch(plan.Plan(grouped), {("", "main"): main}) == [("a", 2), (None, 2), ("b", 1)]
    assert run_batch(plan.Plan(plan.Aggregate(MAIN, (), (total(),), ())), {("", "main"): []}) == [(0,)]
    assert run_batch(plan.Plan(plan.Limit(MAIN, 2, SCHEMA)), {("", "main"): main}) == main[-2:]


def test_filter_keeps_only_what_is_true() -> None:
    condition = plan.Call("greater", (V, plan.Literal(1, INT)), BOOL)
    tables = {("", "main"): [("a", 1, 1), ("a", 1, None), ("a", 1, 2)]}
    assert run_batch(plan.Plan(plan.Filter(MAIN, condition, SCHEMA)), tables) == [("a", 1, 2)]


def counted(frame: plan.Frame) -> plan.Plan:
    windows = plan.Windows(MAIN, (stream(frame),), (total(),), (*SCHEMA, plan.Column("n", BIGINT)))
    return plan.Plan(windows, request_source=("", "main"))


def test_a_request_row_is_the_newest_arrival_and_is_not_stored() -> None:
    query = counted(plan.Frame("range", None, 0))
    stored = {("", "main"): ROWS}
    assert run_request(query, stored, ("a", 2000, 7)) == [("a", 2000, 7, 4)]
    assert run_request(query, stored, ("a", 2000, 7)) == [("a", 2000, 7, 4)]
    assert run_request(query, stored, ("x", 0, 7)) == [("x", 0, 7, 1)]


def test_replay_in_order_is_batch() -> None:
    query = counted(plan.Frame("rows", 1, 0))
    assert run_replay(query, {("", "main"): ROWS}) == run_batch(query, {("", "main"): ROWS})


def test_a_second_reference_to_the_request_table_is_the_request_row() -> None:
    key = (plan.ColumnReference(0, STRING),)
    join = plan.Join("last", MAIN, MAIN, key, key, None, False, None, SCHEMA + SCHEMA)
    query = plan.Plan(join, request_source=("", "main"))
    assert run_request(query, {("", "main"): ROWS}, ("c", 1, 5)) == [("c", 1, 5, "c", 1, 5)]
