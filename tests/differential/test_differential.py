"""A fixed handful of random examples; ``python -m tests.differential.soak`` runs as many as there is time for."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.conformance.drivers import spark_is_here
from tests.differential.examples import check, check_spark
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


@pytest.mark.skipif(not spark_is_here(), reason="Spark needs pyspark and a Java runtime")
@settings(QUICK, max_examples=15, phases=[Phase.generate])
@given(query=queries(), database=databases())
def test_spark_agrees(query: Query, database: Database) -> None:
    check_spark(query, database)
