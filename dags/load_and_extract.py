"""From raw files to a feature set: create tables, load files into them, check, extract features, export.

Each step leaves a version behind. Run it again over the same files, and every task finds its version and is done;
change a file, and the versions from there on are new.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

from airflow_provider_mlfeat.operators.checks import CheckDataOperator
from airflow_provider_mlfeat.operators.features import ExtractFeaturesOperator
from airflow_provider_mlfeat.operators.tables import CreateTablesOperator, ExportOperator, LoadTableOperator

FOLDER = Path(__file__).parent
ROOT = "{{ params.output }}/tables"
features = Asset("shopping_feature_set", group="mlfeat")

with DAG(
    dag_id="load_and_extract",
    description="Load csv files into versioned tables, check them, and extract a feature set",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1},
    params={
        "data": Param(str(FOLDER / "data"), type="string", minLength=1, title="Folder of checkout, click and shop"),
        "output": Param(
            str(Path.home() / "mlfeat-tables"), type="string", minLength=1, title="Where tables and features go"
        ),
        "engine": Param("auto", type="string", enum=["auto", "batch", "spark"], title="Engine"),
    },
    template_searchpath=str(FOLDER),
):
    # --8<-- [start:create]
    create = CreateTablesOperator(
        task_id="create_tables",
        root=ROOT,
        database="shop",
        sql="sql/shopping_tables.sql",
    )
    # --8<-- [end:create]
    # --8<-- [start:load]
    load = LoadTableOperator.partial(task_id="load", root=ROOT, mode="overwrite").expand_kwargs(
        [
            {"table": "shop.checkout", "paths": "{{ params.data }}/checkout.csv"},
            {"table": "shop.click", "paths": "{{ params.data }}/click.csv"},
            {"table": "shop.shop", "paths": "{{ params.data }}/shop.csv"},
        ]
    )
    # --8<-- [end:load]
    # --8<-- [start:check]
    check = CheckDataOperator(
        task_id="check",
        root=ROOT,
        table="shop.checkout",
        checks=[
            {"check": "row_count", "minimum": 100},
            {"check": "unique", "columns": ["id"]},
            {"check": "nulls", "column": "customer"},
            {"check": "range", "column": "amount", "minimum": 0},
            {"check": "drift", "column": "amount", "severity": "warning"},
        ],
    )
    # --8<-- [end:check]
    # --8<-- [start:extract]
    extract = ExtractFeaturesOperator(
        task_id="extract_features",
        root=ROOT,
        database="shop",
        sql="sql/shopping_features.sql",
        feature_set="features.shopping",
        engine="{{ params.engine }}",
        outlets=[features],
    )
    # --8<-- [end:extract]
    # --8<-- [start:export]
    export = ExportOperator(
        task_id="export",
        root=ROOT,
        table="features.shopping",
        table_version="{{ ti.xcom_pull('extract_features')['table_version'] }}",
        path="{{ params.output }}/export",
        format="csv",
        options={"coalesce": 1},
    )
    # --8<-- [end:export]
    create >> load >> check >> extract >> export
