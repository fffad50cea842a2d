"""A server within the test's process: real application, real store, real model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving.server.app import create_app
from airflow_provider_mlfeat.serving.server.settings import ServerSettings
from tests.serving import shops

Serve = Callable[..., TestClient]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "online") as store:
        yield store


@pytest.fixture
def plan_id(store: EmbeddedStore) -> str:
    return shops.open_shop(store)


@pytest.fixture
def model(tmp_path: Path, plan_id: str) -> Path:
    return shops.make_model(tmp_path / "model", plan_id)


@pytest.fixture
def serve(tmp_path: Path, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts the application on the test's store; further arguments are settings."""
    with ExitStack() as stack:

        def start(token: str | None = None, **settings: Any) -> TestClient:
            if token is not None:
                monkeypatch.setenv("MLFEAT_SERVER_TOKEN", token)
            app = create_app(ServerSettings(store=str(tmp_path / "online"), refresh_seconds=0.05, **settings))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start
