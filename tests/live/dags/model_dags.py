"""A model that a person approves, and requests that drift."""

from __future__ import annotations

import os

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

from airflow_provider_mlfeat.operators.approval import ApproveModelOperator
from airflow_provider_mlfeat.operators.gate import GateModelOperator
from airflow_provider_mlfeat.operators.registry import PromoteModelOperator, RegisterModelOperator
from airflow_provider_mlfeat.operators.serving import CheckDriftOperator

OUTPUT = os.environ["MLFEAT_LIVE_OUTPUT"]
ARGUMENTS = {"schedule": None, "start_date": pendulum.datetime(2026, 1, 1, tz="UTC"), "catchup": False}
DRIFTED = Asset("live_drift")

with DAG("approval", **ARGUMENTS, default_args={"runtime": "in_process"}):
    gate = GateModelOperator(
        task_id="gate",
        model=f"{OUTPUT}/approval/model",
        evaluation=f"{OUTPUT}/approval/evaluation",
        dataset=f"{OUTPUT}/approval/dataset",
        model_name="approved",
        rules=[{"rule": "threshold", "metric": "auc", "minimum": 0.6}],
        output_folder=f"{OUTPUT}/approval/decisions",
    )
    register = RegisterModelOperator(
        task_id="register",
        model="{{ ti.xcom_pull('gate')['model'] }}",
        model_name="approved",
        decision="{{ ti.xcom_pull('gate')['decision_file'] }}",
        encoded_model=False,
    )
    approve = ApproveModelOperator(
        task_id="approve",
        model_name="approved",
        model_version="{{ ti.xcom_pull('register')['model_version'] }}",
        decision_table="{{ ti.xcom_pull('gate')['decision_table'] }}",
    )
    promote = PromoteModelOperator(
        task_id="promote",
        model_name="approved",
        model_version="{{ ti.xcom_pull('register')['model_version'] }}",
    )
    gate >> register >> approve >> promote

with DAG("drift", **ARGUMENTS):
    CheckDriftOperator(
        task_id="check",
        root=f"{OUTPUT}/drift/tables",
        feature_set="features.visits@1",
        log_folder=f"{OUTPUT}/drift/log",
        report=f"{OUTPUT}/drift/report",
        breach_asset=DRIFTED,
        runtime="in_process",
    )

with DAG("train_anew", **{**ARGUMENTS, "schedule": [DRIFTED]}):
    EmptyOperator(task_id="begin")
