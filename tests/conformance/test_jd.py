"""The JD query over the JD sample, on every driver, against features computed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.sql.plan import Column, Plan
from airflow_provider_mlfeat.sql.planner import plan_query
from tests.conformance import jd
from tests.conformance.arrow import from_arrow
from tests.conformance.drivers import spark_is_here, spark_session
from tests.conformance.shared_data import shared

Tables = dict[tuple[str, str], pa.Table]


@pytest.fixture(scope="module")
def folder() -> Path:
    return shared("data", "jd_sample")


@pytest.fixture(scope="module")
def tables(folder: Path) -> Tables:
    return jd.load_tables(folder)


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    text = jd.query_text(shared("seeds", "000_14a6bceeab9d9bcf.txt"))
    return plan_query(text, jd.catalog(jd.table_columns(folder)), mode="request")


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[str, tuple[Any, ...]]:
    return jd.reference_rows(folder)


def test_batch_counts_and_cells(plan: Plan, tables: Tables, reference: dict[str, tuple[Any, ...]]) -> None:
    rows = from_arrow(run_batch(plan, tables), plan.schema)
    assert len(rows) == len(reference)
    assert len(plan.schema) == len(jd.NAMES)
    assert jd.distinct_counts(rows) == jd.DISTINCT
    assert jd.differing_cells(rows, reference) == []


@pytest.fixture
def store(folder: Path, tables: Tables) -> MemoryHistory:
    columns = jd.table_columns(folder)
    history = MemoryHistory(
        {("", name): tuple(Column(column, kind) for column, kind in pairs) for name, pairs in columns.items()}
    )
    for name, table in tables.items():
        if name != ("", "flattenRequest"):
            history.load(name, table)
    return history


def test_the_online_row(plan: Plan, tables: Tables, store: MemoryHistory) -> None:
    store.load(("", "flattenRequest"), tables["", "flattenRequest"])
    (answer,) = RequestProgram(plan, store).answer(jd.ONLINE_REQUEST)
    assert answer == jd.ONLINE_ANSWER
    assert [type(value) for value in answer] == [type(value) for value in jd.ONLINE_ANSWER]


def test_replay_is_batch(
    plan: Plan, tables: Tables, store: MemoryHistory, reference: dict[str, tuple[Any, ...]]
) -> None:
    program = RequestProgram(plan, store)
    time = [column.name for column in program.request_schema].index("eventTime")
    requests = from_arrow(tables["", "flattenRequest"], program.request_schema)
    answers = []
    for row in sorted(requests, key=lambda request: request[time]):
        answers += program.answer(row)
        store.insert(("", "flattenRequest"), row)
    assert jd.distinct_counts(answers) == jd.DISTINCT
    assert jd.differing_cells(answers, reference) == []
    batch = from_arrow(run_batch(plan, tables), plan.schema)
    assert sorted(map(repr, answers)) == sorted(map(repr, batch))


@pytest.mark.skipif(not spark_is_here(), reason="Spark needs pyspark and a Java runtime")
def test_spark_is_batch(plan: Plan, tables: Tables, reference: dict[str, tuple[Any, ...]], tmp_path: Path) -> None:
    from airflow_provider_mlfeat.engine.spark import run_spark

    paths = {}
    for (database, name), table in tables.items():
        paths[database, name] = str(tmp_path / f"{name}.parquet")
        pq.write_table(table, paths[database, name])
    rows = from_arrow(run_spark(plan, paths, spark_session()).to_arrow(), plan.schema)
    assert jd.distinct_counts(rows) == jd.DISTINCT
    assert jd.differing_cells(rows, reference) == []
    batch = from_arrow(run_batch(plan, tables), plan.schema)
    assert sorted(map(repr, rows)) == sorted(map(repr, batch))
