"""Which clicks on advertisements are real? Features of how busy an address is, XGBoost, a gate, and a predict server.

Load → extract → train → judge → branch: the same SQL and the model go live together, or the run reports why not.
Nothing is edited by hand: versions and folders are handed on from task to task.

The gate asks for what accuracy hides: with so few good clicks, calling every click bad is right in 99.6 of 100 cases.
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

FOLDER = Path(__file__).parent
ROOT = "{{ params.output }}/tables"
NAME = "talkingdata_fraud"
# A pool for what must not run beside itself. Name yours here; a task of a pool that does not exist would wait for ever.
SPARK_POOL = os.environ.get("MLFEAT_SPARK_POOL", "default_pool")
# The click that the TalkingData demo asks about.
CLICK = {
    "ip": 114904,
    "app": 11,
    "device": 1,
    "os": 15,
    "channel": 319,
    "click_time": 1509960088000,
    "is_attributed": 0,
}
release_asset = Asset("talkingdata_release", group="mlfeat")


def result(task_id: str, field: str) -> str:
    """What a task returned, as a template."""
    return f"{{{{ ti.xcom_pull('{task_id}')['{field}'] }}}}"


with DAG(
    dag_id=NAME,
    description="Click fraud: features of busy addresses, XGBoost, gate, predict server",
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
            str(Path.home() / "mlfeat-talkingdata"), type="string", minLength=1,
            title="Folder for tables, datasets and models",
        ),
        "data": Param(
            None, type=["null", "string"], title="Folder of your own data",
            description="With a folder 'clicks' of CSV files, times in UTC. Empty generates clicks.",
        ),
        "scale": Param(
            1.0, type="number", exclusiveMinimum=0, maximum=1000, title="How much data to generate",
            description="1 is 200,000 clicks.",
        ),
        "engine": Param("auto", type="string", enum=["auto", "batch", "spark"], title="Engine of the feature SQL"),
        "model": Param("xgboost", type="string", enum=["xgboost", "deepfm", "lr"], title="Model"),
        "runtime": Param(
            "process", type="string", enum=["process", "in_process"], title="Where jobs run",
            description="In a process of their own, or in the worker's.",
        ),
        "minimum_auc": Param(0.8, type="number", minimum=0.5, maximum=1, title="Gate: least AUC"),
        "minimum_positives": Param(
            30, type="integer", minimum=1, title="Gate: least number of good clicks",
            description="With fewer the model is not judged, and not accepted.",
        ),
        "parity_requests": Param(
            5000, type="integer", minimum=0, title="Clicks to replay before deployment", description="0 is all of them."
        ),
    },
    template_searchpath=str(FOLDER),
):  # fmt: skip
    with TaskGroup("data", tooltip="Raw clicks"):
        sample = SampleDataOperator(
            task_id="sample_data",
            dataset="talkingdata",
            data="{{ params.data or '' }}",
            directory="{{ params.output }}/data/scale-{{ params.scale }}",
            scale="{{ params.scale }}",
        )
        create = CreateTablesOperator(
            task_id="create_tables", root=ROOT, database="talkingdata", sql="sql/talkingdata_tables.sql"
        )
        load = LoadTableOperator(
            task_id="load",
            root=ROOT,
            table="talkingdata.clicks",
            paths=f"{result('data.sample_data', 'data')}/clicks/*.csv",
            format="csv",
            mode="overwrite",
            options={"header": True, "time_zone": "UTC"},
        )
        check = CheckDataOperator(
            task_id="check_clicks",
            root=ROOT,
            table="talkingdata.clicks",
            checks=[
                {"check": "row_count", "minimum": 1000},
                {"check": "nulls", "column": "click_time"},
                {"check": "range", "column": "is_attributed", "minimum": 0, "maximum": 1},
            ],
        )
        sample >> create >> load >> check

    extract = ExtractFeaturesOperator(
        task_id="extract_features",
        root=ROOT,
        database="talkingdata",
        sql="sql/talkingdata_features.sql",
        feature_set="features.talkingdata",
        engine="{{ params.engine }}",
        pool=SPARK_POOL,
    )

    with TaskGroup("model", tooltip="Dataset, training, evaluation, gate"):
        dataset = BuildDatasetOperator(
            task_id="build_dataset",
            root=ROOT,
            feature_set=result("extract_features", "feature_set"),
            label_column="is_attributed",
            time_column="click_time",
            split={"kind": "time", "train": 0.65, "test": 0.25},
            drop_columns=["click_time"],
            profile="{{ 'numeric' if params.model == 'xgboost' else 'recommended' }}",
            leakage="warn",
        )
        train = TrainModelOperator(
            task_id="train",
            root=ROOT,
            dataset=result("model.build_dataset", "dataset"),
            model="{{ params.model }}",
            name=NAME,
            mlflow_conn_id="mlfeat_mlflow_default",
        )
        evaluate = EvaluateModelOperator(
            task_id="evaluate",
            root=ROOT,
            model=result("model.train", "model"),
            dataset=result("model.build_dataset", "dataset"),
            split="test",
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
                {"rule": "beats_champion", "metric": "logloss", "margin": -0.001},
            ],
            mode="branch",
            on_accept="deployment.register",
            on_reject="fail_report",
        )
        dataset >> train >> evaluate >> gate

    @task
    def fail_report(decision: dict[str, str]) -> None:
        """The model is not deployed, and the run says so."""
        raise AirflowFailException(f"the gate did not accept the model: {decision['reason']}")

    report = fail_report(gate.output)

    with TaskGroup("deployment", tooltip="Registry, online features, parity, predict server"):
        register = RegisterModelOperator(
            task_id="register",
            model=result("model.train", "model"),
            model_name=NAME,
            decision=result("model.gate", "decision_file"),
            aliases=["challenger"],
        )
        deploy_sql = DeployFeaturesOperator(
            task_id="deploy_sql",
            root=ROOT,
            database="talkingdata",
            sql="sql/talkingdata_features.sql",
            name=NAME,
            plan_id=result("extract_features", "plan_id"),
            switch=False,
        )
        load_online = LoadOnlineOperator(
            task_id="load_online", root=ROOT, deployment=result("deployment.deploy_sql", "deployment")
        )
        parity = CheckParityOperator(
            task_id="check_parity",
            root=ROOT,
            feature_set=result("extract_features", "feature_set"),
            deployment=result("deployment.deploy_sql", "deployment"),
            model=result("model.train", "model"),
            label_column="is_attributed",
            requests="{{ params.parity_requests }}",
            report="{{ params.output }}/parity",
        )
        update = SwitchServingOperator(
            task_id="update_server",
            service=NAME,
            deployment=result("deployment.deploy_sql", "deployment"),
            model=result("model.train", "model"),
            model_name=NAME,
            model_version=result("deployment.register", "model_version"),
            label_column="is_attributed",
            server_conn_id="mlfeat_server_default",
            outlets=[release_asset],
        )
        predict = PredictOperator(task_id="predict", service=NAME, rows=CLICK, server_conn_id="mlfeat_server_default")
        promote = PromoteModelOperator(
            task_id="promote", model_name=NAME, model_version=result("deployment.register", "model_version")
        )
        roll_back = RollbackServingOperator(
            task_id="roll_back",
            service=NAME,
            # 0 where nothing was switched: then there is nothing to take back.
            only_from="{{ (ti.xcom_pull('deployment.update_server') or {}).get('release', 0) }}",
            server_conn_id="mlfeat_server_default",
            trigger_rule="one_failed",
        )
        register >> deploy_sql >> load_online >> parity >> update >> predict >> promote
        [update, predict] >> roll_back

    check >> extract >> dataset
    gate >> [register, report]
