"""Go back to a version of a model on Triton, and stop serving the model.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.triton import (
    DeployTritonModelOperator,
    RollbackTritonModelOperator,
    UnloadTritonModelOperator,
)

MODEL = Asset("jd_model", group="mlfeat")

with DAG(
    dag_id="example_rollback_triton_model",
    description="Go back to a version of a model on Triton, and stop serving the model",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    deploy = DeployTritonModelOperator(
        task_id="deploy",
        triton_model="jd_rollback",
        model_name="{{ inlet_events[0][-1].extra.model_name }}",
        model_version="{{ inlet_events[0][-1].extra.model_version }}",
        inlets=[MODEL],
    )
    # --8<-- [start:example]
    back = RollbackTritonModelOperator(
        task_id="back",
        triton_model="jd_rollback",
        # None is the version before the live one.
        version="{{ ti.xcom_pull('deploy')['triton_version'] }}",
        reason="an example",
    )
    unload = UnloadTritonModelOperator(task_id="unload", triton_model="jd_rollback")
    # --8<-- [end:example]
    deploy >> back >> unload
