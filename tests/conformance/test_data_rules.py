"""Data that breaks a rule stops the query, on every driver, with the table, the column and the row."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.plan import Column
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type
from tests.conformance.arrow import to_arrow

TYPES = {"k": "string", "ts": "timestamp", "v": "int"}
COLUMNS = tuple((name, parse_type(kind)) for name, kind in TYPES.items())
CATALOG = Catalog.from_columns({"main": TYPES, "side": TYPES})
WINDOW = "PARTITION BY k ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW"
PLAN = plan_query(f"SELECT sum(v) OVER w AS x FROM main WINDOW w AS (UNION side {WINDOW})", CATALOG, mode="request")
GOOD = [("a", 1, 1), ("a", 2, 2)]


@pytest.mark.parametrize("time", [None, -1])
@pytest.mark.parametrize("table", ["main", "side"])
def test_batch_names_the_row(table: str, time: Any) -> None:
    rows = {"main": GOOD, "side": GOOD} | {table: [*GOOD, ("a", time, 3)]}
    tables = {("", name): to_arrow(COLUMNS, stored) for name, stored in rows.items()}
    with pytest.raises(DataRuleError) as caught:
        run_batch(PLAN, tables)
    assert (caught.value.table, caught.value.column, caught.value.row) == (table, "ts", 2)


def program(side: list[Any]) -> RequestProgram:
    schema = tuple(Column(name, kind) for name, kind in COLUMNS)
    store = MemoryHistory({("", "main"): schema, ("", "side"): schema})
    store.load(("", "side"), to_arrow(COLUMNS, side))
    return RequestProgram(PLAN, store)


@pytest.mark.parametrize("time", [None, -1])
def test_a_request_without_a_time_is_refused(time: Any) -> None:
    with pytest.raises(DataRuleError) as caught:
        program(GOOD).answer(("a", time, 3))
    assert caught.value.column == "ts"


@pytest.mark.parametrize("time", [None, -1])
def test_a_stored_row_without_a_time_is_refused(time: Any) -> None:
    with pytest.raises(DataRuleError) as caught:
        program([*GOOD, ("a", time, 3)]).answer(("a", 5, 3))
    assert (caught.value.table, caught.value.column) == ("side", "ts")


def test_date_parts_follow_summer_time() -> None:
    plan = plan_query("SELECT hour(ts) AS h, string(ts) AS s FROM main", CATALOG, time_zone="America/New_York")
    # The hour before and after clocks went back on 2020-11-01, and noon in summer.
    instants = [1604206800000, 1604210400000, 1594656000000]
    table = to_arrow(COLUMNS, [("a", instant, 1) for instant in instants])
    answer = run_batch(plan, {("", "main"): table})
    assert answer.column("h").to_pylist() == [1, 1, 12]
    assert answer.column("s").to_pylist() == ["2020-11-01 01:00:00", "2020-11-01 01:00:00", "2020-07-13 12:00:00"]
