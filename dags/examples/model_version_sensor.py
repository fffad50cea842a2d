"""Wait until a registered model has a champion.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.sensors.models import ModelVersionSensor

with DAG(
    dag_id="example_model_version_sensor",
    description="Wait until a registered model has a champion",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    wait = ModelVersionSensor(
        task_id="wait_for_champion",
        model_name="jd_purchase_intention",
        alias="champion",
        deferrable=True,
        timeout=600,
    )
    # --8<-- [end:example]
