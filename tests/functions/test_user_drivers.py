"""A user's functions called from SQL text, in every driver."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.errors import SqlTypeError
from airflow_provider_mlfeat.sql.functions.user import remove_function
from airflow_provider_mlfeat.sql.plan import Column
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type

TYPES = {"id": "int", "name": "string", "price": "float", "at": "timestamp"}
ROWS = [
    (1, "apple", 1.5, 1000),
    (1, "banana", None, 2000),
    (1, "cherry", 3.0, 3000),
    (2, None, 4.0, 3000),
    (1, "date", 2.0, 4000),
]
SQL = """
SELECT id, shortened(name) AS short, shortened(name, 1) AS initial,
       price_path(price, shortened(name, 3)) OVER w AS path
FROM goods
WINDOW w AS (PARTITION BY id ORDER BY at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)
"""
EXPECTED = [
    (1, "ap", "a", "app=1.5"),
    (1, "ba", "b", "app=1.5"),
    (1, "ch", "c", "che=3 app=1.5"),
    (1, "da", "d", "dat=2 che=3"),
    (2, None, None, None),
]
CATALOG = Catalog.from_columns({"goods": TYPES}, database="shop")
SOURCE = ("shop", "goods")


@pytest.fixture(autouse=True)
def _functions() -> Iterator[None]:
    importlib.reload(importlib.import_module("tests.functions.shop_functions"))
    yield
    remove_function("shortened")
    remove_function("price_path")


def table() -> pa.Table:
    arrow = {"int": pa.int32(), "string": pa.string(), "float": pa.float32(), "timestamp": pa.timestamp("ms")}
    columns = [pa.array([row[place] for row in ROWS], arrow[kind]) for place, kind in enumerate(TYPES.values())]
    return pa.table(columns, names=list(TYPES))


def rows_of(answer: pa.Table) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in answer.to_pylist()), key=lambda row: (row[0], row[1] or ""))


def test_batch() -> None:
    plan = plan_query(SQL, CATALOG, database="shop")
    assert rows_of(run_batch(plan, {SOURCE: table()})) == EXPECTED


def test_request() -> None:
    plan = plan_query(SQL, CATALOG, mode="request", database="shop")
    store = MemoryHistory({SOURCE: tuple(Column(name, parse_type(kind)) for name, kind in TYPES.items())})
    program = RequestProgram(plan, store)
    answers = []
    for row in ROWS:
        answers.extend(map(tuple, program.answer(row)))
        store.insert(SOURCE, row)
    assert sorted(answers, key=lambda row: (row[0], row[1] or "")) == EXPECTED


@pytest.mark.spark
def test_spark() -> None:
    from airflow_provider_mlfeat.engine.spark import SparkOptions, run_spark
    from tests.conformance.drivers import spark_session

    plan = plan_query(SQL, CATALOG, database="shop")
    options = SparkOptions(tiny_rows=0, rows_per_partition=1)
    assert rows_of(run_spark(plan, {SOURCE: table()}, spark_session(), options=options).to_arrow()) == EXPECTED


def test_a_wrong_call_names_its_place() -> None:
    with pytest.raises(SqlTypeError) as refusal:
        plan_query("SELECT shortened(id) FROM goods", CATALOG, database="shop")
    assert "shortened(string, int): the argument must be of type string, not int" in str(refusal.value)
