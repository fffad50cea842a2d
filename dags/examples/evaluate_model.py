"""Judge a model on a split, and slice by slice.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.training import EvaluateModelOperator

EVALUATION = Asset("jd_evaluation", group="mlfeat")

with DAG(
    dag_id="example_evaluate_model",
    description="Judge a model on a split, and slice by slice",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    evaluate = EvaluateModelOperator(
        task_id="evaluate",
        model="{{ inlet_events[0][-1].extra.model }}",
        dataset="{{ inlet_events[0][-1].extra.dataset }}",
        split="valid",
        slices=["user_sex"],
        baselines=["constant"],
        inlets=[EVALUATION],
    )
    # --8<-- [end:example]
