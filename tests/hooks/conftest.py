"""Connections in the three forms that users write them in, and real services on free ports of this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from airflow_provider_mlfeat.hooks.connection_types import CONNECTION_TYPES

SECRET = "s3cr3t-Pa55/w@rd"


def as_uri(kind: str, standard: dict[str, Any], extra: dict[str, Any]) -> str:
    """A connection as Airflow's URI, in which every value is a text."""
    login, password = (quote(standard.get(name, ""), safe="") for name in ("login", "password"))
    credentials = f"{login}:{password}@" if login or password else ""
    port = f":{standard['port']}" if "port" in standard else ""
    address = credentials + quote(standard.get("host", ""), safe="") + port
    texts = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in extra.items()}
    return f"{kind.replace('_', '-')}://{address}/{standard.get('schema', '')}?{urlencode(texts)}"


def as_form(kind: str, standard: dict[str, Any], extra: dict[str, Any]) -> str:
    """A connection as the form saves it: every field is there, blank ones are null or empty."""
    (fields,) = (entry["conn-fields"] for entry in CONNECTION_TYPES if entry["connection-type"] == kind)
    whole = {name: field["schema"]["default"] or None for name, field in fields.items()} | extra
    blank = {"host": "", "login": "", "password": "", "schema": "", "port": None, "description": ""}
    return json.dumps({"conn_type": kind, **blank, **standard, "extra": json.dumps(whole)})


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Defines a connection in one of the three forms and returns its id."""

    def define(kind: str, form: str = "json", extra: dict[str, Any] | None = None, **standard: Any) -> str:
        if form == "uri":
            text = as_uri(kind, standard, extra or {})
        elif form == "form":
            text = as_form(kind, standard, extra or {})
        else:
            text = json.dumps({"conn_type": kind, **standard, "extra": extra or {}})
        monkeypatch.setenv(f"AIRFLOW_CONN_{kind}_UNDER_TEST".upper(), text)
        return f"{kind}_under_test"

    return define


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy stands between a test and this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,.invalid")


@pytest.fixture(scope="session")
def secret() -> str:
    """A password that a URI has to escape."""
    return SECRET


@pytest.fixture(params=["uri", "json", "form"])
def form(request: pytest.FixtureRequest) -> str:
    """One of the three forms of a connection."""
    return str(request.param)


@pytest.fixture
def closed_port() -> int:
    """A port at which nothing listens."""
    return free_port()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def process(command: list[str], port: int, log: Path, seconds: float, **options: Any) -> Iterator[None]:
    """Runs a server until the block ends; it must listen within `seconds`."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.05)
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[int]]:
    """Runs a Redis with the given options until a ``with`` block ends; the block gets its port."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")

    @contextmanager
    def run(*options: str) -> Iterator[int]:
        port, folder = free_port(), tmp_path_factory.mktemp("redis")
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        with process([*command, *options], port, folder / "server.log", 15):
            yield port

    return run


@pytest.fixture(scope="session")
def redis_port(redis_server: Callable[..., AbstractContextManager[int]]) -> Iterator[int]:
    """A Redis that wants the password SECRET."""
    with redis_server("--requirepass", SECRET) as port:
        yield port


@pytest.fixture(scope="session")
def mlflow_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An MLflow tracking server on an SQLite file."""
    pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    with process([*command, *store], port, folder / "server.log", 120, cwd=folder):
        yield port


@pytest.fixture
def answer() -> Iterator[Callable[[bytes], int]]:
    """Listens on a port and gives every caller the same bytes: a service of another kind."""
    listeners: list[socket.socket] = []

    def listen(reply: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    caller.settimeout(1)
                    try:
                        caller.recv(65536)
                        caller.sendall(reply)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    yield listen
    for listener in listeners:
        listener.close()


@pytest.fixture(scope="session")
def http_reply() -> Callable[..., bytes]:
    """Makes one HTTP answer, after which the connection closes."""

    def make(body: str, status: str = "200 OK", headers: str = "") -> bytes:
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body.encode())}\r\n{headers}"
        )
        return f"{head}connection: close\r\n\r\n{body}".encode()

    return make


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes an installed package look as if it were not."""

    def hide(package: str) -> None:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide
