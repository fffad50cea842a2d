"""The server: answers, refusals, and what changes under it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving import releases
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.online import shop
from tests.serving import shops
from tests.serving.conftest import Serve
from tests.serving.shops import REQUEST

DEPLOYMENT = "/dbs/default/deployments/sums"


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


# ── features ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_features_in_the_form_of_the_request(serve: Serve, plan_id: str) -> None:
    client = serve()
    answer = client.post(DEPLOYMENT, json={"input": [["ann", 10_000, 3], ["eve", 10_000, 3]], "need_schema": True})
    assert answer.status_code == 200
    assert answer.json() == {
        "code": 0,
        "msg": "ok",
        "data": {
            "schema": [
                {"name": "who", "type": "string"},
                {"name": "spent", "type": "double"},
                {"name": "bought", "type": "int64"},
                {"name": "kinds", "type": "string"},
                {"name": "level", "type": "int16"},
            ],
            "data": [["ann", 7.5, 2, "a,b", 2], ["eve", None, 0, "", None]],
        },
    }
    assert (answer.headers["x-deployment"], answer.headers["x-plan-id"]) == ("sums@1", plan_id)
    named = client.post(DEPLOYMENT, json={"input": [{**REQUEST, "more": 1}]}).json()["data"]
    assert named == {"data": [{"who": "ann", "spent": 7.5, "bought": 2, "kinds": "a,b", "level": 2}]}


def test_description_of_a_deployment(serve: Serve, plan_id: str) -> None:
    data = serve().get(DEPLOYMENT).json()["data"]
    assert (data["name"], data["version"], data["plan_id"]) == ("sums", 1, plan_id)
    assert data["input_schema"] == [
        {"name": "who", "type": "string"},
        {"name": "at", "type": "timestamp"},
        {"name": "shop", "type": "int32"},
    ]
    assert {"purchase", "person"} <= set(data["tables"])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "the body is no JSON"),
        (b"[]", 400, "the body is an object with a list of rows"),
        (b'{"input":3}', 400, "the body is an object with a list of rows"),
        (b'{"input":[["ann",1]]}', 400, "row 0 of a request to 'sums' has 2 values, not 3 (who, at, shop)"),
        (b'{"input":[["ann",1,3],["ann","x",3]]}', 400, "row 1 of a request to 'sums': column 'at' takes a timestamp"),
        (b'{"input":[["ann",1.5,3]]}', 400, "column 'at' takes a timestamp in whole milliseconds"),
        (b'{"input":[["ann",1,99999999999]]}', 400, "column 'shop' takes int from"),
        (b'{"input":[{"who":"ann"}]}', 400, "lacks 'at', 'shop'"),
        (b'{"input":["ann"]}', 400, "neither a list of values nor an object"),
        (b'{"input":[["ann",253402300800000,3]]}', 400, "the year 9999"),
        (b'{"input":[["ann",NaN,3]]}', 400, "column 'at' takes a timestamp"),
        (b'{"input":[],"need_schema":"yes"}', 400, "true or false"),
        (b"x" * 2000, 413, "must not be larger than 1000 bytes"),
        (b"[" * 900, 400, "the body is no JSON"),
    ],
)
def test_wrong_requests(serve: Serve, plan_id: str, body: bytes, status: int, message: str) -> None:
    answer = serve(largest_body=1000).post(DEPLOYMENT, content=body)
    assert answer.status_code == status
    assert answer.json()["code"] == status
    assert message in answer.json()["msg"]


def test_body_without_a_length_is_bounded_too(serve: Serve, plan_id: str) -> None:
    answer = serve(largest_body=1000).post(DEPLOYMENT, content=(b"x" * 100 for _ in range(50)))
    assert answer.status_code == 413


def test_unknown_things(serve: Serve, plan_id: str) -> None:
    client = serve()
    assert (
        client.post("/dbs/default/deployments/sum", json={"input": []})
        .json()["msg"]
        .startswith("there is no deployment 'sum'")
    )
    for path in ("/dbs/default/deployments/other", "/dbs/nowhere/tables", "/dbs/default/tables/other", "/other"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, 404), path
    assert client.delete(DEPLOYMENT).status_code == 405
    assert client.post("/predict", json=REQUEST).status_code == 404


# ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_put_are_seen_by_the_next_request(serve: Serve, plan_id: str) -> None:
    client = serve()
    put = client.put("/dbs/default/tables/purchase", json={"value": [["ann", 9_900, 100.0, "c"]]})
    assert put.json() == {"code": 0, "msg": "ok"}
    found = client.post(DEPLOYMENT, json={"input": [REQUEST]}).json()["data"]["data"][0]
    assert (found["spent"], found["bought"]) == (107.5, 3)


def test_rows_are_put_all_or_none(serve: Serve, plan_id: str) -> None:
    client = serve()
    rows = [["ann", 9_900, 100.0, "c"], ["ann", None, 1.0, "c"]]
    answer = client.put("/dbs/default/tables/purchase", json={"value": rows})
    assert (answer.status_code, "row 1" in answer.json()["msg"]) == (400, True)
    assert client.post(DEPLOYMENT, json={"input": [REQUEST]}).json()["data"]["data"][0]["bought"] == 2
    assert client.put("/dbs/default/tables/purchase", json={"value": []}).status_code == 400


def test_databases_and_tables(serve: Serve, plan_id: str) -> None:
    client = serve()
    assert client.get("/dbs").json()["dbs"] == ["default"]
    assert {one["name"] for one in client.get("/dbs/default/tables").json()["tables"]} == set(shop.COLUMNS)
    table = client.get("/dbs/default/tables/purchase").json()["table"]
    assert table["column_desc"][1] == {"name": "at", "data_type": "timestamp", "not_null": False}


# ── predictions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prediction(serve: Serve, store: EmbeddedStore, model: Path, plan_id: str) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client = serve()
    answer = client.post("/predict", json=REQUEST).json()
    trained = TrainedModel.open(model)
    row = trained.encoder.encode_row({"who": "ann", "spent": 7.5, "bought": 2, "kinds": "a,b", "level": 2})
    assert answer["probability"] == pytest.approx(float(trained.predict(row.ids[None], row.values[None])[0]), abs=1e-7)
    assert answer["class"] == int(answer["probability"] >= 0.5)
    assert (answer["release"], answer["deployment"], answer["plan_id"]) == (1, "sums@1", plan_id)
    assert answer["model"] == {"name": "shoppers", "version": "1"}
    many = client.post("/services/default/predict", json=[REQUEST, {**REQUEST, "who": "eve"}]).json()
    assert many[0]["probability"] == answer["probability"] != many[1]["probability"]
    assert client.get("/schema").json()[1] == {"name": "at", "type": "timestamp"}


def test_wrong_predictions(serve: Serve, store: EmbeddedStore, model: Path, plan_id: str) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client = serve()
    answer = client.post("/predict", json={"who": "ann", "at": 1})
    assert (answer.status_code, answer.json()["msg"]) == (400, "row 0 of a request to 'sums' lacks 'shop'")
    assert client.post("/predict", json=[REQUEST, {}]).json()["msg"].startswith("row 1 of a request")
    assert client.post("/predict", json=[REQUEST] * 1001).json()["msg"] == "a request has at most 1000 rows, not 1001"
    assert client.post("/predict", json={**REQUEST, "who": "a\x00"}).status_code == 400
    assert client.post("/services/other/predict", json=REQUEST).status_code == 404


def test_a_release_is_exchanged_while_requests_come(
    serve: Serve, store: EmbeddedStore, model: Path, plan_id: str, tmp_path: Path
) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client = serve()
    first = client.post("/predict", json=REQUEST).json()
    other = shops.make_model(tmp_path / "other", plan_id, seed=1)
    shops.release(store, plan_id, shops.reference(other, version="2"))
    second = until(lambda: (found := client.post("/predict", json=REQUEST).json())["release"] == 2 and found)
    assert second["probability"] != first["probability"]
    releases.roll_back(store.documents, "default")
    third = until(lambda: (found := client.post("/predict", json=REQUEST).json())["release"] == 1 and found)
    assert third["probability"] == first["probability"]


def test_a_release_that_cannot_answer_leaves_the_old_one(
    serve: Serve, store: EmbeddedStore, model: Path, plan_id: str, tmp_path: Path
) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client = serve()
    broken = shops.make_model(tmp_path / "broken", plan_id, seed=1)
    reference = shops.reference(broken, version="2")
    (broken / "model.onnx").write_bytes(b"")
    shops.release(store, plan_id, reference)
    failures = until(lambda: client.get("/services").json()["failures"])
    assert "model.onnx is not what was written" in failures["default"]
    assert client.post("/predict", json=REQUEST).json()["release"] == 1
    assert client.get("/ready").status_code == 200


def test_features_without_a_model(serve: Serve, store: EmbeddedStore, plan_id: str) -> None:
    shops.release(store, plan_id, None)
    answer = serve().post("/predict", json=REQUEST).json()
    assert answer["features"] == {"who": "ann", "spent": 7.5, "bought": 2, "kinds": "a,b", "level": 2}
    assert "probability" not in answer


# ── limits, tokens, state ───────────────────────────────────────────────────────────────────────────────────────────


def test_token(serve: Serve, store: EmbeddedStore, plan_id: str) -> None:
    shops.release(store, plan_id, None)
    client = serve(token="s3cret")
    assert client.post("/predict", json=REQUEST).status_code == 401
    wrong = client.post("/predict", json=REQUEST, headers={"Authorization": "Bearer s3cre"})
    assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
    assert client.post("/predict", json=REQUEST, headers={"Authorization": "Bearer s3cret"}).status_code == 200
    for path in ("/dbs", "/services", "/metrics", "/schema", DEPLOYMENT, "/dbs/default/tables"):
        assert client.get(path).status_code == 401, path
    assert client.put("/dbs/default/tables/purchase", json={"value": [[1]]}).status_code == 401
    assert client.get("/health").status_code == client.get("/ready").status_code == 200


def test_too_many_at_once(serve: Serve, plan_id: str) -> None:
    client = serve(in_flight=1)
    app: Any = client.app
    app.state.gate.inside = 1
    answer = client.post(DEPLOYMENT, json={"input": [REQUEST]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    app.state.gate.inside = 0
    assert client.post(DEPLOYMENT, json={"input": [REQUEST]}).status_code == 200


def test_too_slow(
    serve: Serve, store: EmbeddedStore, plan_id: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from airflow_provider_mlfeat.serving.scoring import OnnxScorer

    async def slow(*given: Any) -> Any:
        await asyncio.sleep(5)

    monkeypatch.setattr(OnnxScorer, "score_later", slow)
    shops.release(store, plan_id, shops.reference(model))
    answer = serve(deadline=0.1).post("/predict", json=REQUEST)
    assert (answer.status_code, answer.json()["msg"]) == (504, "no answer within 0.1 s")


def test_readiness(serve: Serve, store: EmbeddedStore, plan_id: str) -> None:
    client = serve(service="visits")
    assert client.get("/ready").status_code == 404
    shops.release(store, plan_id, None, service="visits")
    until(lambda: client.get("/ready").json() == {"status": "ready", "release": "visits@1"})


def test_metrics(serve: Serve, store: EmbeddedStore, plan_id: str, model: Path) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client = serve()
    client.post("/predict", json=REQUEST)
    client.post("/predict", json={})
    text = client.get("/metrics").text
    assert 'mlfeat_requests_total{path="/predict",status="200"} 1.0' in text
    assert 'mlfeat_requests_total{path="/predict",status="400"} 1.0' in text
    assert 'mlfeat_live_release{service="default"} 1.0' in text
    assert "mlfeat_features_seconds_count 1.0" in text


def test_request_log(serve: Serve, store: EmbeddedStore, plan_id: str, model: Path, tmp_path: Path) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client: TestClient = serve(log_folder=str(tmp_path / "log"))
    answer = client.post("/predict", json=REQUEST).json()
    app: Any = client.app
    app.state.live.get("default").log.close()
    (row,) = pq.read_table(tmp_path / "log").to_pylist()
    assert (row["_request_id"], row["_release"]) == (answer["request_id"], "default@1")
    assert (row["_probability"], row["_request"]) == (answer["probability"], '["ann",10000,3]')
    assert (row["who"], row["spent"], row["bought"], row["kinds"], row["level"]) == ("ann", 7.5, 2, "a,b", 2)


# ── updates ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_update_needs_a_token(serve: Serve, plan_id: str) -> None:
    assert serve().post("/update", json={"deployment": "sums@1"}).status_code == 403


def test_update(serve: Serve, store: EmbeddedStore, plan_id: str) -> None:
    client = serve(token="t")
    client.headers["Authorization"] = "Bearer t"
    answer = client.post("/update", json={"deployment": "sums@1"})
    assert answer.json() == {"code": 0, "msg": "ok", "service": "default", "release": 1}
    assert client.post("/predict", json=REQUEST).json()["release"] == 1


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ([], 400, "the body is an object"),
        ({}, 400, "an update names a deployment, a model, or both"),
        ({"model_path": "x"}, 400, "'model_path' is no field of an update"),
        ({"deployment": ""}, 400, "'deployment' must be a string that is not empty"),
        ({"model_name": "m"}, 400, "model_name and model_version together"),
        ({"deployment": "other@1"}, 409, "nothing was changed: there is no deployment 'other'"),
        ({"deployment": "sums@9"}, 409, "nothing was changed: deployment 'sums' has no version 9"),
        ({"deployment": "sums@1", "model_name": "m", "model_version": "1"}, 409, "without a model registry"),
    ],
)
def test_wrong_updates_change_nothing(
    serve: Serve, store: EmbeddedStore, plan_id: str, body: Any, status: int, message: str
) -> None:
    shops.release(store, plan_id, None)
    client = serve(token="t")
    answer = client.post("/update", json=body, headers={"Authorization": "Bearer t"})
    assert answer.status_code == status
    assert message in answer.json()["msg"]
    assert releases.service(store.documents, "default").live == 1
