"""What must hold for one example, on every driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from airflow_provider_mlfeat.sql.format import format_sql
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import plan_query
from tests.differential.drivers import assert_same, batch, oracle, oracle_request, request, spark
from tests.differential.queries import Query
from tests.differential.tables import Database


def check(query: Query, database: Database) -> None:
    """Batch, request and the slow evaluator; fails, showing the query and its tables, when two answers differ."""
    _show(_check, query, database)


def check_spark(query: Query, database: Database) -> None:
    """Spark and batch, in the same way."""
    _show(_check_spark, query, database)


def _show(judge: Callable[[Query, Database], None], query: Query, database: Database) -> None:
    try:
        judge(query, database)
    except Exception as error:
        error.add_note(f"{query}\n{query.sql}\n{database}")
        raise


def _check(query: Query, database: Database) -> None:
    plan = plan_example(query, database)
    assert Plan.from_json(plan.to_json()) == plan, "a plan must survive its JSON"
    printed = replace(query, sql=format_sql(query.sql))
    assert plan_example(printed, database).plan_id == plan.plan_id, f"another query when printed: {printed.sql}"
    rows = batch(plan, database)
    assert_same(plan, "batch", rows, "oracle", oracle(plan, database))
    pieces = batch(plan, database, in_pieces=True, slide=False, threads=1)
    assert_same(plan, "batch", rows, "batch over chunks, without sliding", pieces, exact=True)
    # So little memory that every table goes by way of the disk.
    spilled = batch(plan, database, in_pieces=True, memory_limit=200)
    assert_same(plan, "batch", rows, "batch by way of the disk", spilled, exact=True)
    if query.parity:
        _check_request(plan, query, database)


def _check_spark(query: Query, database: Database) -> None:
    plan = plan_example(query, database)
    assert_same(plan, "spark", spark(plan, database), "batch", batch(plan, database), exact=True)


def plan_example(query: Query, database: Database) -> Plan:
    """The plan of an example; a query that has a meaning on single rows is planned for them."""
    return plan_query(
        query.sql,
        database.catalog,
        mode="request" if query.parity else "batch",
        time_zone=query.time_zone,
        null_join_keys=query.null_join_keys,
    )


def _check_request(plan: Plan, query: Query, database: Database) -> None:
    """Request by request as the rows arrived, and, in the order of time, the batch answer."""
    assert_same(plan, "request", request(plan, database), "oracle", oracle_request(plan, database))
    ordered = database.in_time_order(query.order)
    assert_same(plan, "replay in time order", request(plan, ordered), "batch", batch(plan, ordered), exact=True)
