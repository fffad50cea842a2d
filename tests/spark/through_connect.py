"""A client of Spark Connect: ``python -m tests.spark.through_connect sc://HOST:PORT`` prints what it saw as JSON.

A process has either a Spark of its own or one behind Connect, so that the tests run this in another process.
"""

from __future__ import annotations

import json
import sys

import pyarrow as pa

from airflow_provider_mlfeat.engine.spark import run_spark
from airflow_provider_mlfeat.engine.spark_planning import SparkOptions
from airflow_provider_mlfeat.engine.spark_session import make_session, parallelism
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.planner import plan_query
from tests.spark.test_fragments import CATALOG, QUERIES, TABLES

SPREAD = SparkOptions(tiny_rows=0, rows_per_partition=1, split_hot_keys=True)
FEW = ("maxsize", "join of windows")


def rows_of(table: pa.Table) -> list[str]:
    """The rows as texts, in an order that does not depend on partitions."""
    return sorted(repr(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True))


def main(address: str) -> None:
    """Run a few queries that are spread as far as they go, and one over data that breaks a rule."""
    spark = make_session(address, "+08:00")
    seen: dict[str, object] = {"slots": parallelism(spark)}
    for name in FEW:
        told: list[tuple[int, int]] = []
        query = plan_query(QUERIES[name], CATALOG)
        result = run_spark(
            query, TABLES, spark=spark, options=SPREAD, progress=lambda done, known, to=told: to.append((done, known))
        )
        seen[name] = {
            "partitions": max(result.job.partitions),
            "rows": rows_of(result.to_arrow()),
            "progress": told,
        }
    times = TABLES["", "t"].column("ts").to_pylist()
    times[41] = None
    broken = {**TABLES, ("", "t"): TABLES["", "t"].set_column(3, "ts", pa.array(times, pa.timestamp("ms")))}
    try:
        run_spark(plan_query(QUERIES["window"], CATALOG), broken, spark=spark, options=SPREAD).to_arrow()
    except DataRuleError as error:
        seen["refused"] = str(error)
    spark.stop()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1])
