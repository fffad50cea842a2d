"""Run a SQL script that was written for other folders."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_mlfeat.operators.features import RunScriptOperator

FOLDER = Path(__file__).parent.parent

with DAG(
    dag_id="example_run_script",
    description="Run a SQL script that was written for other folders",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    template_searchpath=str(FOLDER),
):
    # --8<-- [start:example]
    RunScriptOperator(
        task_id="prepare",
        sql="sql/shopping_script.sql",
        # What the script's paths mean here.
        path_map={"/data/shop": f"{FOLDER}/data", "/data/output": str(Path.home() / "mlfeat-examples")},
    )
    # --8<-- [end:example]
