"""Rows that are wrong, odd or huge, and files that a crash cut off: a clear answer, and the server goes on."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from tests.serving import shops
from tests.serving.conftest import Serve
from tests.serving.shops import REQUEST

DEPLOYMENT = "/dbs/default/deployments/sums"
ROWS = "/dbs/default/tables/purchase"
DAY = 86_400_000


def features(client: Any, **changes: Any) -> dict[str, Any]:
    answer = client.post(DEPLOYMENT, json={"input": [{**REQUEST, **changes}]})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]["data"][0]
    return found


# ── missing, extra, wrongly typed ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('[["ann",9000,1.0]]', "row 0 of table 'purchase' has 3 values, not 4 (who, at, price, kind)"),
        ('[["ann",9000,1.0,"a",5]]', "row 0 of table 'purchase' has 5 values, not 4 (who, at, price, kind)"),
        ('[{"who":"ann","at":9000}]', "row 0 of table 'purchase' lacks 'price', 'kind'"),
        ('[["ann",9000,"1.0","a"]]', "column 'price' takes"),
        ('[["ann",9000,true,"a"]]', "column 'price' takes"),
        ('[[7,9000,1.0,"a"]]', "column 'who' takes"),
        ('[["ann","2016-03-15",1.0,"a"]]', "column 'at' takes a timestamp"),
        ('[["ann",NaN,1.0,"a"]]', "column 'at' takes a timestamp"),
        ('[["ann",Infinity,1.0,"a"]]', "column 'at' takes a timestamp"),
        ('[["ann",-1,1.0,"a"]]', "column 'at' takes a timestamp from 1970 to the year 9999, not -1"),
        ('[["ann",253402300800000,1.0,"a"]]', "to the year 9999, not 253402300800000"),
        ('[["ann",9000,1e400,"a"]]', "number is infinity"),
        ('[["ann",9000,1.0,"\\ud800"]]', "the body is no JSON"),
        ('["ann"]', "row 0 of table 'purchase' is neither a list of values nor an object"),
        ('{"who":"ann"}', "the body is an object with a list of rows"),
    ],
)
def test_rows_that_no_table_takes(serve: Serve, plan_id: str, rows: str, message: str) -> None:
    client = serve()
    answer = client.put(ROWS, content=f'{{"value":{rows}}}'.encode())
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["msg"]
    assert features(client)["bought"] == 2, "nothing was kept"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1.5", "true", '"3"', "[3]", "{}", "2147483648"])
def test_values_that_are_no_whole_number(serve: Serve, plan_id: str, value: str) -> None:
    answer = serve().post(DEPLOYMENT, content=f'{{"input":[["ann",10000,{value}]]}}'.encode())
    assert (answer.status_code, "column 'shop' takes int" in answer.json()["msg"]) == (400, True), answer.text


def test_fields_that_nobody_asked_for_are_left_aside(
    serve: Serve, store: EmbeddedStore, model: Path, plan_id: str
) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client = serve()
    row = {"who": "ann", "at": 9_500, "price": 1.0, "kind": "a", "colour": "red"}
    assert client.put(ROWS, json={"value": [row]}).status_code == 200
    plain = client.post("/predict", json=REQUEST).json()
    assert client.post("/predict", json={**REQUEST, "colour": "red"}).json()["probability"] == plain["probability"]


# ── huge, infinite, far ahead ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("length", [5_000, 900_000])
def test_oversized_fields_are_kept_whole_or_refused(serve: Serve, plan_id: str, length: int) -> None:
    client = serve()
    who, kind = "w" * length, "k" * length
    assert client.put(ROWS, json={"value": [["eve", 9_000, 1.0, kind], ["bob", 9_000, 1.0, "b"]]}).status_code == 200
    assert features(client, who="eve")["kinds"].startswith(kind)
    assert client.put(ROWS, json={"value": [[who, 9_000, 4.0, "a"]]}).status_code == 200
    # Keys of such a length that share all but their last letter are two keys.
    assert client.put(ROWS, json={"value": [[who[:-1] + "x", 9_000, 2.0, "a"]]}).status_code == 200
    assert (features(client, who=who)["spent"], features(client, who=who[:-1] + "x")["spent"]) == (4.0, 2.0)
    assert client.put(ROWS, json={"value": [["eve", 9_001, 1.0, "k" * (1 << 20)]]}).status_code == 413
    assert client.post(DEPLOYMENT, json={"input": [{**REQUEST, "who": "w" * (1 << 20)}]}).status_code == 413
    assert features(client, who="eve")["bought"] == 1


def test_nan_and_infinities_are_numbers_of_features_and_none_of_a_model(
    serve: Serve, store: EmbeddedStore, model: Path, plan_id: str
) -> None:
    shops.release(store, plan_id, shops.reference(model))
    client = serve()
    body = b'{"value":[["eve",9000,NaN,"a"],["zoe",9000,Infinity,"a"]]}'
    assert client.put(ROWS, content=body).status_code == 200
    assert math.isnan(features(client, who="eve")["spent"])
    assert features(client, who="zoe")["spent"] == math.inf
    for who in ("eve", "zoe"):
        answer = client.post("/predict", json={**REQUEST, "who": who})
        assert answer.status_code == 400
        assert answer.json()["msg"].startswith("column 'spent' holds NaN or infinity")
    assert client.post("/predict", json=REQUEST).status_code == 200


def test_times_far_ahead_take_nothing_away(serve: Serve, plan_id: str) -> None:
    client = serve()
    now, end = time.time_ns() // 1_000_000, 253_402_300_799_999
    assert client.put(ROWS, json={"value": [["eve", now - 1_000, 5.0, "a"]]}).status_code == 200
    assert client.put(ROWS, json={"value": [["eve", end, 1.0, "z"], ["eve", now + 400 * DAY, 1.0, "z"]]}).is_success
    # What happens later is no part of a window that ends now, and the row before it is still there.
    assert features(client, who="eve", at=now)["spent"] == 5.0
    assert features(client, who="eve", at=end)["kinds"].startswith("z")
    assert features(client, who="eve", at=now)["bought"] == 1


# ── files that a crash cut off ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kept", "message"), [(0.5, "is cut off: "), (0.001, "are damaged (")])
def test_a_truncated_store_is_told_before_anybody_is_answered(
    store: EmbeddedStore, plan_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store.folder, copy)
    data = (copy / "data.mdb").read_bytes()
    (copy / "data.mdb").write_bytes(data[: int(kept * len(data))])
    assert main(["serve", "--store", str(copy)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "restore the folder from a copy, or move it away and load" in said
