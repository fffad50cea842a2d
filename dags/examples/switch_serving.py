"""Make features and a model the live release of a service, in one step.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.serving import SwitchServingOperator

EVALUATION = Asset("jd_evaluation", group="mlfeat")
RELEASE = Asset("jd_release", group="mlfeat")

with DAG(
    dag_id="example_switch_serving",
    description="Make features and a model the live release of a service, in one step",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    switch = SwitchServingOperator(
        task_id="switch",
        service="example",
        deployment="{{ inlet_events[0][-1].extra.deployment }}",
        model="{{ inlet_events[1][-1].extra.model }}",
        model_name="{{ inlet_events[0][-1].extra.model_name }}",
        model_version="{{ inlet_events[0][-1].extra.model_version }}",
        label_column="label",
        server_conn_id="mlfeat_server_default",
        inlets=[RELEASE, EVALUATION],
    )
    # --8<-- [end:example]
