"""Ask the prediction server.

Needs a run of `jd_purchase_intention`, which makes the service.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.operators.serving import PredictOperator

with DAG(
    dag_id="example_predict",
    description="Ask the prediction server",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    predict = PredictOperator(
        task_id="predict",
        service="jd_purchase_intention",
        rows=[
            {
                "reqId": "200080_5505_2016-03-15 20:43:04",
                "eventTime": 1458045784000,
                "main_id": "681271",
                "pair_id": "200080_5505",
                "user_id": "200080",
                "sku_id": "5505",
                "time": 1458045784000,
                "split_id": 1,
                "time1": "2016-03-15 20:43:04",
            }
        ],
        server_conn_id="mlfeat_server_default",
    )
    # --8<-- [end:example]
