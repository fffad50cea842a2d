"""Data by way of the disk: whatever a partition is divided into, the answer has the same bits."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.engine import spill
from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.spark_hot_keys import HotKeys
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.planner import plan_query
from tests.differential.drivers import arrow_tables
from tests.differential.examples import plan_example
from tests.differential.queries import Query, queries
from tests.differential.tables import Database, databases
from tests.spark.test_fragments import CATALOG, QUERIES, TABLES


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of rows is divided, too."""
    monkeypatch.setattr(spill, "_ROWS_PER_PART", 3)


def rows_of(table: pa.Table) -> Counter[str]:
    return Counter(map(repr, zip(*(column.to_pylist() for column in table.columns), strict=True)))


@pytest.mark.parametrize("limit", [400, 3000])
@pytest.mark.parametrize("name", QUERIES)
def test_divided_partitions_equal_batch(name: str, limit: int) -> None:
    query = plan_query(QUERIES[name], CATALOG)
    answer, wanted = run_batch(query, TABLES, memory_limit=limit), run_batch(query, TABLES)
    # The order of groups is free.
    assert rows_of(answer) == rows_of(wanted) if "GROUP BY" in QUERIES[name] else answer.equals(wanted)


@pytest.mark.parametrize("name", ["window", "rows", "maxsize", "instance", "exclude time", "before", "two keys"])
def test_large_keys_are_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[HotKeys | None] = []

    def noted(one: spill._Spill, *arguments: object) -> HotKeys | None:
        found.append(original(one, *arguments))  # type: ignore[arg-type]
        return found[-1]

    original = spill._Spill._hot_keys
    monkeypatch.setattr(spill._Spill, "_hot_keys", noted)
    query = plan_query(QUERIES[name], CATALOG)
    assert run_batch(query, TABLES, memory_limit=1000).equals(run_batch(query, TABLES))
    assert any(hot is not None for hot in found)


@settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    max_examples=80,
)
@given(query=queries(), database=databases(), limit=st.integers(1, 4000))
def test_random_queries_equal_batch(query: Query, database: Database, limit: int) -> None:
    plan, tables = plan_example(query, database), arrow_tables(database)
    try:
        wanted = run_batch(plan, tables)
    except DataRuleError:
        with pytest.raises(DataRuleError):
            run_batch(plan, tables, memory_limit=limit)
        return
    assert rows_of(run_batch(plan, tables, memory_limit=limit)) == rows_of(wanted), query.sql
