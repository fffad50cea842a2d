"""DAGs for the tests that need all of Airflow."""

from __future__ import annotations

import os
from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.operators.job import RunJobOperator

OUTPUT = os.environ["MLFEAT_LIVE_OUTPUT"]


def declare(dag_id: str, **arguments: object) -> None:
    """A DAG with one job."""
    fields = arguments.pop("fields")
    assert isinstance(fields, dict)
    with DAG(dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False) as dag:
        RunJobOperator(
            task_id="count",
            spec={"kind": "test_steps", "output": f"{OUTPUT}/{dag_id}", **fields},
            retries=2,
            retry_delay=timedelta(seconds=1),
            **arguments,  # type: ignore[arg-type]
        )
    globals()[dag_id] = dag


declare("worker_loss", fields={"steps": 1000, "pause": 0.05, "fail": ""})
declare("deferred", fields={"steps": 10000, "pause": 0.05}, deferrable=True)
declare("users_mistake", fields={"fail": "user"})
