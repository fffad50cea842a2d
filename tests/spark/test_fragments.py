"""Whatever a query is cut into, its partitions together give the batch driver's rows."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.spark_job import Job
from airflow_provider_mlfeat.engine.spark_planning import SparkOptions
from airflow_provider_mlfeat.engine.spark_ports import Route
from airflow_provider_mlfeat.engine.spark_routing import row_hashes
from airflow_provider_mlfeat.engine.spark_tasks import evaluate
from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.functions.user import aggregate_function, remove_function, scalar_function
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import plan_query
from tests.differential.drivers import arrow_tables
from tests.differential.examples import plan_example
from tests.differential.queries import Query, queries
from tests.differential.tables import Database, databases
from tests.spark.in_process import make_job, run_job

COLUMNS = {"id": "int", "k": "string", "g": "int", "ts": "timestamp", "v": "double"}
CATALOG = Catalog.from_columns({"t": COLUMNS, "u": COLUMNS, "empty": COLUMNS})
KINDS = {"id": pa.int32(), "k": pa.string(), "g": pa.int32(), "ts": pa.timestamp("ms"), "v": pa.float64()}
WINDOW = "PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 20 PRECEDING AND CURRENT ROW"
UNION = "UNION (SELECT * FROM u)"
QUERIES = {
    "projection": "SELECT id, k, v + 1 FROM t WHERE g > 0",
    "no table": "SELECT 1 + 1, 'x'",
    "window": f"SELECT id, sum(v) OVER w, count(k) OVER w FROM t WINDOW w AS ({WINDOW})",
    "rows": "SELECT id, lag(v, 2) OVER w, sum(v) OVER w FROM t "
    "WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
    "unbounded": "SELECT id, sum(v) OVER w FROM t "
    "WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    "maxsize": f"SELECT id, sum(v) OVER w FROM t WINDOW w AS ({UNION} {WINDOW} MAXSIZE 3)",
    "instance": f"SELECT id, sum(v) OVER w FROM t WINDOW w AS ({UNION} {WINDOW} MAXSIZE 3 INSTANCE_NOT_IN_WINDOW)",
    "exclude time": f"SELECT id, sum(v) OVER w FROM t WINDOW w AS ({UNION} {WINDOW} EXCLUDE CURRENT_TIME)",
    "before": "SELECT id, sum(v) OVER w FROM t WINDOW w AS "
    "(PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 30 PRECEDING AND 10 PRECEDING MAXSIZE 2)",
    "two keys": f"SELECT id, sum(v) OVER w, max(id) OVER x FROM t WINDOW w AS ({UNION} {WINDOW}), "
    "x AS (PARTITION BY g ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    "two columns": "SELECT id, count(id) OVER w FROM t WINDOW w AS "
    "(PARTITION BY k, g ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)",
    "arrival": "SELECT id, lag(id, 1) OVER w FROM t "
    "WINDOW w AS (PARTITION BY k ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    "last join": "SELECT t.id, u.id, u.v FROM t LAST JOIN u ORDER BY u.ts ON t.k = u.k AND t.ts >= u.ts",
    "computed key": "SELECT t.id, u.id FROM t LAST JOIN u ON t.g + 1 = u.g",
    "no key": "SELECT t.id, u.id FROM t LAST JOIN u ORDER BY u.ts ON t.ts > u.ts",
    "chain": "SELECT t.id, u.id, x.v FROM t LAST JOIN u ON t.k = u.k LAST JOIN u AS x ORDER BY x.ts ON u.g = x.g",
    "left join": "SELECT t.id, u.id FROM t LEFT JOIN u ON t.k = u.k",
    "join of windows": f"SELECT a.id, s, m FROM (SELECT id, sum(v) OVER w AS s FROM t WINDOW w AS ({WINDOW})) AS a "
    "LAST JOIN (SELECT id, max(v) OVER x AS m FROM t WINDOW x AS "
    "(PARTITION BY g ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)) AS b ON a.id = b.id",
    "window over join": "SELECT t.id, sum(u.v) OVER w FROM t LAST JOIN u ON t.g = u.g "
    "WINDOW w AS (PARTITION BY t.k ORDER BY t.ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
    "window over window": f"SELECT id, sum(s) OVER x FROM (SELECT id, k, ts, sum(v) OVER w AS s FROM t WINDOW w AS "
    f"({WINDOW})) WINDOW x AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
    "group": "SELECT k, count(*), sum(id), max(v) FROM t GROUP BY k",
    "total": "SELECT count(*), sum(id) FROM t",
    "total of nothing": "SELECT count(*), sum(id) FROM empty",
    "limit": "SELECT id, v FROM t LIMIT 5",
    "limit of a window": f"SELECT id, sum(v) OVER w FROM t WINDOW w AS ({WINDOW}) LIMIT 4",
    "union all": "SELECT id, k FROM t UNION ALL SELECT id, k FROM u",
    "union distinct": "SELECT k, g FROM t UNION DISTINCT SELECT k, g FROM u",
    "window over union": "SELECT id, lag(id, 1) OVER w FROM (SELECT * FROM t UNION ALL SELECT * FROM u) "
    "WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
}


def table(rows: int, seed: int) -> pa.Table:
    """Rows with ties, NULLs and one key that holds half of them."""
    draw = random.Random(seed)
    columns = {
        "id": list(range(rows)),
        "k": [draw.choice(["hot", "hot", "a", "b", None]) for _ in range(rows)],
        "g": [draw.choice([0, 1, 2, None]) for _ in range(rows)],
        "ts": [draw.randrange(0, 120) for _ in range(rows)],
        "v": [draw.choice([None, float(draw.randrange(9))]) for _ in range(rows)],
    }
    return pa.table({name: pa.array(values, KINDS[name]) for name, values in columns.items()})


TABLES = {("", "t"): table(60, 1), ("", "u"): table(45, 2), ("", "empty"): table(0, 3)}


def rows_of(answer: list[dict[str, Any]]) -> Counter[str]:
    return Counter(repr(list(row.values())) for row in answer)


def expected(query: Plan, tables: dict[tuple[str, str], pa.Table]) -> Counter[str]:
    answer = run_batch(query, tables)
    return rows_of(answer.rename_columns([str(place) for place in range(answer.num_columns)]).to_pylist())


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "uncounted"])
@pytest.mark.parametrize("name", QUERIES)
def test_equals_batch(name: str, counted: bool) -> None:
    query = plan_query(QUERIES[name], CATALOG)
    job = make_job(query, TABLES, 3, counted=counted)
    assert rows_of(run_job(job, TABLES)) == expected(query, TABLES)


@pytest.mark.parametrize("name", QUERIES)
def test_equals_batch_in_one_partition(name: str) -> None:
    query = plan_query(QUERIES[name], CATALOG)
    job = make_job(query, TABLES, 3, SparkOptions())
    assert max(job.partitions) <= 1
    assert rows_of(run_job(job, TABLES)) == expected(query, TABLES)


@settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck), max_examples=60)
@given(query=queries(), database=databases(), slots=st.integers(1, 4), seed=st.integers(0, 9))
def test_random_queries_equal_batch(query: Query, database: Database, slots: int, seed: int) -> None:
    plan, tables = plan_example(query, database), arrow_tables(database)
    try:
        wanted = expected(plan, tables)
    except DataRuleError:
        with pytest.raises((DataRuleError, RuntimeError)):
            run_job(make_job(plan, tables, slots), tables, seed)
        return
    assert rows_of(run_job(make_job(plan, tables, slots), tables, seed)) == wanted, query.sql


@pytest.mark.parametrize("name", ["window", "rows", "maxsize", "instance", "exclude time", "before"])
def test_hot_keys_are_split(name: str) -> None:
    query = plan_query(QUERIES[name], CATALOG)
    job = make_job(query, TABLES, 4)
    assert job.hot_keys
    assert rows_of(run_job(job, TABLES)) == expected(query, TABLES)


@pytest.mark.parametrize("budget", [1, 300, 2000])
@pytest.mark.parametrize("name", QUERIES)
def test_streams_equal_batch(name: str, budget: int) -> None:
    query = plan_query(QUERIES[name], CATALOG)
    for slots, split in ((1, False), (4, True)):
        options = SparkOptions(tiny_rows=0, rows_per_partition=1, split_hot_keys=split)
        job = replace(make_job(query, TABLES, slots, options), stream_bytes=budget)
        assert rows_of(run_job(job, TABLES, seed=budget)) == expected(query, TABLES)


@settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck), max_examples=60)
@given(query=queries(), database=databases(), slots=st.integers(1, 4), budget=st.integers(1, 4000))
def test_streams_of_random_queries_equal_batch(query: Query, database: Database, slots: int, budget: int) -> None:
    plan, tables = plan_example(query, database), arrow_tables(database)
    try:
        wanted = expected(plan, tables)
    except DataRuleError:
        with pytest.raises((DataRuleError, RuntimeError)):
            run_job(replace(make_job(plan, tables, slots), stream_bytes=budget), tables, budget)
        return
    job = replace(make_job(plan, tables, slots), stream_bytes=budget)
    assert rows_of(run_job(job, tables, budget)) == wanted, query.sql


@pytest.mark.parametrize(
    ("name", "most"), [("rows", 60), ("maxsize", 60), ("before", 60), ("window", 120), ("unbounded", 190)]
)
def test_rows_leave_a_stream_before_it_ends(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows go to one partition; two fifths have one key, which has to stay only where windows see all of it."""
    sizes: list[int] = []

    def counted(job: Job, number: int, named: dict[tuple[str, str], pa.Table]) -> pa.Table:
        sizes.append(sum(rows.num_rows for rows in named.values()))
        return evaluate(job, number, named)

    tables = {("", "t"): table(400, 1), ("", "u"): table(300, 2), ("", "empty"): table(0, 3)}
    query = plan_query(QUERIES[name], CATALOG)
    wanted = expected(query, tables)
    monkeypatch.setattr("airflow_provider_mlfeat.engine.spark_tasks.evaluate", counted)
    job = make_job(query, tables, 1, SparkOptions(tiny_rows=0))
    assert rows_of(run_job(replace(job, stream_bytes=600), tables)) == wanted
    assert max(sizes) <= most
    sizes.clear()
    assert rows_of(run_job(job, tables)) == wanted
    assert max(sizes) >= 400


def test_null_has_a_hash_of_its_own() -> None:
    rows = pa.table({"k": pa.array(["", None, "a"]), "g": pa.array([0, None, 1], pa.int32())})
    for key in ([0], [1], [0, 1]):
        assert len(set(row_hashes(rows, key).tolist())) == 3
        assert row_hashes(rows.slice(1), key).tolist() == row_hashes(rows, key).tolist()[1:]


def test_only_partitions_that_may_not_fit_are_streams() -> None:
    query = plan_query(QUERIES["window"], CATALOG)
    assert not make_job(query, TABLES, 2).stream_bytes
    assert make_job(query, TABLES, 2, counted=False).stream_bytes
    assert make_job(query, TABLES, 2, SparkOptions(tiny_rows=0, memory_per_partition=1024)).stream_bytes == 256


@pytest.mark.parametrize("name", ["unbounded", "arrival", "window over window", "window over union"])
def test_what_cannot_be_split_is_not(name: str) -> None:
    assert not make_job(plan_query(QUERIES[name], CATALOG), TABLES, 4).hot_keys


def test_one_shuffle_for_windows_on_several_keys_and_one_for_the_join_above() -> None:
    job = make_job(plan_query(QUERIES["join of windows"], CATALOG), TABLES, 3)
    assert job.levels == 2


def test_streams_on_one_key_share_a_shuffle() -> None:
    sql = f"SELECT sum(v) OVER w, max(v) OVER x FROM t WINDOW w AS ({WINDOW}), x AS ({UNION} {WINDOW} MAXSIZE 2)"
    job = make_job(plan_query(sql, CATALOG), TABLES, 3)
    assert job.levels == 1
    assert [port.route for port in job.fragments[-1].ports] == [Route.KEY, Route.KEY]


def test_only_columns_that_are_read_are_scanned() -> None:
    job = make_job(plan_query("SELECT sum(v) OVER w FROM t WINDOW w AS (" + WINDOW + ")", CATALOG), TABLES, 3)
    assert [column.name for column in job.fragments[0].relation.schema] == ["k", "ts", "v", "#arrival"]


def test_jobs_survive_json() -> None:
    job = make_job(plan_query(QUERIES["maxsize"], CATALOG), TABLES, 4)
    again = Job.from_json(job.to_json())
    assert again.fragments == job.fragments
    assert again.hot_keys == job.hot_keys
    assert again.partitions == job.partitions
    assert Job.from_json(replace(job, stream_bytes=7).to_json()).stream_bytes == 7


def test_the_memory_budget_decides_how_many_partitions_there_are() -> None:
    query = plan_query(QUERIES["window"], CATALOG)
    few = make_job(query, TABLES, 2, SparkOptions(tiny_rows=0))
    many = make_job(query, TABLES, 2, SparkOptions(tiny_rows=0, memory_per_partition=1024))
    assert max(few.partitions) == 1
    assert max(many.partitions) > 4


def test_data_errors_name_table_column_and_row() -> None:
    query = plan_query(QUERIES["maxsize"], CATALOG)
    times = TABLES["", "u"].column("ts").to_pylist()
    times[17] = None
    broken = TABLES["", "u"].set_column(3, "ts", pa.array(times, KINDS["ts"]))
    with pytest.raises(RuntimeError, match=r"order key must not be NULL.*table u, column ts, row 17"):
        run_job(make_job(query, TABLES, 3), {**TABLES, ("", "u"): broken})


def test_only_the_modules_of_functions_that_are_called_travel() -> None:
    @scalar_function("double", returns="double")
    def doubled_here(value: float) -> float:
        """Twice the value."""
        return 2 * value

    @aggregate_function("double", returns="double")
    def spread_here(values: list[float]) -> float | None:
        """The distance between the largest and the smallest value."""
        return max(values) - min(values) if values else None

    try:
        sqls = (
            "SELECT abs(v) FROM t",
            "SELECT doubled_here(v) FROM t",
            f"SELECT spread_here(v) OVER w FROM t WINDOW w AS ({WINDOW})",
        )
        jobs = [make_job(plan_query(sql, CATALOG), TABLES, 3).to_json() for sql in sqls]
        assert [json.loads(text)["function_modules"] for text in jobs] == [[], [__name__], [__name__]]
    finally:
        remove_function("doubled_here")
        remove_function("spread_here")
