"""The server on a Redis that is away, slow, full, or comes back: clear answers, no worker lost, nothing wrong said."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.serving.server.app import create_app
from airflow_provider_mlfeat.serving.server.settings import ServerSettings
from tests.hooks.conftest import free_port
from tests.online import shop
from tests.serving import shops
from tests.serving.shops import REQUEST

DEPLOYMENT = "/dbs/default/deployments/sums"
ROWS = "/dbs/default/tables/purchase"


class OwnRedis:
    """A Redis of one test, that can be stopped, frozen and started again on the same port and file."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        self.process = subprocess.Popen(
            [*command, "--dir", str(self.folder), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.send(signal.SIGKILL)


@pytest.fixture
def client(redis: OwnRedis, tmp_path: Path) -> Iterator[TestClient]:
    """A server with a live release on that Redis."""
    address = StoreAddress(host="127.0.0.1", port=redis.port, key_prefix="mlfeat")
    until(lambda: answers(redis.port))
    with open_store(address) as store:
        plan_id = shops.open_shop(store)
        shops.release(store, plan_id, shops.reference(shops.make_model(tmp_path / "model", plan_id)))
    place = f"redis://127.0.0.1:{redis.port}?timeout=0.2"
    app = create_app(ServerSettings(store=place, refresh_seconds=0.05, deadline=1.5))
    with TestClient(app, raise_server_exceptions=False) as started:
        yield started


def answers(port: int) -> bool:
    import redis as library

    try:
        with library.Redis(host="127.0.0.1", port=port, socket_timeout=1) as found:
            return bool(found.ping())
    except library.RedisError:
        return False


def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def spent(client: TestClient) -> Any:
    answer = client.post(DEPLOYMENT, json={"input": [REQUEST]})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["data"][0]["spent"]


def test_answers(client: TestClient) -> None:
    assert client.get("/ready").json() == {"status": "ready", "release": "default@1"}
    assert 0 < client.post("/predict", json=REQUEST).json()["probability"] < 1
    assert spent(client) == 7.5
    assert client.put(ROWS, json={"value": [["ann", 9_900, 100.0, "c"]]}).status_code == 200
    assert spent(client) == 107.5
    assert client.get("/dbs").json()["dbs"] == ["default"]
    assert client.get(DEPLOYMENT).json()["data"]["version"] == 1
    assert client.get("/dbs/default/deployments/other").status_code == 404


def test_many_at_once(client: TestClient) -> None:
    rows = [{**REQUEST, "who": who} for who in ("ann", "bob", "eve")] * 30
    found = [one["probability"] for one in client.post("/predict", json=rows).json()]
    assert found == found[:3] * 30


@pytest.mark.parametrize(("how", "back"), [(signal.SIGKILL, None), (signal.SIGSTOP, signal.SIGCONT)])
def test_away_or_slow_and_back(
    client: TestClient, redis: OwnRedis, how: signal.Signals, back: signal.Signals | None
) -> None:
    redis.send(how)
    for ask in (
        lambda: client.post("/predict", json=REQUEST),
        lambda: client.post(DEPLOYMENT, json={"input": [REQUEST]}),
        lambda: client.put(ROWS, json={"value": [["ann", 9_900, 1.0, "c"]]}),
        # What Redis said last holds for a moment.
        lambda: until(lambda: (found := client.get("/ready")).status_code == 503 and found),
    ):
        answer = ask()
        assert answer.status_code == 503, answer.text
        assert f"127.0.0.1:{redis.port}" in answer.json()["msg"]
        assert answer.headers["retry-after"] == "1"
    assert client.get("/health").status_code == 200
    if back is None:
        redis.start()
    else:
        redis.send(back)
    until(lambda: client.get("/ready").status_code == 200)
    assert client.post("/predict", json=REQUEST).json()["release"] == 1
    assert client.put(ROWS, json={"value": [["bob", 9_900, 4.0, "c"]]}).status_code == 200


def test_restarted_under_requests(client: TestClient, redis: OwnRedis) -> None:
    """Each answer is right or a refusal; every row that was acknowledged is there when Redis is back."""
    statuses: set[int] = set()
    done = threading.Event()
    wrong: list[str] = []

    def ask() -> None:
        while not done.is_set():
            answer = client.post(DEPLOYMENT, json={"input": [{**REQUEST, "who": "bob"}]})
            statuses.add(answer.status_code)
            if answer.status_code == 200 and answer.json()["data"]["data"][0]["spent"] != 1.0:
                wrong.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    acknowledged = 0.0
    try:
        for _ in range(3):
            for number in range(5):
                put = client.put(ROWS, json={"value": [["eve", 9_900 + number, 1.0, "c"]]})
                acknowledged += put.status_code == 200
            redis.send(signal.SIGKILL)
            redis.start()
            until(lambda: client.get("/ready").status_code == 200)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert statuses <= {200, 503}
    found = client.post(DEPLOYMENT, json={"input": [{**REQUEST, "who": "eve"}]}).json()["data"]["data"][0]
    assert found["bought"] >= acknowledged >= 5


def test_full(client: TestClient, redis: OwnRedis) -> None:
    import redis as library

    with library.Redis(host="127.0.0.1", port=redis.port) as direct:
        direct.config_set("maxmemory", "1mb")
        answer = client.put(ROWS, json={"value": [["ann", 9_900, 1.0, "c"]]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert spent(client) == 7.5
        direct.config_set("maxmemory", "0")
    assert client.put(ROWS, json={"value": [["ann", 9_900, 1.0, "c"]]}).status_code == 200
    assert spent(client) == 8.5


def test_a_server_that_starts_before_its_redis(redis: OwnRedis) -> None:
    redis.send(signal.SIGKILL)
    app = create_app(ServerSettings(store=f"redis://127.0.0.1:{redis.port}?timeout=0.2", refresh_seconds=0.05))
    with TestClient(app, raise_server_exceptions=False) as started:
        answer = started.post("/predict", json=REQUEST)
        assert (answer.status_code, answer.json()["msg"]) == (503, "the online store was not read yet")
        redis.start()
        with open_store(StoreAddress(host="127.0.0.1", port=redis.port, key_prefix="mlfeat")) as store:
            until(lambda: answers(redis.port))
            shop.create(store)
        until(lambda: started.post("/predict", json=REQUEST).status_code == 404)
