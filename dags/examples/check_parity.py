"""Replay past requests online, and compare every number with training's.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

from airflow_provider_mlfeat.operators.serving import CheckParityOperator

FEATURES = Asset("jd_features", group="mlfeat")
EVALUATION = Asset("jd_evaluation", group="mlfeat")
RELEASE = Asset("jd_release", group="mlfeat")

with DAG(
    dag_id="example_check_parity",
    description="Replay past requests online, and compare every number with training's",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
    params={"root": Param(str(Path.home() / "mlfeat-jd" / "tables"), type="string", minLength=1, title="Its tables")},
):
    # --8<-- [start:example]
    parity = CheckParityOperator(
        task_id="parity",
        root="{{ params.root }}",
        feature_set="{{ inlet_events[0][-1].extra.feature_set }}",
        deployment="{{ inlet_events[1][-1].extra.deployment }}",
        model="{{ inlet_events[2][-1].extra.model }}",
        label_column="label",
        requests=200,
        report=str(Path.home() / "mlfeat-examples" / "parity"),
        inlets=[FEATURES, RELEASE, EVALUATION],
    )
    # --8<-- [end:example]
