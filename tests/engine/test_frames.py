"""Which rows a window sees: every rule of the frame, on rows that are told apart by their number."""

from __future__ import annotations

import pytest

from tests.engine.queries import Tables

MAIN = [
    (0, "a", 100),
    (1, "a", 200),
    (2, "b", 200),
    (3, "a", 200),
    (4, "a", 300),
    (5, None, 300),
    (6, "", 300),
    (7, None, 400),
]
TABLES = Tables({"t": ("id int, k string, ts timestamp", MAIN)})


def seen(window: str, tables: Tables = TABLES, source: str = "t") -> dict[int, list[int]]:
    """Per row the numbers of the rows in its frame, newest first."""
    sql = f"SELECT id, `join`(window_split(string(id), ','), ' ') OVER w AS seen FROM {source} WINDOW w AS ({window})"
    return {row[0]: [int(number) for number in row[1].split()] for row in tables.batch(sql)}


BY_KEY = "PARTITION BY k ORDER BY ts"


def test_rows_before_the_current_one_newest_first() -> None:
    frames = seen(f"{BY_KEY} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW")
    assert frames[4] == [4, 3, 1]
    assert frames[3] == [3, 1, 0]


def test_null_and_empty_are_partitions_of_their_own() -> None:
    frames = seen(f"{BY_KEY} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW")
    assert frames[7] == [7, 5]
    assert frames[6] == [6]


def test_peers_that_arrived_later_are_out() -> None:
    frames = seen(f"{BY_KEY} ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW")
    assert frames[1] == [1, 0]
    assert frames[3] == [3, 1, 0]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("100 PRECEDING AND CURRENT ROW", [4, 3, 1]),
        ("99 PRECEDING AND CURRENT ROW", [4]),
        ("200 PRECEDING AND 100 PRECEDING", [3, 1, 0]),
        ("200 OPEN PRECEDING AND CURRENT ROW", [4, 3, 1]),
        ("200 PRECEDING AND 0 OPEN PRECEDING", [3, 1, 0]),
        ("200 PRECEDING AND 100 OPEN PRECEDING", [0]),
        ("UNBOUNDED PRECEDING AND 1s PRECEDING", []),
    ],
)
def test_time_bounds_are_inclusive_unless_open(bounds: str, expected: list[int]) -> None:
    assert seen(f"{BY_KEY} ROWS_RANGE BETWEEN {bounds}")[4] == expected


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("2 PRECEDING AND 1 PRECEDING", [3, 1]),
        ("3 PRECEDING AND 2 PRECEDING", [1, 0]),
        ("2 OPEN PRECEDING AND CURRENT ROW", [4, 3]),
        ("9 PRECEDING AND 4 PRECEDING", []),
        ("1 PRECEDING AND 0 PRECEDING", [4, 3]),
    ],
)
def test_row_bounds_count_from_the_current_row(bounds: str, expected: list[int]) -> None:
    assert seen(f"{BY_KEY} ROWS BETWEEN {bounds}")[4] == expected


ALL = f"{BY_KEY} ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"


def test_maxsize_counts_the_current_row() -> None:
    assert seen(f"{ALL} MAXSIZE 2")[4] == [4, 3]
    assert seen(f"{ALL} MAXSIZE 1")[4] == [4]


def test_maxsize_counts_other_rows_when_the_current_one_is_excluded() -> None:
    assert seen(f"{ALL} MAXSIZE 2 EXCLUDE CURRENT_ROW")[4] == [3, 1]


def test_maxsize_of_a_frame_that_ends_before_the_current_row() -> None:
    window = f"{BY_KEY} ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND 100 PRECEDING MAXSIZE 2"
    assert seen(window)[4] == [3, 1]


def test_excluded_time_is_refilled_by_older_rows() -> None:
    window = f"{BY_KEY} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE CURRENT_TIME"
    assert seen(window)[3] == [3, 0]


def test_excluded_time_and_row_together() -> None:
    assert seen(f"{ALL} EXCLUDE CURRENT_TIME EXCLUDE CURRENT_ROW")[3] == [0]


def test_without_an_order_arrival_counts() -> None:
    tables = Tables({"t": ("id int, k string, ts timestamp", [(0, "a", 9), (1, "a", 5), (2, "a", 7)])})
    frames = seen("PARTITION BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", tables)
    assert frames == {0: [0], 1: [1, 0], 2: [2, 1]}


UNION = Tables(
    {
        "t": ("id int, k string, ts timestamp", [(0, "a", 100), (1, "a", 200), (2, "a", 200)]),
        "u": ("id int, k string, ts timestamp", [(10, "a", 200), (11, "a", 200), (12, "a", 50), (13, "a", 201)]),
        "v": ("id int, k string, ts timestamp", [(20, "a", 200), (21, "b", 1)]),
    }
)
UNBOUNDED = "ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"


def test_union_rows_of_the_same_time_are_older_and_later_sources_the_oldest() -> None:
    frames = seen(f"UNION u, v {BY_KEY} {UNBOUNDED}", UNION)
    assert frames[2] == [2, 1, 11, 10, 20, 0, 12]
    assert frames[1] == [1, 11, 10, 20, 0, 12]
    assert frames[0] == [0, 12]


def test_instance_not_in_window_keeps_the_current_row_alone() -> None:
    frames = seen(f"UNION u {BY_KEY} {UNBOUNDED} INSTANCE_NOT_IN_WINDOW", UNION)
    assert frames == {0: [0, 12], 1: [1, 11, 10, 12], 2: [2, 11, 10, 12]}
    frames = seen(f"UNION u {BY_KEY} {UNBOUNDED} EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW", UNION)
    assert frames[2] == [11, 10, 12]


def test_instance_not_in_window_with_row_bounds_counts_union_rows() -> None:
    window = f"UNION u {BY_KEY} ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING INSTANCE_NOT_IN_WINDOW"
    assert seen(window, UNION)[2] == [11, 10]


def test_lag_ignores_the_frame() -> None:
    sql = f"SELECT id, lag(id, 2) OVER w AS back FROM t WINDOW w AS ({BY_KEY} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    assert dict(TABLES.batch(sql))[4] == 1
