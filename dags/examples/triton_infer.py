"""Score the rows of Parquet files on Triton.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

from airflow_provider_mlfeat.operators.tables import ExportOperator
from airflow_provider_mlfeat.operators.triton import TritonInferOperator

EVALUATION = Asset("jd_evaluation", group="mlfeat")
OUTPUT = Path.home() / "mlfeat-examples" / "scores"

with DAG(
    dag_id="example_triton_infer",
    description="Score the rows of Parquet files on Triton",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    params={"root": Param(str(Path.home() / "mlfeat-jd" / "tables"), type="string", minLength=1, title="Its tables")},
):
    export = ExportOperator(
        task_id="export", root="{{ params.root }}", table="features.jd", path=f"{OUTPUT}/features", format="parquet"
    )
    # --8<-- [start:example]
    score = TritonInferOperator(
        task_id="score",
        triton_model="jd_purchase_intention",
        model="{{ inlet_events[0][-1].extra.model }}",
        rows=f"{OUTPUT}/features/*.parquet",
        scores=f"{OUTPUT}/scores.parquet",
        keys=["request_1"],
        inlets=[EVALUATION],
    )
    # --8<-- [end:example]
    export >> score
