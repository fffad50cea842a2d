"""Triton in Airflow: operators run their jobs in the task's process, against the real server."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.hooks.triton import TritonHook
from airflow_provider_mlfeat.operators.triton import (
    DeployTritonModelOperator,
    RollbackTritonModelOperator,
    TritonInferOperator,
    UnloadTritonModelOperator,
)
from airflow_provider_mlfeat.sensors.triton import TritonModelReadySensor
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel
from airflow_provider_mlfeat.tables.feature_sets import FeatureSetMetadata, write_feature_set
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.triggers.triton import TritonModelReadyTrigger
from tests.registry.folders import make_model
from tests.triton.conftest import Models

HERE = {"task_id": "t", "triton_model": "in_airflow", "triton_conn_id": "triton", "runtime": "in_process"}


class Store(dict[str, Any]):
    def set(self, key: str, value: Any, **_: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@pytest.fixture
def context() -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, pushed=pushed)
    instance.xcom_push = lambda key, value: pushed.update({key: value})
    return {"ti": instance, "task_state_store": Store(), "outlet_events": {}}


@pytest.fixture(autouse=True)
def connection(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(host: str, port: int, **extra: Any) -> Connection:
        extra = {"model_repository": str(server.repository), **extra}
        return Connection(
            conn_id="triton",
            conn_type="mlfeat_triton",
            host=host,
            port=port,
            password="hidden",
            extra=json.dumps(extra),
        )

    known = {
        "triton": made("127.0.0.1", server.http_port),
        "grpc": made("127.0.0.1", server.grpc_port, protocol="grpc"),
        "away": made("127.0.0.1", 9, timeout=1),
    }
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod(known.__getitem__))


def test_deploy_roll_back_and_unload(models: Models, context: Any) -> None:
    one, two = (DeployTritonModelOperator(model=str(models(seed).folder), **HERE) for seed in (1, 2))
    first = one.execute(context)
    assert (first["triton_version"], first["changed"], first["loaded"]) == (1, True, [1])
    assert first["model_fingerprint"] == models(1).fingerprint
    assert first["endpoint"]["version"] == 1
    assert context["ti"].pushed["_link_TritonModelLink"].endswith("/v2/models/in_airflow/stats")
    second = two.execute(context)
    assert (second["triton_version"], second["previous_version"], second["golden_difference"] < 1e-5) == (2, 1, True)
    assert not two.execute(context)["changed"]
    back = RollbackTritonModelOperator(reason="test", **HERE).execute(context)
    assert (back["triton_version"], back["rolled_back_from"], back["loaded"]) == (1, 2, [1])
    sensor = TritonModelReadySensor(task_id="s", triton_model="in_airflow", version="1", triton_conn_id="triton")
    assert list(sensor.poke({}).xcom_value["servers"].values()) == [[1]]
    gone = UnloadTritonModelOperator(**HERE).execute(context)
    assert (gone["triton_version"], gone["loaded"], gone["endpoint"]) == (0, [], {})
    assert "hidden" not in json.dumps([first, second, back, gone])


def test_the_spec_holds_no_secret(models: Models, context: Any) -> None:
    operator = DeployTritonModelOperator(
        model=str(models(1).folder), canary={"share": 0.1}, tuning={"instances": 2}, keep="2", **HERE
    )
    spec = operator.build_spec(context)
    assert "hidden" not in json.dumps(spec)
    assert "hidden" in json.dumps(operator.secrets(context))
    assert (spec["keep"], spec["canary"], spec["tuning"]) == (2, {"share": 0.1}, {"instances": 2})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no model: name a model folder, or a registered model and its version"),
        ({"model": "/no/model"}, "'/no/model' holds no model"),
        ({"model": "/no/model", "tuning": {"instance": 2}}, "unknown field 'tuning.instance'"),
        ({"model": "/no/model", "canary": {"share": 2}}, "field 'canary.share'"),
        ({"model": "/no/model", "keep": "many"}, "keep takes a number, not 'many'"),
    ],
)
def test_a_mistake_is_red_at_once(context: Any, arguments: dict[str, Any], message: str) -> None:
    connection = {"mlflow_conn_id": "triton"} if "model" not in arguments else {}
    operator = DeployTritonModelOperator(**arguments, **connection, **HERE)
    operator._tracking_document = dict  # type: ignore[method-assign]
    if connection:
        operator.secrets = lambda _: {}  # type: ignore[method-assign]
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context)


def test_a_server_that_is_away_is_worth_a_retry(models: Models, context: Any) -> None:
    operator = DeployTritonModelOperator(model=str(models(1).folder), **{**HERE, "triton_conn_id": "away"})
    with pytest.raises(TransientError, match="Triton at 127.0.0.1:9 cannot be reached"):
        operator.execute(context)


def test_waiting_for_a_model() -> None:
    def sensor(conn: str = "triton", **arguments: Any) -> TritonModelReadySensor:
        return TritonModelReadySensor(task_id="s", triton_model="absent", triton_conn_id=conn, **arguments)

    assert not sensor().poke({}).is_done
    assert not sensor("away").poke({}).is_done
    with pytest.raises(TaskDeferred) as caught:
        sensor(version="3", deferrable=True, timeout=60).execute({})
    path, arguments = caught.value.trigger.serialize()
    assert TritonModelReadyTrigger(**arguments).serialize() == (path, arguments)
    assert (arguments["version"], "hidden" in json.dumps(arguments)) == (3, False)
    with pytest.raises(AirflowSensorTimeout, match="hold not version 3 of 'absent' ready"):
        sensor(version=3).execute_complete({}, {"state": "timeout"})
    with pytest.raises(AirflowSkipException):
        sensor(soft_fail=True).execute_complete({}, {"state": "timeout"})
    with pytest.raises(TaskDeferred):
        sensor(deferrable=True).execute_complete({}, {"state": "found"})
    with pytest.raises(RuntimeError, match="none of ours"):
        sensor().execute_complete({}, {})


@pytest.mark.parametrize("conn", ["triton", "grpc"])
def test_the_trigger_fires_when_the_model_comes(models: Models, context: Any, conn: str) -> None:
    name = f"awaited_{conn}"
    operator = DeployTritonModelOperator(model=str(models(1).folder), **{**HERE, "triton_model": name})

    async def wait() -> Any:
        events = TritonModelReadyTrigger(name, conn, version=1, poll_interval=0.05).run()
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.3)
        assert not first.done()
        await asyncio.to_thread(operator.execute, context)
        return (await asyncio.wait_for(first, 30)).payload

    assert asyncio.run(wait()) == {"state": "found"}
    assert TritonHook(conn).ready_versions(name) == {str(TritonHook(conn).settings.endpoints[0]): [1]}
    UnloadTritonModelOperator(**{**HERE, "triton_model": name}).execute(context)


def test_the_trigger_ends_when_the_time_is_up() -> None:
    async def first(conn: str) -> Any:
        trigger = TritonModelReadyTrigger("absent", conn, poll_interval=0.01, deadline=time.time() + 0.2)
        return (await asyncio.wait_for(anext(trigger.run()), 30)).payload

    assert asyncio.run(first("triton")) == {"state": "timeout"}
    assert asyncio.run(first("away")) == {"state": "timeout"}


def test_the_hook_tests_its_connection(server: LocalServer) -> None:
    for conn in ("triton", "grpc"):
        works, message = TritonHook(conn).test_connection()
        assert works, message
        assert message.startswith("triton 2.51.0 at 127.0.0.1:")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("trained") / "model")


def test_rows_are_scored_in_their_order(trained: Path, context: Any, tmp_path: Path) -> None:
    golden = ServedModel.open(str(trained)).golden_rows()
    version = DeployTritonModelOperator(model=str(trained), **HERE).execute(context)["triton_version"]
    features = pq.read_table(trained / "golden_features.parquet")
    rows = features.num_rows
    table = features.append_column("id", pa.array(range(rows))).append_column("unused", pa.array(["x"] * rows))
    pq.write_table(table, tmp_path / "rows.parquet")
    store = TableStore(str(tmp_path / "tables"))
    made = write_feature_set(
        store,
        "day.shopping",
        table.to_batches(max_chunksize=20),
        table.schema,
        FeatureSetMetadata("q", "plan", {"t": "1"}),
    )
    given: dict[str, dict[str, Any]] = {
        str(tmp_path / "rows.parquet"): {"rows": str(tmp_path / "rows.parquet")},
        made.reference: {"feature_set": made.reference},
        f"table:{made.reference}": {"rows": f"table:{made.name}"},
        f"delta:{made.uri}@{made.version}": {"rows": f"delta:{made.uri}"},
    }
    for rows_from, source in given.items():
        output = tmp_path / "scores.parquet"
        done = TritonInferOperator(
            model=str(trained), **source, root=str(tmp_path / "tables"), keys=["id"], scores=str(output), batch_rows=7,
            concurrency=3, **HERE,
        ).execute(context)  # fmt: skip
        assert (done["rows"], done["triton_version"], done["rows_from"]) == (rows, version, rows_from)
        scores = pq.read_table(output)
        assert scores.column("id").to_pylist() == list(range(rows))
        assert scores.column("score").to_pylist() == pytest.approx(golden.outputs.tolist(), abs=1e-5)
        assert set(scores.column("model_version").to_pylist()) == {version}
        output.unlink()
    UnloadTritonModelOperator(**HERE).execute(context)


def test_a_canary_on_rows_of_a_feature_set(trained: Path, context: Any, tmp_path: Path) -> None:
    features = pq.read_table(trained / "golden_features.parquet")
    store = TableStore(str(tmp_path / "tables"))
    made = write_feature_set(
        store, "shopping", features.to_batches(), features.schema, FeatureSetMetadata("q", "p", {})
    )
    better = make_model(tmp_path / "better", seed=1, noise=0.2)
    here = {**HERE, "triton_model": "tried"}
    canary = {"share": 0.5, "seconds": 1, "rate": 50, "feature_set": made.name}
    place = {"canary": canary, "root": str(tmp_path / "tables")}
    DeployTritonModelOperator(model=str(trained), **here).execute(context)
    done = DeployTritonModelOperator(model=str(better), **place, **here).execute(context)
    assert (done["triton_version"], done["canary_errors"], done["canary_requests"] > 5) == (2, 0, True)
    canary["feature_set"] = "nobody"
    with pytest.raises(AirflowFailException, match="nobody"):
        DeployTritonModelOperator(model=str(better), **place, **here).execute(context)
    UnloadTritonModelOperator(**here).execute(context)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "which rows: give Parquet files or a table, or else a feature set"),
        ({"rows": "a.parquet", "feature_set": "b"}, "which rows: give Parquet files or a table, or else a feature set"),
        ({"rows": ["table:a", "b.parquet"]}, "the rows are those of one table: 'table:a' cannot stand beside others"),
        ({"feature_set": "nobody"}, "nobody"),
        ({"rows": "table:nobody"}, "nobody"),
        ({"rows": "{features}", "keys": ["who"]}, "has no column who"),
        ({"rows": "{features}", "keys": ["city"]}, "no version of 'in_air' is ready"),
    ],
)
def test_rows_that_cannot_be_scored(
    trained: Path, context: Any, tmp_path: Path, source: dict[str, Any], message: str
) -> None:
    if source.get("rows") == "{features}":
        source = {**source, "rows": str(trained / "golden_features.parquet")}
    operator = TritonInferOperator(
        model=str(trained), scores=str(tmp_path / "no"), root=str(tmp_path), **source,
        **{**HERE, "triton_model": "in_air"},
    )  # fmt: skip
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context)
    assert not (tmp_path / "no").exists()
