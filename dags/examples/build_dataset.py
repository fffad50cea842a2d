"""Make a dataset of a feature set: split, encoder, ids and values.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

from airflow_provider_mlfeat.operators.dataset import BuildDatasetOperator

FEATURES = Asset("jd_features", group="mlfeat")

with DAG(
    dag_id="example_build_dataset",
    description="Make a dataset of a feature set: split, encoder, ids and values",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    params={"root": Param(str(Path.home() / "mlfeat-jd" / "tables"), type="string", minLength=1, title="Its tables")},
):
    # --8<-- [start:example]
    dataset = BuildDatasetOperator(
        task_id="dataset",
        root="{{ params.root }}",
        feature_set="{{ inlet_events[0][-1].extra.feature_set }}",
        label_column="label",
        key_columns=["request_1"],
        time_column="event_time",
        split={"kind": "time", "train": 0.7, "test": 0.2},
        leakage="warn",
        name="example",
        inlets=[FEATURES],
    )
    # --8<-- [end:example]
