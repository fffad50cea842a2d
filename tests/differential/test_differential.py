"""A fixed handful of random examples; ``python -m tests.differential.soak`` runs as many as there is time for."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.differential.examples import check
from tests.differential.queries import Query, queries
from tests.differential.tables import Database, databases, long_databases

QUICK = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(QUICK, max_examples=150)
@given(query=queries(), database=databases())
def test_drivers_agree(query: Query, database: Database) -> None:
    check(query, database)


@settings(QUICK, max_examples=15)
@given(query=queries(), database=long_databases())
def test_drivers_agree_on_long_frames(query: Query, database: Database) -> None:
    check(query, database)
