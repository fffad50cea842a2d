"""A server of several workers: whichever of them is asked, an update that was answered has reached it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.registry.registration import Registration, register
from airflow_provider_mlfeat.serving.server import updating
from airflow_provider_mlfeat.serving.server.workers import FOLDER_VARIABLE, Workers, missing
from tests.hooks.conftest import free_port
from tests.online import shop
from tests.registry import conftest as registries
from tests.serving import killing, shops
from tests.serving.conftest import Serve
from tests.serving.shops import REQUEST
from tests.serving.test_server import until

WORKERS = 3
empty_database = registries.empty_database


class Running:
    """A server of three workers with a live release.

    :param url: its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, document: Any = None) -> httpx.Response:
        """One call on a connection of its own, so that any worker may answer it."""
        headers = {"Authorization": "Bearer t"}
        return httpx.request(method, self.url + path, json=document, headers=headers, timeout=20, trust_env=False)

    def update(self, version: str) -> int:
        """Make a version of the model live → the release."""
        answer = self.ask("POST", "/update", {"model_name": "shoppers", "model_version": version})
        assert answer.status_code == 200, answer.text
        assert {one["releases"]["default"] for one in self.workers()} == {answer.json()["release"]}
        return int(answer.json()["release"])

    def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/services").json()["workers"]
        return found

    def complete(self, seconds: float = 60) -> list[int]:
        """The workers' processes, once all of them are there."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if len(found := [one["process"] for one in self.workers()]) == WORKERS:
                    return found
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def each_worker(self) -> list[dict[str, Any]]:
        """What each worker predicts: all others stand still while it is asked."""
        processes = self.complete()
        answers = []
        for chosen in processes:
            with standing_still([one for one in processes if one != chosen]):
                answers.append(self.ask("POST", "/predict", REQUEST).json())
        return answers


@contextlib.contextmanager
def standing_still(processes: list[int]) -> Iterator[None]:
    for one in processes:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in processes:
            os.kill(one, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Running]:
    """`mlfeat serve` with a registry that has two models for it."""
    folder = tmp_path_factory.mktemp("workers")
    tracking = registries.tracking_at(folder / "mlflow", empty_database)
    with EmbeddedStore(folder / "online") as store:
        plan_id = shops.open_shop(store)
        shops.release(store, plan_id, shops.reference(shops.make_model(folder / "model", plan_id)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFEAT_STATE", str(folder / "state"))
        patch.setenv("MLFEAT_SERVER_TOKEN", "t")
        for seed in (1, 2):
            model = shops.make_model(folder / f"trained-{seed}", plan_id, seed)
            register(tracking, Registration("shoppers", model, aliases=(), encoded_model=False))
        port = free_port()
        options = ("--tracking-uri", tracking.address, "--models", str(folder / "models"))
        process = killing.serve(folder / "online", port, WORKERS, *options)
    try:
        running = Running(f"http://127.0.0.1:{port}")
        running.complete()
        yield running
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_an_update_reaches_every_worker(server: Running) -> None:
    """Under requests that are all answered, none by a release that was never live."""
    seen: set[tuple[int, int]] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answer = server.ask("POST", "/predict", REQUEST)
            seen.add((answer.status_code, answer.json().get("release")))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for version in ("1", "2"):
            # At once, not a moment later, each of them answers with it.
            number = server.update(version)
            said = server.each_worker()
            assert [(one["release"], one["model"]["version"]) for one in said] == [(number, version)] * WORKERS
            assert len({one["probability"] for one in said}) == 1
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen <= {(200, 1), (200, 2), (200, 3)}
    assert (200, 3) in seen


def test_a_worker_that_stands_still_is_replaced(server: Running) -> None:
    """The update waits for the worker that comes in its place."""
    stuck, *_ = server.complete()
    os.kill(stuck, signal.SIGSTOP)
    number = server.update("1")
    assert stuck not in server.complete()
    assert [one["release"] for one in server.each_worker()] == [number] * WORKERS


def test_a_worker_that_dies_is_replaced_by_one_with_the_live_release(server: Running) -> None:
    number = server.update("2")
    lost, *_ = server.complete()
    os.kill(lost, signal.SIGKILL)
    until(lambda: lost not in server.complete())
    assert [one["release"] for one in server.each_worker()] == [number] * WORKERS


def test_an_update_that_a_worker_does_not_take_is_no_success(
    serve: Serve, store: EmbeddedStore, plan_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops.release(store, plan_id, None)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(updating, "wait_for_workers", partial(updating.wait_for_workers, seconds=0.2))
    other = {"process": os.getppid(), "releases": {"default": 1}, "failures": {"default": "no memory"}}
    (tmp_path / f"{os.getppid()}.json").write_text(json.dumps(other))
    client = serve(token="t")
    second = shop.deployed(store, "three", shop.LAST_THREE).deployment.reference
    answer = client.post("/update", json={"deployment": second}, headers={"Authorization": "Bearer t"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["msg"] == (
        "release default@2 is live, but 1 of 2 workers do not answer with it after 0.2 s: no memory"
    )


def test_what_workers_note(tmp_path: Path) -> None:
    one = Workers(tmp_path)
    assert missing(one.all(), "shop", 1) == ["no worker has read the store yet"]
    one.note({"shop": 1}, {})
    (tmp_path / "999999999.json").write_text("{}")
    assert [found["process"] for found in one.all()] == [os.getpid()], "a process that is gone counts no more"
    assert missing(one.all(), "shop", 1) == []
    assert missing(one.all(), "shop", 2) == ["it answers with release 1"]
    assert missing(one.all(), "other", 1) == ["it answers with release none"]
    one.note({"shop": 1}, {"shop": "no memory"})
    assert missing(one.all(), "shop", 2) == ["no memory"]
    one.leave()
    assert one.all() == []
    alone = Workers()
    alone.note({"shop": 1}, {})
    assert missing(alone.all(), "shop", 1) == []
