"""Bring a registered model live on Triton, tried on a share of the requests first.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.triton import DeployTritonModelOperator

MODEL = Asset("jd_model", group="mlfeat")

with DAG(
    dag_id="example_deploy_triton_model",
    description="Bring a registered model live on Triton, tried on a share of the requests first",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    deploy = DeployTritonModelOperator(
        task_id="deploy",
        triton_model="jd_example",
        model_name="{{ inlet_events[0][-1].extra.model_name }}",
        model_version="{{ inlet_events[0][-1].extra.model_version }}",
        canary={"share": 0.1, "seconds": 2, "max_p99_ms": 500},
        tuning={"instances": 1},
        inlets=[MODEL],
    )
    # --8<-- [end:example]
