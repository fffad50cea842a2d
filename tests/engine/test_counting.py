"""Counts that go from frame to frame: the same as counting every frame by itself."""

from __future__ import annotations

import datetime
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.engine import counting
from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.kernels.ordering import group_rows, sort_segments
from airflow_provider_mlfeat.sql.types import STRING
from tests.engine.queries import Tables

FEATURES = ("distinct_count({}) OVER {}", "top1_ratio({}) OVER {}", "topn_frequency({}, 3) OVER {}")
FRAMES = {
    "short": "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
    "past": "ROWS_RANGE BETWEEN 4s PRECEDING AND 1s PRECEDING",
    "long": "ROWS_RANGE BETWEEN 200s PRECEDING AND CURRENT ROW MAXSIZE 150",
    "others": "ROWS_RANGE BETWEEN 20s PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW",
}


def sql(column: str) -> str:
    """All counting features of a column over all frames; the topn of two sizes."""
    calls = [feature.format(column, frame) for frame in FRAMES for feature in FEATURES]
    calls += [f"topn_frequency({column}, 1) OVER long", f"topn_frequency({column}, 0) OVER short"]
    names = ", ".join(f"{call} AS c{number}" for number, call in enumerate(calls))
    windows = ", ".join(f"{name} AS (PARTITION BY k ORDER BY ts {frame})" for name, frame in FRAMES.items())
    return f"SELECT id, {names} FROM t WINDOW {windows}"


def a_table(rows: int) -> Tables:
    """A long partition, a few short ones and one for NULL; few texts, many texts, small and large numbers."""
    draw = random.Random(3)

    def optional(value: Any) -> Any:
        return None if draw.random() < 0.1 else value

    stored = [
        (
            number,
            draw.choice(["long"] * 6 + ["a", "b", None]),
            draw.randrange(0, 400_000, 500),
            optional(draw.choice(["", "x", "y", "é"])),
            optional(f"text {draw.randrange(400)}"),
            optional(draw.randrange(-2, 3)),
            optional(draw.choice([10**15, -(10**15), 7, 8])),
            optional(draw.choice([0.0, -0.0, 1.5, -2.5, float("nan")])),
            optional(datetime.date(2026, 1, draw.randrange(1, 8))),
        )
        for number in range(rows)
    ]
    columns = "id int, k string, ts timestamp, few string, many string, small int, large bigint, real double, day date"
    return Tables({"t": (columns, stored)})


@pytest.fixture(scope="module")
def table() -> Tables:
    return a_table(2500)


@pytest.mark.parametrize("column", ["few", "many", "small", "large", "real", "day"])
def test_sliding_changes_no_bit(table: Tables, column: str) -> None:
    plan = table.plan(sql(column))
    plain = run_batch(plan, table.arrow(), threads=1, slide=False)
    assert run_batch(plan, table.arrow(), threads=1).equals(plain)


def test_neither_threads_nor_the_room_for_texts_matter(table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = table.plan(sql("many"))
    plain = run_batch(plan, table.arrow(), threads=1, slide=False)
    monkeypatch.setattr(counting, "_ROWS_PER_THREAD", 100)
    monkeypatch.setattr(counting, "_TEXT_ENTRIES", 500)
    assert run_batch(plan, table.arrow(), threads=3).equals(plain)


def test_union_sources_with_dictionaries_of_their_own() -> None:
    columns = "k string, ts timestamp, s string"
    draw = random.Random(5)
    rows = [("k", draw.randrange(10_000), draw.choice(["a", "b", None])) for _ in range(200)]
    others = [("k", draw.randrange(10_000), draw.choice(["b", "c", "", None])) for _ in range(200)]
    tables = Tables({"t": (columns, rows), "u": (columns, others)})
    frame = "UNION u PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 3s PRECEDING AND CURRENT ROW"
    for more in ("", " INSTANCE_NOT_IN_WINDOW", " EXCLUDE CURRENT_TIME"):
        calls = "distinct_count(s) OVER w AS a, topn_frequency(s, 2) OVER w AS b, top1_ratio(s) OVER w AS c"
        query = f"SELECT {calls} FROM t WINDOW w AS ({frame}{more})"
        assert tables.batch(query) == tables.batch(query, slide=False)


def test_groups_are_counted_like_frames(table: Tables) -> None:
    query = "SELECT k, distinct_count(few) AS a, topn_frequency(few, 2) AS b, top1_ratio(few) AS c FROM t GROUP BY k"
    assert table.batch(query) == table.batch(query, slide=False)


def test_no_rows() -> None:
    table = a_table(0)
    assert table.batch(sql("few")) == []


def test_frames_without_rows_and_frames_of_nulls() -> None:
    tables = Tables({"t": ("k int, ts bigint, s string", [(1, 1, None), (1, 5, "a"), (2, 1, "a")])})
    window = "(PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)"
    query = f"SELECT topn_frequency(s, 2) OVER w AS a, distinct_count(s) OVER w AS b FROM t WINDOW w AS {window}"
    assert tables.batch(query) == [("", 0), ("NULL,NULL", 1), ("", 0)]


@pytest.mark.parametrize("span", [3, 5_000, 1 << 40, 1 << 62])
def test_segments_are_sorted_and_ties_keep_their_order(span: int) -> None:
    draw = np.random.default_rng(1)
    groups = np.concatenate([draw.integers(0, 40, 3000), np.full(500, 40), np.arange(41, 60)])
    order = draw.integers(0, span, len(groups))
    starts, rows = group_rows(groups, 60, 0)
    sort_segments(starts, rows, order)
    assert rows.tolist() == sorted(range(len(groups)), key=lambda row: (groups[row], order[row], row))


def test_a_dictionary_may_repeat_values_and_hold_null_unless_arrow_made_it() -> None:
    indices = pa.array([0, 1, None, 2, 3], pa.int32())
    given = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b", "a", None]))
    column = Column.from_arrow(given, STRING)
    assert column.to_values() == ["a", "b", None, "a", None]
    assert len(set(column.dictionary.strings)) == len(column.dictionary)
    made = pa.array(["x", None, "y", "x"]).dictionary_encode()
    clean = Column.from_arrow(pa.chunked_array([made, made.slice(1)]), STRING, clean=True)
    assert clean.to_values() == ["x", None, "y", "x", None, "y", "x"]


def test_codes_behind_nulls_never_leave_the_dictionary() -> None:
    stored = pa.py_buffer(np.array([0, 9, 1], np.int32))
    valid = pa.py_buffer(bytes([0b101]))
    indices = pa.Array.from_buffers(pa.int32(), 3, [valid, stored])
    column = Column.from_arrow(pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"])), STRING, clean=True)
    assert column.to_values() == ["a", None, "b"]
    assert column.values.max() < 2
