"""A small shop: visits ask, purchases and users are history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.online.deploying import Deployed, deploy
from airflow_provider_mlfeat.online.rows import RowReader
from airflow_provider_mlfeat.online.store import Load, OnlineStore
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type

COLUMNS = {
    "visit": {"who": "string", "at": "timestamp", "shop": "int"},
    "purchase": {"who": "string", "at": "timestamp", "price": "double", "kind": "string"},
    "person": {"who": "string", "born": "date", "level": "smallint", "since": "timestamp"},
}
CATALOG = Catalog.from_columns(COLUMNS)
SUMS = """
SELECT visit.who, spent, bought, kinds, level
FROM (SELECT who, sum(price) OVER w AS spent, count(price) OVER w AS bought, topn_frequency(kind, 2) OVER w AS kinds
    FROM (SELECT who, at, 0.0 AS price, '' AS kind FROM visit)
    WINDOW w AS (UNION (SELECT who, at, price, kind FROM purchase) PARTITION BY who ORDER BY at
        ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW)) AS visit
LAST JOIN person ON visit.who = person.who
"""
LAST_THREE = """
SELECT who, sum(price) OVER w AS spent FROM (SELECT who, at, 0.0 AS price, '' AS kind FROM visit)
WINDOW w AS (UNION (SELECT who, at, price, kind FROM purchase) PARTITION BY who ORDER BY at
    ROWS BETWEEN 3 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)
"""
LATEST = "SELECT visit.who, level FROM visit LAST JOIN person ORDER BY person.since ON visit.who = person.who"
CROSS = "SELECT visit.who, kind FROM visit LAST JOIN purchase ON visit.shop < purchase.price"


def definition(name: str) -> TableDefinition:
    return TableDefinition(
        "", name, tuple(ColumnDefinition(column, parse_type(text)) for column, text in COLUMNS[name].items())
    )


def plan(sql: str) -> Plan:
    return plan_query(sql, CATALOG, mode="request")


def create(store: OnlineStore) -> None:
    for name in COLUMNS:
        store.create_table(definition(name))


def put(store: OnlineStore, name: str, *rows: Sequence[Any], load: Load | None = None, **options: Any) -> int:
    return store.put(store.table("", name), table(name, rows), load=load, **options)


def table(name: str, rows: Sequence[Sequence[Any]]) -> pa.Table:
    return RowReader.of_table(definition(name)).table(rows)


def deployed(store: OnlineStore, name: str, sql: str, **options: Any) -> Deployed:
    return deploy(store, name, sql, plan(sql), **options)
