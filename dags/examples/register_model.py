"""Register a model that the gate accepted as a version in MLflow.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.registry import RegisterModelOperator

DECISION = Asset("jd_decision", group="mlfeat")

with DAG(
    dag_id="example_register_model",
    description="Register a model that the gate accepted as a version in MLflow",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    register = RegisterModelOperator(
        task_id="register",
        model="{{ inlet_events[0][-1].extra.model }}",
        model_name="jd_example",
        decision="{{ inlet_events[0][-1].extra.decision_file }}",
        aliases=["challenger"],
        tags={"team": "recommendations"},
        inlets=[DECISION],
    )
    # --8<-- [end:example]
