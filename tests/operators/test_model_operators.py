"""The gate, registration, promotion, sensor, triggers and links, as tasks run them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    DownstreamTasksSkipped,
    TaskDeferred,
)

from airflow_provider_mlfeat.links.mlflow import MLflowRunLink, ModelVersionLink
from airflow_provider_mlfeat.operators.approval import ApproveModelOperator
from airflow_provider_mlfeat.operators.gate import GateModelOperator
from airflow_provider_mlfeat.operators.registry import (
    PromoteModelOperator,
    RegisterModelOperator,
    RollbackModelOperator,
)
from airflow_provider_mlfeat.registry.tracking import Tracking
from airflow_provider_mlfeat.sensors.models import ModelVersionSensor
from airflow_provider_mlfeat.triggers.models import ModelAliasTrigger, ModelVersionTrigger
from tests.registry.conftest import empty_database, no_proxy, tracking_at  # noqa: F401
from tests.registry.folders import make_dataset, make_evaluation, make_model

CONNECTION = "mlflow_here"


@pytest.fixture
def tracking(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:  # noqa: F811
    """An MLflow of this test alone, and the connection to it."""
    made = tracking_at(tmp_path / "mlflow", empty_database)
    extra = {"tracking_uri": made.address, "artifact_location": made.artifact_location, "pages": "https://mlflow.here/"}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_HERE", json.dumps({"conn_type": "mlfeat_mlflow", "extra": extra}))
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_dataset(folder / "dataset")
    for name, options in {"good": {}, "worse": {"noise": 1.2}}.items():
        make_model(folder / name, **options)
        make_evaluation(folder / f"{name}-evaluation", folder / name, folder / "dataset")
    return folder


@pytest.fixture
def gate(place: Path, tmp_path: Path, tracking: Tracking) -> Callable[..., GateModelOperator]:
    def make(name: str = "good", **options: Any) -> GateModelOperator:
        arguments: dict[str, Any] = {
            "task_id": "gate",
            "model": str(place / name),
            "evaluation": str(place / f"{name}-evaluation"),
            "dataset": str(place / "dataset"),
            "model_name": "shop",
            "output_folder": str(tmp_path / "decisions"),
            "mlflow_conn_id": CONNECTION,
            "runtime": "in_process",
        }
        return GateModelOperator(**{**arguments, **options})

    return make


REJECTING = [{"rule": "threshold", "metric": "auc", "minimum": 0.99}]


def test_from_the_gate_to_the_champion(
    gate: Callable[..., GateModelOperator], place: Path, tracking: Tracking, context: Any, tmp_path: Path
) -> None:
    file = tmp_path / "registered_model_version.json"
    file.write_text("{}")
    judged = gate(registration_file=str(file)).execute(context)
    assert not file.exists(), "nobody takes an earlier registration for this one"
    assert (judged["decision"], judged["accepted"], judged["champion_version"]) == ("accepted", True, "")
    assert judged["decision_table"].startswith("**accepted**")
    made = RegisterModelOperator(
        task_id="register", model=judged["model"], model_name="shop", decision=judged["decision_file"],
        registration_file=str(file), mlflow_conn_id=CONNECTION, runtime="in_process",
    ).execute(context)  # fmt: skip
    assert (made["model_version"], made["aliases"], made["plan_id"]) == (1, ["challenger"], "plan-1")
    assert made["model_fingerprint"] == judged["model_fingerprint"]
    assert json.loads(file.read_text())["_version"] == "1"
    moved = PromoteModelOperator(
        task_id="promote", model_name="shop", model_version=str(made["model_version"]), mlflow_conn_id=CONNECTION,
        runtime="in_process",
    ).execute(context)  # fmt: skip
    assert (moved["alias"], moved["model_version"], moved["previous_version"], moved["moved"]) == (
        "champion", 1, None, True,
    )  # fmt: skip
    worse = gate("worse", mode="skip")
    with pytest.raises(DownstreamTasksSkipped):
        run_in_dag(worse, context)
    assert context["ti"].pushed["return_value"]["champion_version"] == "1"
    with tracking.client() as client:
        version = client.get_model_version("shop", "1")
        tags = client.get_run(made["run_id"]).data.tags
        kept = [one.path for one in client.list_artifacts(made["run_id"], "gate")]
    assert version.tags["airflow.dag_id"] == "tests"
    assert version.tags["mlfeat.decision"] == tags["mlfeat.decision"] == "accepted"
    assert kept == ["gate/decision.json"]


def run_in_dag(operator: Any, context: Any, *downstream: str) -> Any:
    """Run in a DAG, as branching needs it."""
    with DAG("tests") as dag:
        dag.add_task(operator)
        for name in downstream or ("after",):
            operator >> EmptyOperator(task_id=name)
    context["ti"].task = operator
    return operator.execute(context)


def test_a_rejected_model_fails_the_task_and_its_decision_remains(
    gate: Callable[..., GateModelOperator], place: Path, context: Any
) -> None:
    with pytest.raises(AirflowFailException, match=r"the model is rejected: auc: 0\.\d+, expected 0.99 or more"):
        gate(rules=REJECTING).execute(context)
    result = context["ti"].pushed["return_value"]
    assert (result["accepted"], result["failed"]) == (False, 1)
    with pytest.raises(AirflowFailException, match="the gate has not accepted this model"):
        RegisterModelOperator(
            task_id="register", model=str(place / "good"), model_name="shop", decision=result["decision_file"],
            mlflow_conn_id=CONNECTION, runtime="in_process",
        ).execute(context)  # fmt: skip


def test_a_decision_of_another_try_is_gone_before_the_next(
    gate: Callable[..., GateModelOperator], context: Any, tmp_path: Path, place: Path
) -> None:
    judged = gate().execute(context)
    # The next try breaks in the middle: what it leaves behind is no decision.
    shutil.copytree(place / "good", tmp_path / "good")
    again = gate()
    again.evaluation = judged["model"]
    with pytest.raises(AirflowFailException, match="is no evaluation"):
        again.execute(context)
    same = gate(rules=[{"rule": "slices", "column": "town", "minimum": 0}])
    with pytest.raises(AirflowFailException, match="slice column 'town'"):
        same.execute(context)
    assert not Path(judged["decision_file"]).exists()


def test_a_decision_on_another_model_registers_nothing(
    gate: Callable[..., GateModelOperator], context: Any, place: Path
) -> None:
    judged = gate().execute(context)
    with pytest.raises(AirflowFailException, match="is about model .{12}, and the model is .{12}"):
        RegisterModelOperator(
            task_id="register", model=str(place / "worse"), model_name="shop", decision=judged["decision_file"],
            mlflow_conn_id=CONNECTION, runtime="in_process",
        ).execute(context)  # fmt: skip


@pytest.mark.parametrize(("rules", "skipped"), [(None, {"report"}), (REJECTING, {"register"})])
def test_branching(gate: Callable[..., GateModelOperator], context: Any, rules: Any, skipped: set[str]) -> None:
    operator = gate(rules=rules, mode="branch", on_accept="register", on_reject=["report"])
    with pytest.raises(DownstreamTasksSkipped) as raised:
        run_in_dag(operator, context, "register", "report")
    assert {name for name, _ in raised.value.tasks} == skipped
    assert context["ti"].pushed["return_value"]["decision_file"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "warn"}, "mode is one of fail, skip, branch, not 'warn'"),
        ({"mode": "branch"}, "mode 'branch', and no other, takes on_accept and on_reject"),
        ({"on_reject": "x"}, "mode 'branch', and no other, takes on_accept and on_reject"),
    ],
)
def test_modes_that_make_no_sense(
    gate: Callable[..., GateModelOperator], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        gate(**options)


def test_no_secret_reaches_a_spec(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "p4ssw0rd-of-ann"
    document = {"conn_type": "mlfeat_mlflow", "host": "mlflow", "login": "ann", "password": secret}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_HERE", json.dumps(document))
    operator = PromoteModelOperator(task_id="p", model_name="shop", mlflow_conn_id=CONNECTION)
    assert secret not in json.dumps(operator.build_spec(context))
    assert operator.secrets(context)["mlflow.MLFLOW_TRACKING_PASSWORD"] == secret


def test_links_are_live_before_the_job_ends(
    place: Path, tracking: Tracking, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = RegisterModelOperator(
        task_id="register", model=str(place / "good"), model_name="shop", mlflow_conn_id=CONNECTION,
        encoded_model=False, runtime="in_process",
    )  # fmt: skip
    operator.show_links(context)
    pushed = context["ti"].pushed
    assert pushed[ModelVersionLink().xcom_key] == "https://mlflow.here/#/models/shop"
    result = operator.execute(context)
    assert (
        pushed[ModelVersionLink().xcom_key] == result["version_url"] == "https://mlflow.here/#/models/shop/versions/1"
    )
    assert pushed[MLflowRunLink().xcom_key] == result["run_url"]
    assert f"/runs/{result['run_id']}" in result["run_url"]
    key = SimpleNamespace()
    assert MLflowRunLink().get_link(operator, ti_key=key) == result["run_url"]  # type: ignore[arg-type]
    assert ModelVersionLink().get_link(operator, ti_key=key) == result["version_url"]  # type: ignore[arg-type]


def test_rollback(place: Path, tracking: Tracking, context: Any) -> None:
    for name in ("good", "worse"):
        RegisterModelOperator(
            task_id="register", model=str(place / name), model_name="shop", mlflow_conn_id=CONNECTION,
            encoded_model=False, runtime="in_process",
        ).execute(context)  # fmt: skip
        PromoteModelOperator(
            task_id="promote", model_name="shop", require_decision=False, mlflow_conn_id=CONNECTION,
            runtime="in_process",
        ).execute(context)  # fmt: skip
    back = RollbackModelOperator(
        task_id="rollback", model_name="shop", to_version="None", mlflow_conn_id=CONNECTION, runtime="in_process"
    ).execute(context)
    assert (back["model_version"], back["previous_version"]) == (1, 2)


def test_the_form_shows_the_decision() -> None:
    operator = ApproveModelOperator(
        task_id="approve",
        model_name="shop",
        model_version="{{ ti.xcom_pull('register')['model_version'] }}",
        decision_table="| rule |",
    )
    assert operator.subject == "Promote shop version {{ ti.xcom_pull('register')['model_version'] }}?"
    assert operator.body == "| rule |"
    assert operator.options == ["Approve", "Reject"]


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_version(tracking: Tracking, tmp_path: Path, alias: str = "champion") -> int:
    """A version that somebody else registered: waiting does not ask what is in it."""
    (tmp_path / "model").mkdir(exist_ok=True)
    with tracking.client() as client:
        if not client.search_registered_models("name='shop'"):
            client.create_registered_model("shop")
        version = client.create_model_version("shop", (tmp_path / "model").as_uri())
        if alias:
            client.set_registered_model_alias("shop", alias, str(version.version))
    return int(version.version)


def test_the_sensor_waits_for_the_alias(tracking: Tracking, context: Any, tmp_path: Path) -> None:
    sensor = ModelVersionSensor(task_id="wait", model_name="shop", mlflow_conn_id=CONNECTION)
    assert not sensor.poke(context)
    add_version(tracking, tmp_path, alias="")
    assert not sensor.poke(context)
    add_version(tracking, tmp_path)
    found = sensor.poke(context)
    assert found
    assert (found.xcom_value["model_version"], found.xcom_value["model_uri"]) == (2, "models:/shop/2")
    assert found.xcom_value["version_url"] == "https://mlflow.here/#/models/shop/versions/2"
    assert not ModelVersionSensor(task_id="w", model_name="shop", after="2", mlflow_conn_id=CONNECTION).poke(context)
    newest = ModelVersionSensor(task_id="w", model_name="shop", alias=None, after=1, mlflow_conn_id=CONNECTION)
    assert newest.poke(context).xcom_value["model_version"] == 2
    assert not ModelVersionSensor(task_id="w", model_name="shop", alias=None, after=2, mlflow_conn_id=CONNECTION).poke(
        context
    )


def test_the_sensor_defers_and_looks_again_itself(tracking: Tracking, context: Any, tmp_path: Path) -> None:
    sensor = ModelVersionSensor(
        task_id="wait", model_name="shop", mlflow_conn_id=CONNECTION, deferrable=True, timeout=60, poke_interval=1
    )
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    path, arguments = deferred.value.trigger.serialize()
    assert path == "airflow_provider_mlfeat.triggers.models.ModelVersionTrigger"
    assert ModelVersionTrigger(**arguments).serialize()[1] == arguments
    with pytest.raises(TaskDeferred):
        sensor.execute_complete(context, {"state": "found"})
    with pytest.raises(AirflowSensorTimeout, match="model 'shop' has no alias 'champion' to wait for within 60 s"):
        sensor.execute_complete(context, {"state": "timeout"})
    sensor.soft_fail = True
    with pytest.raises(AirflowSkipException):
        sensor.execute_complete(context, {"state": "timeout"})
    with pytest.raises(AirflowFailException, match="what is wrong"):
        sensor.execute_complete(context, {"state": "failed", "message": "what is wrong"})
    with pytest.raises(RuntimeError, match="none of ours"):
        sensor.execute_complete(context, {"x": 1})
    add_version(tracking, tmp_path)
    assert sensor.execute_complete(context, {"state": "found"})["model_version"] == 1


def first_event(trigger: Any, seconds: float = 30) -> Any:
    async def wait() -> Any:
        return await asyncio.wait_for(anext(trigger.run()), seconds)

    return asyncio.run(wait()).payload


def test_the_trigger_fires_for_a_version_for_time_and_for_mistakes(tracking: Tracking, tmp_path: Path) -> None:
    options: dict[str, Any] = {"mlflow_conn_id": CONNECTION, "poll_interval": 0.05}
    assert first_event(ModelVersionTrigger("shop", alias="champion", deadline=1, **options)) == {"state": "timeout"}
    add_version(tracking, tmp_path)
    assert first_event(ModelVersionTrigger("shop", alias="champion", **options)) == {"state": "found"}
    failed = first_event(ModelVersionTrigger("sh/op", **options))
    assert failed["state"] == "failed"
    assert "is no name for a model" in failed["message"]


def test_each_move_of_the_alias_is_one_event(tracking: Tracking, tmp_path: Path) -> None:
    add_version(tracking, tmp_path)
    trigger = ModelAliasTrigger("shop", mlflow_conn_id=CONNECTION, poll_interval=0.05)
    assert ModelAliasTrigger(**trigger.serialize()[1]).serialize() == trigger.serialize()

    async def watch() -> list[Any]:
        stream = trigger.run()
        events = []
        for _ in range(2):
            following = asyncio.ensure_future(anext(stream))
            done, _ = await asyncio.wait([following], timeout=1.5)
            assert not done, "nothing has moved"
            await asyncio.to_thread(add_version, tracking, tmp_path)
            events.append((await asyncio.wait_for(following, 30)).payload)
        return events

    assert [one["model_version"] for one in asyncio.run(watch())] == [2, 3]


def test_the_present_version_is_an_event_when_asked_for(tracking: Tracking, tmp_path: Path) -> None:
    add_version(tracking, tmp_path)
    trigger = ModelAliasTrigger("shop", mlflow_conn_id=CONNECTION, poll_interval=0.05, emit_present=True)
    event = first_event(trigger)
    assert (event["model_name"], event["model_version"], event["alias"]) == ("shop", 1, "champion")
