"""The Spark driver in a real session: the cells of batch, errors, progress, cancelling."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.engine import spark_session
from airflow_provider_mlfeat.engine.batch import run_batch, stored_plan_id
from airflow_provider_mlfeat.engine.spark import run_spark, running
from airflow_provider_mlfeat.engine.spark_planning import SparkOptions
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.tables.versions import read
from tests.spark.test_fragments import CATALOG, QUERIES, TABLES

SPREAD = SparkOptions(tiny_rows=0, rows_per_partition=10, split_hot_keys=True)
FEW = ["maxsize", "two keys", "join of windows", "left join", "limit", "union distinct", "total of nothing"]


def rows_of(table: pa.Table) -> list[str]:
    return sorted(repr(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Every table as a folder of three files."""
    folder = tmp_path_factory.mktemp("tables")
    for (_, name), table in TABLES.items():
        (folder / name).mkdir()
        step = max(1, -(-table.num_rows // 3))
        for part in range(3):
            pq.write_table(table.slice(part * step, step), folder / name / f"part-{part}.parquet")
    return {table: str(folder / table[1]) for table in TABLES}


@pytest.mark.parametrize("name", FEW)
def test_equals_batch_from_files(name: str, spark: Any, files: dict[tuple[str, str], str]) -> None:
    query = plan_query(QUERIES[name], CATALOG)
    result = run_spark(query, files, spark=spark, options=SPREAD)
    answer, batch = result.to_arrow(), run_batch(query, TABLES)
    assert answer.schema.types == batch.schema.types
    assert answer.column_names == batch.column_names
    assert rows_of(answer) == rows_of(batch)


def test_hot_keys_are_found_in_a_sample(spark: Any, files: dict[tuple[str, str], str]) -> None:
    query = plan_query(QUERIES["maxsize"], CATALOG)
    assert run_spark(query, files, spark=spark, options=SPREAD).job.hot_keys


def test_frames_and_memory(spark: Any, files: dict[tuple[str, str], str]) -> None:
    query = plan_query(QUERIES["maxsize"], CATALOG)
    mixed = {"t": spark.read.parquet(files["", "t"]).coalesce(1), "u": TABLES["", "u"]}
    answer = run_spark(query, mixed, spark=spark, options=SPREAD).to_arrow()
    # A frame's rows arrive as its partitions hold them; with one file per time that is the order of the files.
    assert answer.num_rows == TABLES["", "t"].num_rows


@pytest.mark.parametrize("name", ["maxsize", "two keys", "join of windows"])
def test_partitions_that_may_not_fit_are_streams(name: str, spark: Any, files: dict[tuple[str, str], str]) -> None:
    query = plan_query(QUERIES[name], CATALOG)
    options = SparkOptions(tiny_rows=0, memory_per_partition=2000)
    result = run_spark(query, files, spark=spark, options=options)
    assert result.job.stream_bytes == 500
    assert "Sort [key" in result.frame._jdf.queryExecution().toString()
    assert rows_of(result.to_arrow()) == rows_of(run_batch(query, TABLES))


def test_writes_parquet(spark: Any, files: dict[tuple[str, str], str], tmp_path: Path) -> None:
    query = plan_query(QUERIES["window"], CATALOG)
    result = run_spark(query, files, spark=spark, options=SPREAD)
    result.write_parquet(str(tmp_path / "out"))
    assert (tmp_path / "out" / "_SUCCESS").exists()
    assert rows_of(pq.read_table(tmp_path / "out")) == rows_of(run_batch(query, TABLES))
    written = list((tmp_path / "out").glob("*.parquet"))
    assert {stored_plan_id(path) for path in written} == {query.plan_id}


SHOPPING = Path(__file__).resolve().parents[2] / "dags" / "sql" / "shopping_features.sql"
SHOP = """CREATE TABLE checkout (id string, customer string, shop string, at timestamp, amount double);
CREATE TABLE click (customer string, shop string, at timestamp, kind string);
CREATE TABLE shop (shop string, country string, opened date);"""


@pytest.mark.parametrize("engine", ["spark", "auto"])
def test_the_shopping_query_over_stored_tables_of_several_files(spark: Any, tmp_path: Path, engine: str) -> None:
    """Columns that the query does not read (``shop.opened``) are asked of nobody, and all files are read in order."""
    root = str(tmp_path / "tables")
    tables: dict[str, list[str]] = {"checkout": [], "click": []}
    for number in range(120):
        at = f"2026-01-0{1 + number % 3} 10:{number % 60:02}:00"
        tables["checkout"].append(f"{number},c{number % 5},s{number % 4},{at},{number / 4}")
        tables["click"].append(f"c{number % 5},s{number % 4},{at},{'abc'[number % 3]}")
    tables["shop"] = [f"s{number},land,2020-01-01" for number in range(3)]
    heads = {"checkout": "id,customer,shop,at,amount", "click": "customer,shop,at,kind", "shop": "shop,country,opened"}
    run(parse_spec({"kind": "create_tables", "root": root, "sql": SHOP}))
    for name, lines in tables.items():
        for part in range(3):
            path = tmp_path / f"{name}-{part}.csv"
            path.write_text("\n".join([heads[name], *lines[part::3]]) + "\n")
            run(parse_spec({"kind": "load_table", "root": root, "table": name, "paths": [str(path)], "mode": "append"}))
    store = TableStore(root)
    for chosen in (engine, "batch"):
        spec = {"kind": "extract_features", "root": root, "sql": SHOPPING.read_text(), "feature_set": f"by_{chosen}"}
        run(parse_spec({**spec, "engine": chosen}))
    found, batch = (read(store, "", f"by_{chosen}").to_table() for chosen in (engine, "batch"))
    assert found.schema.types == batch.schema.types
    assert rows_of(found) == rows_of(batch)


def test_the_session_has_the_query_s_zone_and_this_interpreter(spark: Any) -> None:
    query = plan_query("SELECT hour(ts) AS h FROM t", CATALOG, time_zone="+02:00")
    answer = run_spark(query, TABLES, spark=spark).to_arrow()
    assert spark.conf.get("spark.sql.session.timeZone") == "+02:00"
    assert rows_of(answer) == rows_of(run_batch(query, TABLES))
    assert os.environ["PYSPARK_PYTHON"] == sys.executable


def test_a_data_error_is_one_sentence(spark: Any, files: dict[tuple[str, str], str], tmp_path: Path) -> None:
    times = TABLES["", "t"].column("ts").to_pylist()
    times[41] = None
    pq.write_table(TABLES["", "t"].set_column(3, "ts", pa.array(times, pa.timestamp("ms"))), tmp_path / "t.parquet")
    query = plan_query(QUERIES["window"], CATALOG)
    result = run_spark(query, {**files, ("", "t"): str(tmp_path / "t.parquet")}, spark=spark, options=SPREAD)
    with pytest.raises(DataRuleError) as caught:
        result.to_arrow()
    assert str(caught.value) == (
        "a window's order key must not be NULL or negative, but is NULL (table t, column ts, row 41)"
    )


def test_a_missing_column_is_named(spark: Any, tmp_path: Path) -> None:
    pq.write_table(TABLES["", "t"].drop_columns(["g"]).append_column("gg", pa.nulls(60)), tmp_path / "t.parquet")
    with pytest.raises(DataRuleError, match=r"no such column\. Did you mean 'gg'\? \(table t, column g\)"):
        run_spark(plan_query("SELECT g FROM t", CATALOG), {"t": str(tmp_path / "t.parquet")}, spark=spark)


@pytest.mark.parametrize(
    ("place", "package"), [("s3a://bucket/t", "org.apache.hadoop:hadoop-aws"), ("gs://bucket/t", "gcs-connector")]
)
def test_an_object_store_that_spark_cannot_reach(place: str, package: str, spark: Any) -> None:
    """PySpark's own jars have no file system for object stores."""
    with pytest.raises(UserError, match=rf"^Spark cannot read '{place}', because .*{package}.* or use engine 'batch'$"):
        run_spark(plan_query("SELECT g FROM t", CATALOG), {"t": place}, spark=spark)


def test_a_missing_table_is_named(spark: Any) -> None:
    with pytest.raises(DataRuleError, match="table t"):
        run_spark(plan_query("SELECT g FROM t", CATALOG), {}, spark=spark)


def test_progress_is_reported(spark: Any, files: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mlfeat.engine.spark.PROGRESS_SECONDS", 0.02)
    seen: list[tuple[int, int]] = []
    query = plan_query(QUERIES["join of windows"], CATALOG)
    run_spark(query, files, spark=spark, options=SPREAD, progress=lambda *state: seen.append(state)).to_arrow()
    assert max(total for _, total in seen) > 1
    assert all(0 <= done <= total for done, total in seen)


def test_sigterm_cancels_what_runs(spark: Any) -> None:
    frame = spark.range(4, numPartitions=2).mapInArrow(_slow(), "id bigint")
    tracker = spark.sparkContext.statusTracker()
    threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    begin = time.monotonic()
    with pytest.raises(SystemExit) as left, running(spark) as group:
        frame.collect()
    assert left.value.code == 128 + signal.SIGTERM
    assert time.monotonic() - begin < 30
    deadline = time.monotonic() + 20
    while tracker.getActiveJobsIds() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not tracker.getActiveJobsIds()
    assert [tracker.getJobInfo(job).status for job in tracker.getJobIdsForGroup(group)] == ["FAILED"]


def _slow() -> Any:
    """The function by value: workers cannot import the tests."""

    def sleep(batches: Any) -> Any:
        import time

        for batch in batches:
            time.sleep(60)
            yield batch

    return sleep


def test_workers_load_kernels_from_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code made in one folder is used in another; to save time only one module's kernels are compiled."""
    monkeypatch.setattr(spark_session, "WARM_UP", "import airflow_provider_mlfeat.engine.kernels.hashing")
    archive = spark_session.package_archive(tmp_path)
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "worker", filter="data")
    script = "from airflow_provider_mlfeat.engine.kernels.hashing import hash_strings as k; print(k.stats.cache_hits)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "worker"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "uint64" in done.stdout, done.stderr
    assert {path.name for path in (tmp_path / "worker" / "airflow_provider_mlfeat").iterdir()} >= {"sql", "engine"}
