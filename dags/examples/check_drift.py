"""Compare answered requests with the rows that the model was trained on.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
With fewer than `min_requests` answered requests it decides nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

from airflow_provider_mlfeat.operators.serving import CheckDriftOperator

FEATURES = Asset("jd_features", group="mlfeat")
# The prediction server of `make up` keeps its log there.
STATE = Path(os.environ.get("MLFEAT_STATE", Path.home() / ".mlfeat"))

with DAG(
    dag_id="example_check_drift",
    description="Compare answered requests with the rows that the model was trained on",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    params={"root": Param(str(Path.home() / "mlfeat-jd" / "tables"), type="string", minLength=1, title="Its tables")},
):
    # --8<-- [start:example]
    drift = CheckDriftOperator(
        task_id="drift",
        root="{{ params.root }}",
        feature_set="{{ inlet_events[0][-1].extra.feature_set }}",
        service="jd_purchase_intention",
        log_folder=str(STATE / "requests"),
        report=str(Path.home() / "mlfeat-examples" / "drift"),
        hours=24,
        ignore=["request_1", "event_time", "label"],
        breach_asset=Asset("jd_drift", group="mlfeat"),
        inlets=[FEATURES],
    )
    # --8<-- [end:example]
