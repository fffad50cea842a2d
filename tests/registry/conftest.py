"""MLflow for tests: an SQLite file that is made once and copied, and a real server that can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
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
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    """One server for all tests; a test that kills it starts it again."""
    one = Server(tmp_path_factory.mktemp("server"), empty_database)
    one.start()
    yield one
    one.kill()
