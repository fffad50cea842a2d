"""Have a service answer with the release before.

Needs a run of `jd_purchase_intention`. By default nothing is taken back: `only_from` names no release.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_mlfeat.operators.serving import RollbackServingOperator

with DAG(
    dag_id="example_rollback_serving",
    description="Have a service answer with the release before",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    params={"only_from": Param(0, type="integer", minimum=0, title="Release to take back")},
):
    # --8<-- [start:example]
    back = RollbackServingOperator(
        task_id="back",
        service="jd_purchase_intention",
        # Only where this release is live; without it, whatever is live is taken back.
        only_from="{{ params.only_from }}",
        server_conn_id="mlfeat_server_default",
    )
    # --8<-- [end:example]
