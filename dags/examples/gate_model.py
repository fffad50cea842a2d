"""Decide by rules whether a model may be used.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.gate import GateModelOperator

EVALUATION = Asset("jd_evaluation", group="mlfeat")

with DAG(
    dag_id="example_gate_model",
    description="Decide by rules whether a model may be used",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    gate = GateModelOperator(
        task_id="gate",
        model="{{ inlet_events[0][-1].extra.model }}",
        evaluation="{{ inlet_events[0][-1].extra.evaluation }}",
        dataset="{{ inlet_events[0][-1].extra.dataset }}",
        rules=[
            {"rule": "threshold", "metric": "auc", "minimum": 0.75},
            {"rule": "threshold", "metric": "calibration_ratio", "minimum": 0.2, "maximum": 5},
            {"rule": "beats_baseline", "baseline": "constant", "metric": "logloss"},
            {"rule": "beats_champion", "margin": -0.01},
            {"rule": "slices", "column": "user_sex", "maximum_drop": 0.2},
        ],
        model_name="jd_purchase_intention",
        mode="fail",
        inlets=[EVALUATION],
    )
    # --8<-- [end:example]
