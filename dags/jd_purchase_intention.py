"""Will this visitor buy? From raw tables to a model that answers, with one SQL text for training and serving.

1. **data**: the raw tables: generated on the spot, or a folder of your own (`data`).
2. **features**: `sql/jd_features.sql` over history makes a versioned feature set.
3. **model**: encoder and dataset, training, evaluation on the latest requests, and the gate. A model that is not better
   than a constant and a logistic regression, and no worse than the champion, goes no further: the run ends in
   `rejected`, which fails and says why.
4. **deployment**: the model is registered in MLflow and deployed to Triton; the same SQL is deployed online and its
   history loaded; past requests are replayed through that path, and **every number must equal training's**.
5. **serving**: features and model go live together; one request is answered. If that fails, the release before is live
   again. However the run ends, the teardown sees that Triton, too, serves the model of the live release.

Each stage ends with an asset event, from which other DAGs take what was made here: the `example_*` DAGs do.

Run it twice: what has not changed is found, not made again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param, TaskGroup, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.operators.checks import CheckDataOperator
from airflow_provider_mlfeat.operators.dataset import BuildDatasetOperator
from airflow_provider_mlfeat.operators.features import ExtractFeaturesOperator
from airflow_provider_mlfeat.operators.gate import GateModelOperator
from airflow_provider_mlfeat.operators.online import DeployFeaturesOperator, LoadOnlineOperator
from airflow_provider_mlfeat.operators.registry import PromoteModelOperator, RegisterModelOperator
from airflow_provider_mlfeat.operators.samples import SampleDataOperator
from airflow_provider_mlfeat.operators.serving import (
    CheckParityOperator,
    PredictOperator,
    RollbackServingOperator,
    SwitchServingOperator,
)
from airflow_provider_mlfeat.operators.tables import CreateTablesOperator, LoadTableOperator
from airflow_provider_mlfeat.operators.training import EvaluateModelOperator, TrainModelOperator
from airflow_provider_mlfeat.operators.triton import DeployTritonModelOperator, RollbackTritonModelOperator

FOLDER = Path(__file__).parent
ROOT = "{{ params.output }}/tables"
NAME = "jd_purchase_intention"
# Pools for what must not run beside itself. Name yours here; a task of a pool that does not exist would wait for ever.
SPARK_POOL = os.environ.get("MLFEAT_SPARK_POOL", "default_pool")
GPU_POOL = os.environ.get("MLFEAT_GPU_POOL", "default_pool")
# Table → folder of its files.
TABLES = {
    "action": "action",
    "flattenRequest": "flattenRequest_clean",
    "bo_user": "bo_user",
    "bo_action": "bo_action",
    "bo_product": "bo_product",
    "bo_comment": "bo_comment",
}
# The request that the JD demo asks.
REQUEST = {
    "reqId": "200080_5505_2016-03-15 20:43:04",
    "eventTime": 1458045784000,
    "main_id": "681271",
    "pair_id": "200080_5505",
    "user_id": "200080",
    "sku_id": "5505",
    "time": 1458045784000,
    "split_id": 1,
    "time1": "2016-03-15 20:43:04",
}
# Where Triton serves the version, as JSON text.
ENDPOINT = "{{ ti.xcom_pull('deployment.deploy_model')['endpoint'] | tojson }}"
# The version that Triton has to serve after the run: the one before, where this run brought one that did not go live.
SETTLED = """
{%- set deployed = ti.xcom_pull('deployment.deploy_model') -%}
{%- set live = ti.xcom_pull('serving.predict') -%}
{%- set before = deployed['previous_version'] if deployed['changed'] and not live else none -%}
{{ before or deployed['triton_version'] }}"""


def asset(name: str) -> Asset:
    """One of the pipeline's assets."""
    return Asset(f"jd_{name}", group="mlfeat")


def result(task_id: str, field: str) -> str:
    """What a task returned, as a template."""
    return f"{{{{ ti.xcom_pull('{task_id}')['{field}'] }}}}"


with DAG(
    dag_id=NAME,
    description="Purchase intention: tables, features, DeepFM, gate, registry, Triton, parity, predictions",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["mlfeat", "pipeline"],
    doc_md=__doc__,
    default_args={
        "owner": "mlfeat",
        "retries": 1,
        "retry_delay": pendulum.duration(seconds=5),
        "runtime": "{{ params.runtime }}",
    },
    params={
        "output": Param(
            str(Path.home() / "mlfeat-jd"), type="string", minLength=1, title="Folder for tables, datasets and models"
        ),
        "data": Param(
            None, type=["null", "string"], title="Folder of your own data",
            description="Empty generates data in the shape of JD's.",
        ),
        "scale": Param(
            2.0, type="number", exclusiveMinimum=0, maximum=1000, title="How much data to generate",
            description="1 is 13,916 requests with 86,000 actions.",
        ),
        "engine": Param("auto", type="string", enum=["auto", "batch", "spark"], title="Engine of the feature SQL"),
        "profile": Param(
            "recommended", type="string", enum=["recommended", "faithful"], title="Profile of the encoder",
            description="'faithful' hashes all 41 columns, ids included, as the JD demo does; it learns them by heart.",
        ),
        "model": Param("deepfm", type="string", enum=["deepfm", "wide_deep", "lr", "xgboost"], title="Model"),
        "epochs": Param(8, type="integer", minimum=1, maximum=100, title="Epochs, at most"),
        "gpus": Param(0, type="integer", minimum=0, maximum=8, title="GPUs"),
        "runtime": Param(
            "process", type="string", enum=["process", "in_process"], title="Where jobs run",
            description="In a process of their own, or in the worker's.",
        ),
        "minimum_auc": Param(0.75, type="number", minimum=0.5, maximum=1, title="Gate: least AUC"),
        "minimum_positives": Param(
            30, type="integer", minimum=1, title="Gate: least number of positive rows",
            description="With fewer the model is not judged, and not accepted.",
        ),
        "parity_requests": Param(
            0, type="integer", minimum=0, title="Requests to replay before deployment", description="0 is all of them."
        ),
    },
    template_searchpath=str(FOLDER),
):  # fmt: skip
    with TaskGroup("data", tooltip="Raw tables"):
        sample = SampleDataOperator(
            task_id="sample_data",
            dataset="jd",
            data="{{ params.data or '' }}",
            directory="{{ params.output }}/data/scale-{{ params.scale }}",
            scale="{{ params.scale }}",
        )
        create = CreateTablesOperator(task_id="create_tables", root=ROOT, database="jd", sql="sql/jd_tables.sql")
        load = LoadTableOperator.partial(
            task_id="load", root=ROOT, format="parquet", mode="overwrite", map_index_template="{{ task.table }}"
        ).expand_kwargs(
            [
                {"table": f"jd.{table}", "paths": f"{result('data.sample_data', 'data')}/{folder}/*.parquet"}
                for table, folder in TABLES.items()
            ]
        )
        check = CheckDataOperator(
            task_id="check_requests",
            root=ROOT,
            table="jd.flattenRequest",
            checks=[
                {"check": "row_count", "minimum": 1000},
                {"check": "unique", "columns": ["reqId"]},
                {"check": "nulls", "column": "eventTime"},
                {"check": "nulls", "column": "user_id"},
            ],
        )
        sample >> create >> load >> check

    with TaskGroup("features", tooltip="One SQL text over history"):
        extract = ExtractFeaturesOperator(
            task_id="extract",
            root=ROOT,
            database="jd",
            sql="sql/jd_features.sql",
            feature_set="features.jd",
            engine="{{ params.engine }}",
            pool=SPARK_POOL,
            outlets=[asset("features")],
        )

    with TaskGroup("model", tooltip="Dataset, training, evaluation, gate"):
        dataset = BuildDatasetOperator(
            task_id="build_dataset",
            root=ROOT,
            feature_set=result("features.extract", "feature_set"),
            label_column="label",
            key_columns=["request_1"],
            time_column="event_time",
            split={"kind": "time", "train": 0.7, "test": 0.2},
            profile="{{ params.profile }}",
            leakage="warn",
            outlets=[asset("dataset")],
        )
        train = TrainModelOperator(
            task_id="train",
            root=ROOT,
            dataset=result("model.build_dataset", "dataset"),
            model="{{ params.model }}",
            settings={
                "epochs": "{{ params.epochs }}",
                # A small net for small data; one thread is as fast and disturbs nobody.
                "hidden_layers": [128, 64],
                "batch_size": 512,
                "threads": 1,
            },
            gpus="{{ params.gpus }}",
            name=NAME,
            mlflow_conn_id="mlfeat_mlflow_default",
            pool=GPU_POOL,
        )
        evaluate = EvaluateModelOperator(
            task_id="evaluate",
            root=ROOT,
            model=result("model.train", "model"),
            dataset=result("model.build_dataset", "dataset"),
            split="test",
            outlets=[asset("evaluation")],
        )
        gate = GateModelOperator(
            task_id="gate",
            root=ROOT,
            model=result("model.train", "model"),
            evaluation=result("model.evaluate", "evaluation"),
            dataset=result("model.build_dataset", "dataset"),
            model_name=NAME,
            rules=[
                {"rule": "threshold", "metric": "auc", "minimum": "{{ params.minimum_auc }}"},
                {"rule": "positives", "minimum": "{{ params.minimum_positives }}"},
                {"rule": "beats_baseline", "baseline": "constant", "metric": "logloss"},
                {"rule": "beats_baseline", "baseline": "logistic", "metric": "auc", "confidence": 0.5},
                {"rule": "beats_champion", "metric": "logloss", "margin": -0.002},
            ],
            mode="branch",
            on_accept="deployment.register",
            on_reject="rejected",
            outlets=[asset("decision")],
        )
        dataset >> train >> evaluate >> gate

    @task
    def rejected(decision: dict[str, str]) -> None:
        """The model goes no further, and the run says so."""
        raise AirflowFailException(f"the gate did not accept the model: {decision['reason']}")

    reject = rejected(gate.output)

    with TaskGroup("deployment", tooltip="Registry, Triton, online features, parity"):
        register = RegisterModelOperator(
            task_id="register",
            model=result("model.train", "model"),
            model_name=NAME,
            decision=result("model.gate", "decision_file"),
            aliases=["challenger"],
            outlets=[asset("model")],
        )
        deploy_features = DeployFeaturesOperator(
            task_id="deploy_features",
            root=ROOT,
            database="jd",
            sql="sql/jd_features.sql",
            name=NAME,
            plan_id=result("features.extract", "plan_id"),
            switch=False,
        )
        load_online = LoadOnlineOperator(
            task_id="load_online", root=ROOT, deployment=result("deployment.deploy_features", "deployment")
        )
        deploy_model = DeployTritonModelOperator(
            task_id="deploy_model",
            triton_model=NAME,
            model=result("model.train", "model"),
            model_name=NAME,
            model_version=result("deployment.register", "model_version"),
        )
        parity = CheckParityOperator(
            task_id="check_parity",
            root=ROOT,
            feature_set=result("features.extract", "feature_set"),
            deployment=result("deployment.deploy_features", "deployment"),
            model=result("model.train", "model"),
            backend="triton",
            endpoint=ENDPOINT,
            label_column="label",
            requests="{{ params.parity_requests }}",
            report="{{ params.output }}/parity",
        )
        register >> [deploy_features, deploy_model]
        deploy_features >> load_online >> parity
        deploy_model >> parity

    with TaskGroup("serving", tooltip="Live"):
        switch = SwitchServingOperator(
            task_id="switch",
            service=NAME,
            deployment=result("deployment.deploy_features", "deployment"),
            model=result("model.train", "model"),
            model_name=NAME,
            model_version=result("deployment.register", "model_version"),
            backend="triton",
            endpoint=ENDPOINT,
            label_column="label",
            server_conn_id="mlfeat_server_default",
            outlets=[asset("release")],
        )
        predict = PredictOperator(task_id="predict", service=NAME, rows=REQUEST, server_conn_id="mlfeat_server_default")
        promote = PromoteModelOperator(
            task_id="promote",
            model_name=NAME,
            model_version=result("deployment.register", "model_version"),
        )
        roll_back = RollbackServingOperator(
            task_id="roll_back",
            service=NAME,
            # 0 where nothing was switched: then there is nothing to take back.
            only_from="{{ (ti.xcom_pull('serving.switch') or {}).get('release', 0) }}",
            server_conn_id="mlfeat_server_default",
            trigger_rule="one_failed",
        )
        settle = RollbackTritonModelOperator(
            task_id="settle_model",
            triton_model=NAME,
            version=SETTLED,
            reason="what Triton serves is the model of the live release",
        ).as_teardown(setups=deploy_model)
        switch >> predict >> promote
        [switch, predict] >> roll_back
        [predict, roll_back] >> settle

    check >> extract >> dataset
    gate >> [register, reject]
    parity >> switch
