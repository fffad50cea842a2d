"""Tables in all of Airflow: a pipeline that runs twice, and a file that cannot be loaded."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.checks import CheckDataOperator
from airflow_provider_mlfeat.operators.features import ExtractFeaturesOperator
from airflow_provider_mlfeat.operators.tables import CreateTablesOperator, ExportOperator, LoadTableOperator
from airflow_provider_mlfeat.sensors.tables import TableVersionSensor

OUTPUT = os.environ["MLFEAT_LIVE_OUTPUT"]
DATA = Path(__file__).resolve().parents[3] / "dags" / "data"
ARGUMENTS = {"schedule": None, "start_date": pendulum.datetime(2026, 1, 1, tz="UTC"), "catchup": False}
CREATE = "CREATE TABLE shop (shop string NOT NULL, country string, opened date);"

with DAG("tables", **ARGUMENTS, default_args={"root": f"{OUTPUT}/tables"}):
    create = CreateTablesOperator(
        task_id="create",
        database="shop",
        sql=f"CREATE TABLE checkout (id string, customer string, shop string, at timestamp, amount double); {CREATE}",
    )
    load = LoadTableOperator.partial(task_id="load", mode="overwrite").expand_kwargs(
        [{"table": f"shop.{name}", "paths": f"{DATA}/{name}.csv"} for name in ("checkout", "shop")]
    )
    # Airflow 3.3 may lose the race between a trigger that fires at once and the scheduler; a retry mends it.
    wait = TableVersionSensor(
        task_id="wait",
        table="shop.shop",
        min_rows=1,
        deferrable=True,
        poke_interval=1,
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
    check = CheckDataOperator(task_id="check", table="shop.checkout", checks=[{"check": "unique", "columns": "id"}])
    extract = ExtractFeaturesOperator(
        task_id="extract",
        database="shop",
        sql="SELECT id, country, amount FROM checkout LAST JOIN shop ON checkout.shop = shop.shop",
        feature_set="features.live",
        outlets=[Asset("live_features")],
    )
    export = ExportOperator(task_id="export", table="features.live", path=f"{OUTPUT}/exported")
    create >> [load, wait]
    [load, wait] >> check >> extract >> export

with DAG("broken_load", **ARGUMENTS, default_args={"root": f"{OUTPUT}/broken"}):
    made = CreateTablesOperator(task_id="create", sql=CREATE)
    broken = LoadTableOperator(
        task_id="load",
        table="shop",
        paths=f"{OUTPUT}/broken.csv",
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
    made >> broken
