"""Run any kind of job by its spec: here a query over a file."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.operators.job import RunJobOperator

FOLDER = Path(__file__).parent.parent
OUTPUT = Path.home() / "mlfeat-examples"

with DAG(
    dag_id="example_run_job",
    description="Run any kind of job by its spec: here a query over a file",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    RunJobOperator(
        task_id="large_checkouts",
        spec={
            "kind": "query",
            "sql": "SELECT id, customer, amount FROM checkout WHERE amount > 50",
            "tables": {"checkout": f"{FOLDER}/data/checkout.csv"},
            "output": f"{OUTPUT}/large_checkouts.parquet",
        },
    )
    # --8<-- [end:example]
