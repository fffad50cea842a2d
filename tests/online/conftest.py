"""Stores to test: every test of the contract runs on each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.online.store import OnlineStore

OpenStore = Callable[[], OnlineStore]


@pytest.fixture(params=["embedded"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the same store as often as it is called."""
    opened: list[OnlineStore] = []

    def open_one() -> OnlineStore:
        opened.append(EmbeddedStore(tmp_path / "online"))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> OnlineStore:
    return open_store()
