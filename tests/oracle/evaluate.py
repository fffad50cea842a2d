"""The oracle's three entries: a plan over tables, over one request, and over a replay of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_mlfeat.sql import plan
from tests.oracle.expressions import Row, Session
from tests.oracle.relations import Tables, World, rows_of


def run_batch(query: plan.Plan, tables: Tables, parameters: Sequence[Any] = ()) -> list[Row]:
    """The rows of `query` over the stored tables, in arrival order."""
    session = Session(query.time_zone, tuple(parameters))
    return rows_of(query.root, World(tables, session, query.null_join_keys))


def run_request(query: plan.Plan, stored: Tables, row: Row, parameters: Sequence[Any] = ()) -> list[Row]:
    """The answer to one request row; nothing is inserted."""
    session = Session(query.time_zone, tuple(parameters))
    return rows_of(query.root, World(stored, session, query.null_join_keys, query.request_source, tuple(row)))


def run_replay(query: plan.Plan, tables: Tables, parameters: Sequence[Any] = ()) -> list[Row]:
    """Every row of the request table as a request, in arrival order, inserted after its answer."""
    source = query.request_source
    if source is None:
        return run_batch(query, tables, parameters)
    stored: list[Row] = []
    answers: list[Row] = []
    for row in tables[source]:
        answers += run_request(query, {**tables, source: tuple(stored)}, row, parameters)
        stored.append(row)
    return answers
