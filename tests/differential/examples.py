"""What must hold for one example, on every driver."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.planner import plan_query
from tests.differential.drivers import assert_same, batch, oracle
from tests.differential.queries import Query
from tests.differential.tables import Database


def check(query: Query, database: Database) -> None:
    """Fail, showing the query and its tables, when two answers differ."""
    try:
        _check(query, database)
    except Exception as error:
        error.add_note(f"{query}\n{query.sql}\n{database}")
        raise


def _check(query: Query, database: Database) -> None:
    plan = plan_query(
        query.sql, database.catalog, time_zone=query.time_zone, null_join_keys=query.null_join_keys
    )
    rows = batch(plan, database)
    assert_same(plan, "batch", rows, "oracle", oracle(plan, database))
    assert_same(plan, "batch", rows, "batch without sliding", batch(plan, database, slide=False, threads=1), exact=True)
