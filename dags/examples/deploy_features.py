"""Deploy a feature query, which then answers single requests.

The embedded store lies below the state directory; a connection in `online_conn_id` names a Redis instead.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.operators.online import DeployFeaturesOperator
from airflow_provider_mlfeat.operators.tables import CreateTablesOperator

FOLDER = Path(__file__).parent.parent

with DAG(
    dag_id="example_deploy_features",
    description="Deploy a feature query, which then answers single requests",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    template_searchpath=str(FOLDER),
):
    create = CreateTablesOperator(task_id="create_tables", database="shop", sql="sql/shopping_tables.sql")
    # --8<-- [start:example]
    deploy = DeployFeaturesOperator(
        task_id="deploy",
        name="shopping",
        database="shop",
        sql="sql/shopping_history.sql",
        options={"range_bias": "1d"},
    )
    # --8<-- [end:example]
    create >> deploy
