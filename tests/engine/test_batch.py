"""The batch driver: rules on data, and answers that do not depend on how they are computed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.engine import features
from airflow_provider_mlfeat.engine.batch import PLAN_ID, run_batch, write_table
from airflow_provider_mlfeat.engine.spark_job import Job
from airflow_provider_mlfeat.engine.spark_tasks import evaluate
from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.sql.errors import DataRuleError
from tests.engine.queries import Tables

SQL = """
SELECT t.id, count(t.s) OVER w AS a, distinct_count(t.s) OVER w AS b, topn_frequency(t.s, 2) OVER w AS c,
    top1_ratio(t.s) OVER w AS d, min(t.v) OVER w AS e, max(t.v) OVER w AS f, sum(t.v) OVER w AS g,
    avg(t.v) OVER w AS h, max(t.s) OVER w AS i, sum_cate(t.v, t.s) OVER w AS j,
    count_where(t.s, t.s = at(t.s, 0)) OVER w AS m, sum_where(t.v, t.v > avg(t.v)) OVER w AS n,
    distinct_count(t.v) OVER x AS o, u.s AS p
FROM t LAST JOIN u ORDER BY u.ts ON t.k = u.k
WINDOW w AS (PARTITION BY t.k ORDER BY t.ts ROWS_RANGE BETWEEN 5m PRECEDING AND CURRENT ROW),
    x AS (PARTITION BY t.s ORDER BY t.ts ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW MAXSIZE 300)
"""


def some_tables(rows: int, keys: int) -> Tables:
    """Rows with ties, NULLs and late arrivals."""
    draw = random.Random(7)

    def table(count: int) -> list[tuple[Any, ...]]:
        return [
            (
                number,
                draw.choice([None, *map(str, range(keys))]),
                draw.randrange(0, 600_000, 10),
                draw.choice([None, "x", "y", "", "é", "z"]),
                draw.choice([None, draw.random() * 100 - 50]),
            )
            for number in range(count)
        ]

    columns = "id int, k string, ts timestamp, s string, v double"
    return Tables({"t": (columns, table(rows)), "u": (columns, table(rows // 4))})


@pytest.fixture(scope="module")
def tables() -> Tables:
    return some_tables(3000, 3)


@pytest.fixture(scope="module")
def plain(tables: Tables) -> pa.Table:
    return run_batch(tables.plan(SQL), tables.arrow(), threads=1, slide=False)


def test_sliding_gives_the_same_bits(tables: Tables, plain: pa.Table) -> None:
    assert run_batch(tables.plan(SQL), tables.arrow(), threads=1, slide=True).equals(plain)


def test_threads_do_not_matter(tables: Tables, plain: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_ROWS_PER_THREAD", 100)
    assert run_batch(tables.plan(SQL), tables.arrow(), threads=3, slide=False).equals(plain)


def test_the_room_for_texts_does_not_matter(tables: Tables, plain: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_TEXT_ENTRIES", 1000)
    monkeypatch.setattr(features, "_FLAT_ROWS", 1000)
    assert run_batch(tables.plan(SQL), tables.arrow(), threads=1, slide=False).equals(plain)


def test_spilling_does_not_matter(tables: Tables, plain: pa.Table, tmp_path: Path) -> None:
    timings = Timings()
    arguments: dict[str, Any] = {"memory_limit": 100_000, "spill_folder": tmp_path, "timings": timings}
    spilled = run_batch(tables.plan(SQL), tables.arrow(), **arguments)
    assert spilled.equals(plain)
    assert spilled.schema.metadata == plain.schema.metadata
    assert timings.seconds["write"] > 0
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def one_large_key() -> Tables:
    """Nearly all rows have one key, and two at a time have one time; ``u`` holds as many for a union."""
    rows = [(number % 7 and 7, 1000 * (number * 7919 % 20_000 // 2), number) for number in range(20_000)]
    others = [(7, time + 500, -value) for _, time, value in rows[::2]]
    return Tables({name: ("k int, ts timestamp, v bigint", stored) for name, stored in (("t", rows), ("u", others))})


FRAMES = {
    "rows": "PARTITION BY k ORDER BY ts ROWS BETWEEN 9 PRECEDING AND CURRENT ROW",
    "range": "PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 20s PRECEDING AND CURRENT ROW",
    "before": "PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 90s PRECEDING AND 30s PRECEDING MAXSIZE 4",
    "union": "UNION (SELECT * FROM u) PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 20s PRECEDING AND CURRENT ROW "
    "MAXSIZE 5 INSTANCE_NOT_IN_WINDOW",
}


def over(frame: str) -> str:
    features = "sum(v) OVER w AS s, lag(v, 2) OVER w AS l, distinct_count(v) OVER w AS d"
    return f"SELECT v, {features} FROM t WINDOW w AS ({frame})"


@pytest.mark.parametrize("frame", FRAMES)
def test_a_key_that_exceeds_the_memory_is_divided_by_time(
    frame: str, one_large_key: Tables, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    sizes: list[int] = []

    def counted(job: Job, number: int, named: dict[tuple[str, str], pa.Table]) -> pa.Table:
        sizes.append(sum(rows.num_rows for rows in named.values()))
        return evaluate(job, number, named)

    expected = one_large_key.batch(over(FRAMES[frame]))
    monkeypatch.setattr("airflow_provider_mlfeat.engine.spill.evaluate", counted)
    assert one_large_key.batch(over(FRAMES[frame]), memory_limit=1 << 20, spill_folder=tmp_path) == expected
    # A row takes 96 bytes; a part may be as large as the limit.
    assert 1000 < max(sizes) < 11_000
    assert not caplog.text


@pytest.mark.parametrize(
    "query",
    [
        over("PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"),
        over("PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 9d PRECEDING AND CURRENT ROW"),
        "SELECT t.v, u.v AS o FROM t LAST JOIN u ORDER BY u.ts ON t.k = u.k AND t.ts >= u.ts",
    ],
    ids=["unbounded", "long", "join"],
)
def test_what_cannot_be_divided_runs_and_is_told(
    query: str, one_large_key: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    expected = one_large_key.batch(query)
    assert one_large_key.batch(query, memory_limit=1 << 20) == expected
    assert "more than the memory limit of 1 MiB, because one key has so many rows" in caplog.text
    caplog.clear()
    assert one_large_key.batch(query.replace("BY k", "BY v").replace("t.k = u.k", "t.v = u.v"), memory_limit=1 << 20)
    assert not caplog.text


def test_requests_in_order_of_time_give_the_same_bits() -> None:
    tables = some_tables(300, 2)
    tables.rows["t"].sort(key=lambda row: row[2])
    assert tables.replay(SQL, "t") == tables.batch(SQL)


def test_files_and_datasets(tables: Tables, plain: pa.Table, tmp_path: Path) -> None:
    given: dict[tuple[str, str], Any] = dict(tables.arrow())
    whole = given["", "t"]
    (tmp_path / "t").mkdir()
    pq.write_table(whole.slice(0, 1000), tmp_path / "t" / "part-0.parquet")
    pq.write_table(whole.slice(1000), tmp_path / "t" / "part-1.parquet")
    plan = tables.plan(SQL)
    assert run_batch(plan, given | {("", "t"): tmp_path / "t"}).equals(plain)
    assert run_batch(plan, given | {("", "t"): tmp_path / "t"}, memory_limit=1).equals(plain)
    assert run_batch(plan, given | {("", "t"): ds.dataset(tmp_path / "t")}).equals(plain)


@pytest.mark.parametrize("value", [None, -1])
def test_an_order_key_must_be_there_and_not_negative(value: int | None) -> None:
    tables = Tables({"t": ("k int, ts bigint", [(1, 1), (1, value)])})
    sql = "SELECT count(*) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS c FROM t"
    with pytest.raises(DataRuleError, match="order key") as caught:
        tables.batch(sql)
    assert (caught.value.table, caught.value.column, caught.value.row) == ("t", "ts", 1)
    with pytest.raises(DataRuleError, match="order key"):
        tables.request(sql, (1, 5))
    with pytest.raises(DataRuleError, match="order key"):
        tables.request(sql, (2, value))


def test_a_missing_column_is_named() -> None:
    tables = Tables({"t": ("k int, v int", [(1, 2)])})
    with pytest.raises(DataRuleError, match="table t, column v"):
        run_batch(tables.plan("SELECT v FROM t"), {("", "t"): pa.table({"k": [1]})})


def test_only_the_columns_that_are_read_have_to_be_there() -> None:
    tables = Tables({"t": ("k int, v int", [(1, 2)])})
    answer = run_batch(tables.plan("SELECT k FROM t"), {("", "t"): pa.table({"k": pa.array([1], pa.int32())})})
    assert answer.column(0).to_pylist() == [1]


def test_the_answer_says_its_plan(tmp_path: Path) -> None:
    tables = Tables({"t": ("k int", [(1,), (2,)])})
    plan = tables.plan("SELECT k FROM t")
    write_table(run_batch(plan, tables.arrow()), tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").metadata[PLAN_ID].decode() == plan.plan_id
    assert [file.name for file in tmp_path.iterdir()] == ["out.parquet"]


GROUPS = Tables({"t": ("k string, v int", [("a", 1), (None, 2), ("a", 3), ("b", None), (None, 4)])})


def test_null_is_a_group() -> None:
    assert GROUPS.batch("SELECT k, sum(v) AS s FROM t GROUP BY k") == [("a", 4), (None, 6), ("b", None)]


def test_aggregates_of_no_rows_are_one_row() -> None:
    assert GROUPS.batch("SELECT count(*) AS a, sum(v) AS b FROM t WHERE v > 100") == [(0, None)]


def test_having_and_limit() -> None:
    assert GROUPS.batch("SELECT k, count(*) AS c FROM t GROUP BY k HAVING count(*) > 1") == [("a", 2), (None, 2)]
    assert GROUPS.batch("SELECT v FROM t LIMIT 2") == [(None,), (4,)]
    assert GROUPS.batch("SELECT v FROM t LIMIT 0") == []


def test_unions() -> None:
    assert GROUPS.batch("SELECT k FROM t UNION DISTINCT SELECT 'c' AS k FROM t") == [("a",), (None,), ("b",), ("c",)]
    assert len(GROUPS.batch("SELECT k FROM t UNION ALL SELECT 'c' AS k FROM t")) == 10


def test_a_query_without_a_table_is_one_row() -> None:
    assert GROUPS.batch("SELECT 1 + 1 AS two") == [(2,)]


def test_progress_is_told_by_stage(tables: Tables) -> None:
    stages: list[str] = []
    run_batch(tables.plan(SQL), tables.arrow(), timings=Timings(stages.append))
    assert {"read", "encode", "sort", "walk", "join", "decode"} == set(stages)
