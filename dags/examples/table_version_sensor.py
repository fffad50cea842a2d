"""Wait until a table has a version with rows."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.operators.tables import CreateTablesOperator, LoadTableOperator
from airflow_provider_mlfeat.sensors.tables import TableVersionSensor

FOLDER = Path(__file__).parent.parent

with DAG(
    dag_id="example_table_version_sensor",
    description="Wait until a table has a version with rows",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    template_searchpath=str(FOLDER),
):
    create = CreateTablesOperator(task_id="create_tables", database="shop", sql="sql/shopping_tables.sql")
    load = LoadTableOperator(task_id="load", table="shop.shop", paths=f"{FOLDER}/data/shop.csv", mode="overwrite")
    # --8<-- [start:example]
    wait = TableVersionSensor(
        task_id="wait_for_shops",
        table="shop.shop",
        version=1,
        min_rows=5,
        deferrable=True,
        timeout=600,
    )
    # --8<-- [end:example]
    create >> [load, wait]
