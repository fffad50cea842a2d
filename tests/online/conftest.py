"""Stores to test: every test of the contract runs on each kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.online.store import OnlineStore
from tests.hooks.conftest import free_port, process

OpenStore = Callable[[], OnlineStore]


@pytest.fixture(scope="session")
def redis_store_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis with an append-only file, for all tests."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
    with process([*command, "--dir", str(folder)], port, folder / "server.log", 15):
        yield port


@pytest.fixture(params=["embedded", "redis"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> StoreAddress:
    """Where a new store is."""
    if request.param == "embedded":
        return StoreAddress(path=str(tmp_path / "online"))
    port = request.getfixturevalue("redis_store_port")
    return StoreAddress(host="127.0.0.1", port=port, key_prefix=uuid4().hex)


@pytest.fixture
def open_same(address: StoreAddress) -> Iterator[OpenStore]:
    """Opens the same store as often as it is called."""
    opened: list[OnlineStore] = []

    def open_one() -> OnlineStore:
        opened.append(open_store(address))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_same: OpenStore) -> OnlineStore:
    return open_same()
