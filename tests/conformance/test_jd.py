"""The JD query over the JD sample, on every driver, against features computed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import plan_query
from tests.conformance import jd
from tests.conformance.arrow import from_arrow
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
