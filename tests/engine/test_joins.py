"""LAST JOIN and LEFT JOIN: candidates, order, ties and NULLs."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.engine.batch import run_batch
from tests.engine.queries import Tables, rows_of

RIGHT = [(0, "a", 5), (1, "a", 7), (2, "a", 7), (3, "a", None), (4, None, 1), (5, "c", None), (6, "c", None)]
TABLES = Tables(
    {
        "l": ("id int, k string, t bigint", [(0, "a", 6), (1, None, 9), (2, "b", 9), (3, "c", 9), (4, "a", 1)]),
        "r": ("id int, k string, o bigint", RIGHT),
    }
)


def joined(join: str) -> dict[int, int | None]:
    """Per left row the right row that was joined to it, in batch and as a request."""
    sql = f"SELECT l.id AS left_id, r.id AS right_id FROM l LAST JOIN r {join}"
    answer = dict(TABLES.batch(sql))
    assert dict(TABLES.replay(sql, "l")) == answer
    return answer


def test_the_largest_order_value_wins_and_the_last_arrival_among_equals() -> None:
    assert joined("ORDER BY r.o ON l.k = r.k")[0] == 2


def test_the_smallest_wins_when_descending_and_null_never_does() -> None:
    assert joined("ORDER BY r.o DESC ON l.k = r.k")[0] == 0


def test_null_is_chosen_only_without_another_candidate() -> None:
    assert joined("ORDER BY r.o ON l.k = r.k")[3] == 6


def test_without_an_order_the_last_arrival_wins() -> None:
    assert joined("ON l.k = r.k") == {0: 3, 1: 4, 2: None, 3: 6, 4: 3}


def test_null_keys_match_unless_told_otherwise() -> None:
    assert joined("ON l.k = r.k")[1] == 4
    plan = TABLES.plan("SELECT l.id, r.id AS other FROM l LAST JOIN r ON l.k = r.k", null_join_keys="never")
    assert dict(rows_of(plan, run_batch(plan, TABLES.arrow())))[1] is None


def test_a_condition_filters_before_the_last_one_is_chosen() -> None:
    assert joined("ORDER BY r.o ON l.k = r.k AND r.o <= l.t") == {0: 0, 1: 4, 2: None, 3: None, 4: None}


def test_a_join_needs_no_key() -> None:
    assert joined("ORDER BY r.o ON r.o < l.t") == {0: 0, 1: 2, 2: 2, 3: 2, 4: None}


def test_left_join_keeps_all_matches_in_order() -> None:
    rows = TABLES.batch("SELECT l.id AS a, r.id AS b FROM l LEFT JOIN r ON l.k = r.k")
    assert rows == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 4), (2, None), (3, 5), (3, 6), (4, 0), (4, 1), (4, 2), (4, 3)]


@pytest.mark.parametrize("rows", [1, 700])
def test_candidates_beyond_the_first_rounds_are_found(rows: int) -> None:
    tables = Tables(
        {
            "l": ("id int, t bigint", [(number, 0) for number in range(rows)]),
            "r": ("id int, o bigint", [(number, number) for number in range(900)]),
        }
    )
    answer = tables.batch("SELECT l.id AS a, r.id AS b FROM l LAST JOIN r ORDER BY r.o ON r.o <= l.t")
    assert answer == [(number, 0) for number in range(rows)]
