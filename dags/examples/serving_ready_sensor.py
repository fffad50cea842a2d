"""Wait until a prediction server answers with a release.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.sensors.serving import ServingReadySensor

RELEASE = Asset("jd_release", group="mlfeat")

with DAG(
    dag_id="example_serving_ready_sensor",
    description="Wait until a prediction server answers with a release",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    ready = ServingReadySensor(
        task_id="ready",
        server="http://{{ conn.mlfeat_server_default.host }}:{{ conn.mlfeat_server_default.port }}",
        service="jd_purchase_intention",
        release="{{ inlet_events[0][-1].extra.release }}",
        mode="reschedule",
        poke_interval=5,
        timeout=600,
        inlets=[RELEASE],
    )
    # --8<-- [end:example]
