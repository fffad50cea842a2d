"""The operators of serving hand over what their arguments say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias, BaseHook
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.jobs.run import parse_spec
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.operators.serving import (
    CheckDriftOperator,
    CheckParityOperator,
    PredictOperator,
    RollbackServingOperator,
    SwitchServingOperator,
)
from airflow_provider_mlfeat.sensors.serving import ServingReadySensor
from airflow_provider_mlfeat.serving import releases
from tests.serving import shops


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(host="serving", port=8000, schema="", password="s3cret", login=None)
    monkeypatch.setattr(BaseHook, "get_connection", lambda name: found)


def test_parity(context: Any) -> None:
    operator = CheckParityOperator(
        task_id="p", feature_set="f@1", deployment="d@2", report="/r", requests="100", label_column="y", root="/t"
    )
    spec: Any = parse_spec(operator.build_spec(context))
    assert (spec.feature_set, spec.deployment, spec.requests, spec.label, spec.blocking) == (
        "f@1",
        "d@2",
        100,
        "y",
        True,
    )


def test_servers_and_token(context: Any, connection: None) -> None:
    operator = PredictOperator(task_id="p", rows={"a": 1}, server_conn_id="server")
    spec: Any = parse_spec(operator.build_spec(context))
    assert (spec.server.urls, spec.rows) == (("http://serving:8000",), ({"a": 1},))
    assert operator.secrets(context) == {"server.token": "s3cret"}
    assert "s3cret" not in str(spec)
    named = PredictOperator(task_id="p", rows=[{"a": 1}], servers="http://one:1", server_conn_id="server")
    assert named.build_spec(context)["server"] == {"urls": ["http://one:1"]}


def test_switch_and_back(context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFEAT_ONLINE", str(tmp_path / "online"))
    monkeypatch.setenv("MLFEAT_STATE", str(tmp_path / "state"))
    with EmbeddedStore(tmp_path / "online") as store:
        plan_id = shops.open_shop(store)
    folders = [shops.make_model(tmp_path / f"model{seed}", plan_id, seed) for seed in range(2)]
    for number, folder in enumerate(folders, 1):
        operator = SwitchServingOperator(
            task_id="s",
            deployment="sums@1",
            model=str(folder),
            model_name="m",
            model_version=number,
            runtime="in_process",
        )
        result = operator.execute(context)
        assert (result["release"], result["switched"], result["model_version"]) == (number, True, str(number))
    assert operator.execute(context)["switched"] is False
    stays = RollbackServingOperator(task_id="r", only_from="1", runtime="in_process").execute(context)
    assert (stays["release"], stays["rolled_back"]) == (2, False)
    back = RollbackServingOperator(task_id="r", only_from="2", runtime="in_process").execute(context)
    assert (back["release"], back["model_version"], back["rolled_back"]) == (1, "1", True)
    with EmbeddedStore(tmp_path / "online") as store:
        assert releases.service(store.documents, "default").live == 1
        kept = releases.get_release(store.documents, "default", 2).model
        assert kept is not None
        assert Path(kept.folder).is_relative_to(tmp_path / "state")
    with pytest.raises(AirflowFailException, match="no release to go back to"):
        RollbackServingOperator(task_id="r", runtime="in_process").execute(context)


def test_features_and_model_must_mean_the_same(context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFEAT_ONLINE", str(tmp_path / "online"))
    monkeypatch.setenv("MLFEAT_STATE", str(tmp_path / "state"))
    with EmbeddedStore(tmp_path / "online") as store:
        shops.open_shop(store)
    folder = shops.make_model(tmp_path / "model", "another plan")
    with pytest.raises(AirflowFailException, match="was trained on plan another plan"):
        SwitchServingOperator(task_id="s", deployment="sums@1", model=str(folder), runtime="in_process").execute(
            context
        )
    with EmbeddedStore(tmp_path / "online") as store:
        assert releases.services(store.documents) == {}


def test_a_server_that_does_not_come_up_leaves_the_old_release(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mlfeat.errors import TransientError

    monkeypatch.setenv("MLFEAT_ONLINE", str(tmp_path / "online"))
    monkeypatch.setenv("MLFEAT_STATE", str(tmp_path / "state"))
    with EmbeddedStore(tmp_path / "online") as store:
        plan_id = shops.open_shop(store)
        shops.release(store, plan_id, None)
    folder = shops.make_model(tmp_path / "model", plan_id)
    operator = SwitchServingOperator(
        task_id="s", deployment="sums@1", model=str(folder), servers=["http://127.0.0.1:9"], runtime="in_process"
    )
    spec = parse_spec({**operator.build_spec(context), "server": {"urls": ["http://127.0.0.1:9"], "wait": 0.3}})
    from airflow_provider_mlfeat.jobs.progress import Progress
    from airflow_provider_mlfeat.jobs.run import run

    with pytest.raises(TransientError, match="does not answer with default@2 after 0.3 s"):
        run(spec, Progress([]))
    with EmbeddedStore(tmp_path / "online") as store:
        assert releases.service(store.documents, "default").live == 1


def test_drift_emits_an_event_only_on_a_breach(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = Asset("model_drift")
    operator = CheckDriftOperator(
        task_id="d", feature_set="f@1", log_folder="/l", report="/r", breach_asset=asset, ignore=["id"], hours="24"
    )
    spec: Any = parse_spec(operator.build_spec(context))
    assert (spec.ignore, spec.hours, spec.rows) == (("id",), 24.0, 200)
    assert [type(one) for one in operator.outlets] == [AssetAlias]
    added: list[Any] = []
    alias = AssetAlias("model_drift:breach")
    context["outlet_events"][alias] = SimpleNamespace(add=lambda asset, extra: added.append((asset, extra)), extra={})
    monkeypatch.setattr(
        "airflow_provider_mlfeat.operators.job.JobOperator._finish", lambda self, result, context: result
    )
    quiet = {"drifted": False, "breaches": [], "requests": 9, "worst_column": "a", "worst_index": 0.1}
    operator._finish(quiet, context)
    assert added == []
    operator._finish({**quiet, "drifted": True, "breaches": ["a"]}, context)
    assert added == [(asset, {"breaches": ["a"], "requests": 9, "worst_column": "a", "worst_index": 0.1})]


def test_sensor(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_mlfeat.errors import TransientError, UserError
    from airflow_provider_mlfeat.jobs.serving.server import ServerPlace

    said: Any = {"services": [{"service": "default", "release": 2}], "failures": {}, "workers": []}
    monkeypatch.setattr(ServerPlace, "ask", lambda *given, **more: said)
    sensor = ServingReadySensor(task_id="s", server="http://127.0.0.1:1", release="2")
    assert sensor.poke(context).xcom_value == said["services"][0]
    assert not ServingReadySensor(task_id="s", server="http://127.0.0.1:1", release=3).poke(context).is_done

    def fails(error: Exception) -> Any:
        def ask(*given: Any, **more: Any) -> Any:
            raise error

        return ask

    monkeypatch.setattr(ServerPlace, "ask", fails(TransientError("away")))
    assert not sensor.poke(context).is_done
    monkeypatch.setattr(ServerPlace, "ask", fails(UserError("a bearer token is needed")))
    with pytest.raises(AirflowFailException, match="bearer token"):
        sensor.poke(context)


@pytest.mark.parametrize("kind", [CheckParityOperator, SwitchServingOperator])
def test_headers_for_triton_are_secrets(context: Any, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    extra = {"protocol": "grpc", "tls": True, "headers": {"x-key": "k3y"}}
    document = {"conn_type": "mlfeat_triton", "host": "triton", "port": 8001, "password": "s3cret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_TRITON", json.dumps(document))
    more = {"feature_set": "f@1", "report": "/r"} if kind is CheckParityOperator else {}
    operator = kind(
        task_id="t",
        deployment="d@1",
        model="/m",
        backend="triton",
        endpoint={"model": "jd", "version": 3},
        triton_conn_id="triton",
        **more,
    )
    spec: Any = parse_spec(operator.build_spec(context))
    assert spec.endpoint == {
        "protocol": "grpc",
        "tls": True,
        "ca_certificate": None,
        "address": "triton:8001",
        "model": "jd",
        "version": 3,
    }
    secrets = operator.secrets(context)
    assert "s3cret" in secrets["triton.headers"]
    assert "k3y" in secrets["triton.headers"]
    assert "s3cret" not in str(spec)
    assert "k3y" not in str(spec)


def test_an_endpoint_may_be_json_text(context: Any) -> None:
    from airflow_provider_mlfeat.errors import UserError

    arguments: Any = {"task_id": "p", "feature_set": "f@1", "deployment": "d@2", "report": "/r"}
    operator = CheckParityOperator(**arguments, endpoint='{"address": "t:8001", "version": 3}')
    assert operator.build_spec(context)["endpoint"] == {"address": "t:8001", "version": 3}
    for wrong in ("t:8001", "[1]"):
        with pytest.raises(UserError, match="endpoint takes a document"):
            CheckParityOperator(**arguments, endpoint=wrong).build_spec(context)
