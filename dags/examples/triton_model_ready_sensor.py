"""Wait until Triton serves a model.

Needs a run of `jd_purchase_intention`, which deploys it.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.sensors.triton import TritonModelReadySensor

with DAG(
    dag_id="example_triton_model_ready_sensor",
    description="Wait until Triton serves a model",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    wait = TritonModelReadySensor(
        task_id="wait_for_model",
        triton_model="jd_purchase_intention",
        deferrable=True,
        timeout=600,
    )
    # --8<-- [end:example]
