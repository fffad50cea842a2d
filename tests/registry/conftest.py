"""MLflow for tests: an SQLite file that is made once and copied, and a real server that can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_mlfeat.registry.tracking import Tracking

pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")
START_SECONDS = 60


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy stands between a test and this machine, and no MLflow of this machine comes in."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with Tracking({"MLFLOW_TRACKING_URI": f"sqlite:///{path}"}).client() as client:
        client.search_experiments(max_results=1)
    return path


def tracking_at(folder: Path, empty_database: Path) -> Tracking:
    folder.mkdir(parents=True)
    shutil.copy(empty_database, folder / "mlflow.db")
    return Tracking(
        {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}, artifact_location=(folder / "artifacts").as_uri()
    )


@pytest.fixture
def tracking(tmp_path: Path, empty_database: Path) -> Tracking:
    """An MLflow of this test alone."""
    return tracking_at(tmp_path / "mlflow", empty_database)


class Server:
    """A real tracking server with artefacts, on a port that stays the same when it is killed and started again."""

    def __init__(self, folder: Path, empty_database: Path) -> None:
        self.folder = folder
        shutil.copy(empty_database, folder / "mlflow.db")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def tracking(self) -> Tracking:
        address = f"http://127.0.0.1:{self.port}"
        return Tracking({"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}, pages=address)

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--workers", "1"),
            *("--artifacts-destination", str(self.folder / "artifacts"), "--serve-artifacts"),
        ]
        log = self.folder / "server.log"
        with log.open("ab") as output:
            # Its queue of background jobs takes as long to start as all the rest.
            variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, env=variables
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the MLflow server did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to the server and all its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class Line:
    """A line to a server that can be cut: then nothing listens, as when the server is away.

    Starting a server takes seconds; this takes none.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self.port = 0
        self._listener: socket.socket | None = None

    @property
    def tracking(self) -> Tracking:
        return Tracking({"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.port}", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"})

    def connect(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        assert self._listener is not None
        # Closing alone would leave a thread that accepts once more.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            for one, other in ((caller, server), (server, caller)):
                threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    @staticmethod
    def _forward(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def line(server: Server) -> Line:
    """A line to the server, not connected yet but once, so that it has a port."""
    one = Line(server.port)
    one.connect()
    one.cut()
    return one


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    """One server for all tests; a test that kills it starts it again."""
    one = Server(tmp_path_factory.mktemp("server"), empty_database)
    one.start()
    yield one
    one.kill()
