"""One request, or one release, does not take a worker from all others."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving.server import openmldb_routes
from airflow_provider_mlfeat.serving.server.live import Features, Live
from tests.online import shop
from tests.serving import shops
from tests.serving.conftest import Serve

ROW = ["ann", 10_000, 3]


@pytest.mark.parametrize("path", ["/predict", "/dbs/default/deployments/sums"])
def test_a_request_has_so_many_rows_at_most(serve: Serve, store: EmbeddedStore, plan_id: str, path: str) -> None:
    shops.release(store, plan_id, None)
    client = serve()

    def ask(count: int) -> Any:
        rows: list[Any] = [shops.REQUEST] * count
        return client.post(path, json=rows if path == "/predict" else {"input": rows})

    assert ask(1_000).status_code == 200
    refused = ask(1_001)
    assert (refused.status_code, refused.json()["msg"]) == (400, "a request has at most 1000 rows, not 1001")


def test_the_deadline_holds_where_rows_are_answered_without_waiting(
    serve: Serve, plan_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(features: Features, name: str, row: Any) -> Any:
        time.sleep(0.02)
        return (1, 2, 3, 4, 5)

    monkeypatch.setattr(Features, "answer", slowly)
    monkeypatch.setattr(openmldb_routes, "_AT_ONCE", 5)
    client = serve(deadline=0.2)
    began = time.monotonic()
    late = client.post("/dbs/default/deployments/sums", json={"input": [ROW] * 500})
    assert (late.status_code, late.json()["msg"]) == (504, "no answer within 0.2 s")
    assert time.monotonic() - began < 5


def test_a_release_that_cannot_answer_is_tried_ever_later_and_told_once(
    serve: Serve,
    store: EmbeddedStore,
    plan_id: str,
    model: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = []
    prepare = Live.prepare

    def counted(live: Live, release: Any) -> Any:
        tries.append(release.name)
        return prepare(live, release)

    monkeypatch.setattr(Live, "prepare", counted)
    shops.release(store, plan_id, shops.reference(model))
    hidden = shutil.move(model, model.with_name("hidden"))
    with caplog.at_level(logging.ERROR):
        client = serve()
        time.sleep(2)
    assert client.post("/predict", json=shops.REQUEST).status_code == 503
    assert 2 <= len(tries) <= 5
    assert len([one for one in caplog.records if "cannot answer" in one.getMessage()]) == 1
    # What is mended is found by itself, and at once when the store changes.
    shutil.move(hidden, model)
    shops.release(store, plan_id, None, service="another")
    deadline = time.monotonic() + 3
    while client.post("/predict", json=shops.REQUEST).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_name_beyond_latin_letters_is_served(serve: Serve, store: EmbeddedStore, plan_id: str) -> None:
    shop.deployed(store, "a特征", shop.SUMS)
    answer = serve().post("/dbs/default/deployments/a特征", json={"input": [ROW]})
    assert answer.status_code == 200
    assert answer.headers["x-deployment"] == "a%E7%89%B9%E5%BE%81@1"
