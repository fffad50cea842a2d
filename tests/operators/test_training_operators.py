"""Operators that train and judge models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, Connection
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import parse_spec
from airflow_provider_mlfeat.links.mlflow import MLflowRunLink
from airflow_provider_mlfeat.links.report import ReportLink
from airflow_provider_mlfeat.operators.training import EvaluateModelOperator, TrainModelOperator
from tests.training.datasets import make_dataset

TREES = {"trees": "10", "threads": "1"}
CONTAINER = {"kind": "container", "image": "mlfeat/job:latest", "gpus": 0, "memory": "4g"}


def test_from_a_dataset_to_an_evaluation(tmp_path: Path, context: Any) -> None:
    dataset = make_dataset(tmp_path / "dataset", rows=800)
    here = {"root": str(tmp_path / "tables"), "runtime": "in_process"}
    made = Asset("model")
    train = TrainModelOperator(
        task_id="t", dataset=str(dataset.folder), model="xgboost", settings=TREES, outlets=[made], **here
    )
    result = train.execute(context)
    assert (result["kind"], result["model_kind"], result["already_trained"]) == ("train_model", "xgboost", False)
    assert Path(result["model"]).is_relative_to(tmp_path / "tables" / ".models" / "xgboost")
    assert json.loads(json.dumps(result)) == result
    assert context["outlet_events"][made].extra["model_fingerprint"] == result["model_fingerprint"]
    assert train.execute(context)["already_trained"]
    evaluation = EvaluateModelOperator(
        task_id="e", model=result["model"], dataset=result["dataset"], slices=["shop"], **here
    ).execute(context)
    assert evaluation["auc"] == result["test_auc"]
    assert Path(evaluation["evaluation"]).is_relative_to(tmp_path / "tables" / ".evaluations" / "xgboost")
    assert set(evaluation["artifacts"]) == {"report", "evaluation"}


def test_a_mistake_is_red_at_once(tmp_path: Path, context: Any) -> None:
    operator = TrainModelOperator(task_id="t", dataset=str(tmp_path), runtime="in_process")
    with pytest.raises(AirflowFailException, match=r"is no dataset: it has no dataset.json"):
        operator.execute(context)


def test_settings_from_templates_are_what_they_say(context: Any) -> None:
    settings = {"epochs": "5", "hidden_layers": "[64, 32]", "compile": "true", "schedule": "cosine", "dropout": 0.1}
    operator = TrainModelOperator(task_id="t", dataset="/d", settings=settings)
    spec: Any = parse_spec(operator.build_spec(context))
    assert spec.settings == {
        "epochs": 5,
        "hidden_layers": [64, 32],
        "compile": True,
        "schedule": "cosine",
        "dropout": 0.1,
    }
    assert (spec.model, spec.name, spec.tracking) == ("deepfm", "", None)


@pytest.mark.parametrize(
    ("gpus", "model", "settings"),
    [
        (None, "deepfm", {}),
        ("0", "deepfm", {}),
        ("1", "deepfm", {"device": "cuda"}),
        (4, "deepfm", {"device": "cuda", "processes": 4}),
        (4, "xgboost", {"device": "cuda"}),
    ],
)
def test_gpus_are_a_process_each(context: Any, gpus: Any, model: str, settings: dict[str, Any]) -> None:
    spec = TrainModelOperator(task_id="t", dataset="/d", model=model, gpus=gpus).build_spec(context)
    assert spec["settings"] == settings
    given = TrainModelOperator(task_id="t", dataset="/d", gpus=1, settings={"device": "cpu"}).build_spec(context)
    assert given["settings"] == {"device": "cpu"}


def test_limits_are_those_of_the_container() -> None:
    operator = TrainModelOperator(task_id="t", dataset="/d", gpus="2", cpus="3.5", memory="16g", runtime=CONTAINER)
    settings = operator._settings()
    assert {name: settings[name] for name in ("gpus", "cpus", "memory")} == {"gpus": 2, "cpus": 3.5, "memory": "16g"}
    settings = EvaluateModelOperator(task_id="e", model="/m", dataset="/d", runtime=CONTAINER)._settings()
    assert (settings["gpus"], settings["cpus"], settings["memory"]) == (0, None, "4g")
    settings = TrainModelOperator(task_id="t", dataset="/d", gpus=2, runtime="process")._settings()
    assert "gpus" not in settings
    with pytest.raises(UserError, match="gpus takes a number, not 'many'"):
        TrainModelOperator(task_id="t", dataset="/d", gpus="many", runtime=CONTAINER)._settings()


def test_gpus_are_slots_of_a_pool() -> None:
    assert TrainModelOperator(task_id="t", dataset="/d", gpus=2, pool="gpu").pool_slots == 2
    assert TrainModelOperator(task_id="t", dataset="/d", gpus=2, pool="gpu", pool_slots=1).pool_slots == 1
    assert TrainModelOperator(task_id="t", dataset="/d", gpus="{{ params.gpus }}", pool="gpu").pool_slots == 1
    assert TrainModelOperator(task_id="t", dataset="/d", gpus=2).pool_slots == 1


def test_mlflow_hears_of_a_training_and_the_spec_holds_no_secret(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    given = Connection(conn_id="m", conn_type="mlfeat_mlflow", host="http://flow:5000", login="me", password="hidden")
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod(lambda name: given))
    operator = TrainModelOperator(task_id="t", dataset="/d", mlflow_conn_id="m")
    spec = operator.build_spec(context)
    assert "hidden" not in json.dumps(spec)
    assert spec["tracking"]["experiment"]
    assert "hidden" in operator.secrets(context).values()
    parse_spec(spec)
    assert TrainModelOperator(task_id="t", dataset="/d").secrets(context) == {}


def test_report_and_run_are_a_click_away(context: Any) -> None:
    operator = TrainModelOperator(task_id="t", dataset="/d")
    result = {"job_id": "t-1", "artifacts": [], "version": 1, "run_url": "http://flow/run/1"}
    operator._finish(result, context)
    assert operator.report_url is not None
    assert operator.report_url.endswith("/jobs/t-1/report")
    assert context["ti"].pushed[ReportLink().xcom_key] == operator.report_url
    assert context["ti"].pushed[MLflowRunLink().xcom_key] == "http://flow/run/1"
    assert ReportLink() in EvaluateModelOperator.operator_extra_links
