"""A server that is killed, and a disk that is full: nothing that was acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_mlfeat.online.embedded import environment
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from tests.serving import killing, shops
from tests.serving.conftest import Serve
from tests.serving.shops import REQUEST


def test_servers(tmp_path: Path) -> None:
    assert killing.kill_servers(tmp_path / "online", points=2, seed=11) > 0


def test_a_full_disk(serve: Serve, store: EmbeddedStore, plan_id: str) -> None:
    shops.release(store, plan_id, None)
    client = serve()
    before = client.post("/predict", json=REQUEST).json()["features"]
    used = environment.open_environment(store.folder)
    try:
        used.lmdb.set_mapsize(400_000)
        many = [["eve", number, 1.0, f"{number:0500d}"] for number in range(1_000)]
        answer = client.put("/dbs/default/tables/purchase", json={"value": many})
    finally:
        environment.close_environment(used)
    assert (answer.status_code, answer.json()["code"]) == (507, 507)
    assert "is full; nothing of this change was kept" in answer.json()["msg"]
    assert client.post("/predict", json=REQUEST).json()["features"] == before
    assert client.post("/predict", json={**REQUEST, "who": "eve"}).json()["features"]["bought"] == 0
    # What fits goes on being taken.
    assert client.put("/dbs/default/tables/purchase", json={"value": [["ann", 9_950, 1.0, "c"]]}).status_code == 200
    assert client.post("/predict", json=REQUEST).json()["features"]["bought"] == before["bought"] + 1
