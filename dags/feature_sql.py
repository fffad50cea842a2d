"""Features from SQL: which data there is, then one query over it.

The query is `sql/shopping_features.sql`, the data are the csv files in `data/`. `mlfeat sql request` answers a single
request with the same text.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

from airflow_provider_mlfeat.operators.files import FileManifestOperator
from airflow_provider_mlfeat.operators.job import RunJobOperator

FOLDER = Path(__file__).parent
features = Asset("shopping_features", group="mlfeat")

with DAG(
    dag_id="feature_sql",
    description="Run a feature query over files and publish the feature set as an asset event",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1},
    params={
        "data": Param(str(FOLDER / "data"), type="string", minLength=1, title="Folder of checkout, click and shop"),
        "output": Param(
            str(Path.home() / "mlfeat-shopping"), type="string", minLength=1, title="Where the features go"
        ),
        "engine": Param("batch", type="string", enum=["batch", "spark"], title="Engine"),
    },
    template_searchpath=str(FOLDER),
):
    manifest = FileManifestOperator(
        task_id="see_data",
        paths=["{{ params.data }}/*.csv"],
        manifest="{{ params.output }}/manifest.json",
    )
    # --8<-- [start:query]
    extract = RunJobOperator(
        task_id="extract_features",
        spec={
            "kind": "query",
            "sql": "{% include 'sql/shopping_features.sql' %}",
            "tables": {
                "checkout": "{{ params.data }}/checkout.csv",
                "click": "{{ params.data }}/click.csv",
                "shop": "{{ params.data }}/shop.csv",
            },
            "engine": "{{ params.engine }}",
            "output": "{{ params.output }}/features.parquet",
        },
        outlets=[features],
    )
    # --8<-- [end:query]
    manifest >> extract
