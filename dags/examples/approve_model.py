"""Ask a person before a model is promoted; the form shows the gate's numbers.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
The run waits until somebody answers, on the task's *Required Actions* tab.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.approval import ApproveModelOperator
from airflow_provider_mlfeat.operators.registry import PromoteModelOperator

MODEL = Asset("jd_model", group="mlfeat")
DECISION = Asset("jd_decision", group="mlfeat")

with DAG(
    dag_id="example_approve_model",
    description="Ask a person before a model is promoted; the form shows the gate's numbers",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    approve = ApproveModelOperator(
        task_id="approve",
        model_name="jd_purchase_intention",
        model_version="{{ inlet_events[0][-1].extra.model_version }}",
        decision_table="{{ inlet_events[1][-1].extra.decision_table }}",
        inlets=[MODEL, DECISION],
    )
    # --8<-- [end:example]
    promote = PromoteModelOperator(task_id="promote", model_name="jd_purchase_intention")
    approve >> promote
