"""A switch that servers do not follow leaves the service as it was, and no way back to what failed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import CancelledError, TransientError, UserError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.jobs.serving.server import ServerPlace
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving import releases
from airflow_provider_mlfeat.serving.releases import Service
from tests.serving import shops
from tests.serving.conftest import Serve
from tests.serving.test_server import until

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def closed(store: EmbeddedStore, plan_id: str) -> None:
    """The shop's store, which jobs open for themselves."""
    store.close()


def switch(place: Path, model: Path, cancellation: Cancellation | None = None, **server: Any) -> Any:
    spec = {
        "kind": "switch_serving",
        "online": {"path": str(place / "online")},
        "deployment": "sums@1",
        "model": str(model),
        "models": str(place / "kept"),
        "server": server,
    }
    return run(parse_spec(spec), cancellation=cancellation)


def service(place: Path) -> Service:
    with EmbeddedStore(place / "online") as store:
        return releases.services(store.documents)["default"]


def test_the_release_that_failed_is_not_gone_back_to(closed: None, model: Path, plan_id: str, tmp_path: Path) -> None:
    assert switch(tmp_path, model).switched
    other = shops.make_model(tmp_path / "other", plan_id, seed=1)
    with pytest.raises(TransientError, match="does not answer with default@2"):
        switch(tmp_path, other, urls=[NOBODY], wait=0.1)
    assert service(tmp_path) == Service("default", live=1)
    with EmbeddedStore(tmp_path / "online") as store, pytest.raises(UserError, match="no release to go back to"):
        releases.roll_back(store.documents, "default")


def test_the_first_release_is_taken_back_too(closed: None, model: Path, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="does not answer with default@1"):
        switch(tmp_path, model, urls=[NOBODY], wait=0.1)
    assert service(tmp_path) == Service("default")
    assert switch(tmp_path, model).switched
    assert service(tmp_path) == Service("default", live=1)


def test_a_cancelled_switch_is_taken_back_at_once(closed: None, model: Path, tmp_path: Path) -> None:
    cancellation = Cancellation()
    threading.Timer(1.0, cancellation.request).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        switch(tmp_path, model, cancellation, urls=[NOBODY], wait=60)
    assert time.monotonic() - began < 20
    assert service(tmp_path) == Service("default")


def test_another_switch_that_came_since_stays(store: EmbeddedStore, plan_id: str) -> None:
    before = Service("default")
    shops.release(store, plan_id, None)
    later = releases.add_release(store.documents, releases.Release("default", 0, "sums@1", plan_id, None, "other"))
    now = releases.switch(store.documents, "default", later.number)
    assert releases.take_back(store.documents, 1, before) == now


def test_a_server_lets_go_of_what_was_taken_back(store: EmbeddedStore, plan_id: str, serve: Serve) -> None:
    release = shops.release(store, plan_id, None)
    client = serve()
    assert client.post("/predict", json=shops.REQUEST).status_code == 200
    releases.take_back(store.documents, release.number, Service("default"))
    deadline = time.monotonic() + 10
    while (status := client.post("/predict", json=shops.REQUEST).status_code) == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert status == 404


def test_a_server_forgets_that_a_release_failed_that_was_taken_back(
    store: EmbeddedStore, plan_id: str, serve: Serve
) -> None:
    lost = releases.ModelReference("m", "1", "/nowhere", "f" * 64)
    release = shops.release(store, plan_id, lost)
    client = serve()
    until(lambda: "default" in client.get("/services").json()["failures"])
    assert client.get("/ready").status_code == 503
    releases.take_back(store.documents, release.number, Service("default"))
    until(lambda: client.get("/ready").status_code == 200)
    assert client.get("/services").json()["failures"] == {}


def test_a_server_that_does_not_tell_of_its_workers(
    closed: None, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerPlace, "ask", lambda *arguments: {"services": [], "failures": {}})
    with pytest.raises(UserError, match=f"{NOBODY} does not tell what its workers answer with"):
        switch(tmp_path, model, urls=[NOBODY])
    assert service(tmp_path) == Service("default")
