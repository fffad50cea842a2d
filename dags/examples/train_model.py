"""Train a model on a dataset.

Needs a run of `jd_purchase_intention`, whose asset events say what it made.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.training import TrainModelOperator

DATASET = Asset("jd_dataset", group="mlfeat")

with DAG(
    dag_id="example_train_model",
    description="Train a model on a dataset",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1, "retry_delay": pendulum.duration(seconds=5)},
):
    # --8<-- [start:example]
    train = TrainModelOperator(
        task_id="train",
        dataset="{{ inlet_events[0][-1].extra.dataset }}",
        model="lr",
        settings={"epochs": 2, "batch_size": 1024, "threads": 1},
        name="example",
        inlets=[DATASET],
    )
    # --8<-- [end:example]
