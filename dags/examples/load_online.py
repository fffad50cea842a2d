"""Load the history that a deployment needs into the online store.

Loading again brings what is new since.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.operators.online import DeployFeaturesOperator, LoadOnlineOperator
from airflow_provider_mlfeat.operators.tables import CreateTablesOperator, LoadTableOperator

FOLDER = Path(__file__).parent.parent

with DAG(
    dag_id="example_load_online",
    description="Load the history that a deployment needs into the online store",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    template_searchpath=str(FOLDER),
):
    create = CreateTablesOperator(task_id="create_tables", database="shop", sql="sql/shopping_tables.sql")
    load = LoadTableOperator.partial(task_id="load", mode="overwrite").expand_kwargs(
        [{"table": f"shop.{name}", "paths": f"{FOLDER}/data/{name}.csv"} for name in ("checkout", "click", "shop")]
    )
    deploy = DeployFeaturesOperator(
        task_id="deploy", name="shopping_history", database="shop", sql="sql/shopping_history.sql"
    )
    # --8<-- [start:example]
    load_online = LoadOnlineOperator(
        task_id="load_online",
        deployment="{{ ti.xcom_pull('deploy')['deployment'] }}",
    )
    # --8<-- [end:example]
    create >> load >> deploy >> load_online
