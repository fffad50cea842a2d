"""Generate clicks in the shape of TalkingData's, or check a folder of your own."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_mlfeat.operators.samples import SampleDataOperator

with DAG(
    dag_id="example_sample_data",
    description="Generate clicks in the shape of TalkingData's, or check a folder of your own",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    params={"data": Param(None, type=["null", "string"], title="Folder of your own data")},
):
    # --8<-- [start:example]
    SampleDataOperator(
        task_id="sample_data",
        dataset="talkingdata",
        directory=str(Path.home() / "mlfeat-examples" / "clicks"),
        data="{{ params.data or '' }}",  # empty: generate
        scale=0.1,
    )
    # --8<-- [end:example]
