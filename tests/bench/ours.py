"""Our drivers as workers of the bench: `python -m tests.bench.ours batch` and `… spark`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tests.bench.data import TABLES
from tests.bench.query import feature_plan
from tests.bench.rivals.worker import serve

Run = Callable[..., dict[str, Any]]


def start_batch(threads: int) -> tuple[Run, str]:
    """The batch driver: parquet files in, a parquet file out."""
    from airflow_provider_mlfeat.engine.batch import run_batch, write_table
    from airflow_provider_mlfeat.engine.timings import Timings

    plans = {maxsize: feature_plan(maxsize) for maxsize in (True, False)}

    def run(data: str, out: str, maxsize: bool) -> dict[str, Any]:
        timings = Timings()
        answer = run_batch(plans[maxsize], _paths(data), threads=threads, keep_dictionaries=True, timings=timings)
        write_table(answer, out, timings)
        return {"seconds": timings.seconds}

    return run, "batch"


def start_spark(threads: int, partitions: int, memory: str, split: bool | None = None) -> tuple[Run, str]:
    """The Spark driver in a local session: parquet files in, a folder of parquet files out."""
    from airflow_provider_mlfeat.engine.spark import run_spark
    from airflow_provider_mlfeat.engine.spark_planning import SparkOptions
    from airflow_provider_mlfeat.engine.spark_session import make_session

    settings = {"spark.driver.memory": memory, "spark.sql.shuffle.partitions": str(partitions)}
    spark = make_session(f"local[{threads}]", "+08:00", settings)
    spark.sparkContext.setLogLevel("ERROR")
    plans = {maxsize: feature_plan(maxsize) for maxsize in (True, False)}
    spreading = SparkOptions(tiny_rows=0, split_hot_keys=split)

    def run(data: str, out: str, maxsize: bool, spread: bool = True) -> dict[str, Any]:
        options = spreading if spread else None
        run_spark(plans[maxsize], _paths(data), spark=spark, options=options).write_parquet(out, "overwrite")
        return {}

    return run, "spark driver"


def _paths(data: str) -> dict[tuple[str, str], str]:
    return {("", name): f"{data}/{name}.parquet" for name in TABLES}


STARTS: dict[str, Callable[..., tuple[Run, str]]] = {"batch": start_batch, "spark": start_spark}

if __name__ == "__main__":
    serve(STARTS[sys.argv[1]])
