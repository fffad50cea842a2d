"""Make a version the champion, and take it back.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.registry import PromoteModelOperator, RollbackModelOperator

MODEL = Asset("jd_model", group="mlfeat")

with DAG(
    dag_id="example_promote_model",
    description="Make a version the champion, and take it back",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    promote = PromoteModelOperator(
        task_id="promote",
        model_name="jd_purchase_intention",
        model_version="{{ inlet_events[0][-1].extra.model_version }}",
        inlets=[MODEL],
    )
    back = RollbackModelOperator(
        task_id="back",
        model_name="jd_purchase_intention",
        # None is the version that the present one replaced.
        to_version="{{ inlet_events[0][-1].extra.model_version }}",
        inlets=[MODEL],
    )
    # --8<-- [end:example]
    promote >> back
