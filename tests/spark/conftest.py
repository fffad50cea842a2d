"""One Spark session for the tests of this folder, as small as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.drivers import spark_is_here

SETTINGS = {"spark.driver.memory": "2g", "spark.sql.shuffle.partitions": "4"}


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    if not spark_is_here():
        pytest.skip("Spark needs pyspark and a Java runtime")
    from airflow_provider_mlfeat.engine.spark_session import make_session

    session = make_session("local[2]", "+08:00", SETTINGS)
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
