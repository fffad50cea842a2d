"""A local Airflow of this clone: ``up``, ``down`` and what the demo and the end-to-end tests need of it.

All state lives in one folder (``.mlfeat/airflow`` by default), ports are free ones, servers listen on loopback only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))
from local_services import LocalServices, stop_services

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_STATE = ROOT / ".mlfeat"
_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_START_SECONDS = 300
# Pools that the pipelines' heavy tasks take turns in, by the variable that tells the DAG files.
_POOLS = {"MLFEAT_SPARK_POOL": "mlfeat_spark", "MLFEAT_GPU_POOL": "mlfeat_gpu"}


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens on it, else a free port."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise AssertionError("port 0 is always free")


@dataclass
class LocalAirflow:
    """``airflow standalone`` with its own home.

    :param state: the folder of everything that it writes.
    :param dags: the folder of DAG files.
    :param port: wanted port of the API server and UI; 0 takes any.
    :param environment: variables to add, for instance connections.
    """

    state: Path = DEFAULT_STATE
    dags: Path = ROOT / "dags"
    port: int = 0
    environment: dict[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.state / "airflow"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.home / "standalone.log"

    def start(self) -> None:
        """Start and wait until every component is healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        running = read_running(self.state)
        if running:
            raise SystemExit(f"Airflow of this clone is up already: {running['url']} (make down stops it)")
        self.port = free_port(self.port)
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "airflow"), "standalone"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self.home,
                start_new_session=True,
            )
        _write_private(self.home / "up.json", json.dumps({"pid": self.process.pid, "url": self.url}))
        self._wait_until_healthy()
        self._make_pools()

    def _environment(self) -> dict[str, str]:
        executables = str(Path(sys.executable).parent)
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__PARALLELISM": "4",
            "CORE__TEST_CONNECTION": "Enabled",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API_AUTH__JWT_SECRET": self._secret("jwt_secret"),
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            # A changed file is read at once; reading the others again and again would cost half a core.
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port(8793)),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(8794)),
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        }
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(self.home),
            # standalone finds its parts on PATH.
            "PATH": f"{executables}{os.pathsep}{os.environ['PATH']}",
            "MLFEAT_STATE": str(self.state),
            **_POOLS,
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            **(self.environment or {}),
        }

    def _secret(self, name: str) -> str:
        path = self.home / name
        if not path.exists():
            _write_private(path, secrets.token_hex(48))
        return path.read_text()

    @property
    def password(self) -> str:
        """The admin's generated password."""
        path = self.home / "simple_auth_manager_passwords.json.generated"
        return str(json.loads(path.read_text())["admin"])

    def _wait_until_healthy(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + _START_SECONDS
        missing = "API server"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                tail = "\n".join(self.log_path.read_text(errors="replace").splitlines()[-15:])
                raise SystemExit(f"Airflow ended with exit code {self.process.returncode}:\n{tail}")
            with contextlib.suppress(httpx.HTTPError, ValueError):
                health = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
                ill = [name for name in _COMPONENTS if (health.get(name) or {}).get("status") != "healthy"]
                if not ill:
                    return
                missing = ", ".join(ill)
            time.sleep(1)
        self.stop()
        raise SystemExit(
            f"Airflow was not healthy after {_START_SECONDS} s (waiting for {missing}); see {self.log_path}"
        )

    def _make_pools(self) -> None:
        with self.client() as client:
            for name in _POOLS.values():
                answer = client.post(
                    "/api/v2/pools", json={"name": name, "slots": 1, "description": "of the pipelines"}
                )
                # 409: an earlier start made it; its slots are the user's.
                if answer.status_code not in (201, 409):
                    answer.raise_for_status()

    def stop(self) -> None:
        """Stop all of it."""
        stop_running(self.state)
        if self.process is not None:
            self.process.wait()

    def client(self) -> httpx.Client:
        """A logged-in client of the REST API."""
        answer = httpx.post(f"{self.url}/auth/token", json={"username": "admin", "password": self.password}, timeout=30)
        answer.raise_for_status()
        token = answer.json()["access_token"]
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def read_running(state: Path) -> dict[str, Any] | None:
    """Process id and URL of the Airflow that runs on `state`, None when none does."""
    try:
        document = json.loads((state / "airflow" / "up.json").read_text())
        command = Path(f"/proc/{document['pid']}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, json.JSONDecodeError):
        return None
    return document if b"standalone" in command else None


def stop_running(state: Path) -> bool:
    """Stop the Airflow that runs on `state`: SIGTERM to its process group, SIGKILL to what is left."""
    running = read_running(state)
    if running is None:
        return False
    group = running["pid"]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and _group_lives(group):
            time.sleep(0.2)
        os.killpg(group, signal.SIGKILL)
    (state / "airflow" / "up.json").unlink(missing_ok=True)
    return True


def _group_lives(group: int) -> bool:
    """Whether a process of the group is left that is no zombie."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                state, _, owner = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(owner) == group and state != "Z":
                    return True
    return False


def up(port: int) -> int:
    """Run in the foreground until Ctrl-C, with the servers that the pipelines deploy to."""
    services = LocalServices(DEFAULT_STATE)
    airflow = LocalAirflow(port=port, environment=services.connections())
    print("starting Triton, the prediction server and Airflow …", flush=True)
    try:
        services.start()
        airflow.start()
        print(
            f"\n  {airflow.url}\n  user admin, password {airflow.password}\n"
            f"  pipelines: {airflow.url}/dags?tags=pipeline\n"
            f"  predictions: {services.server_url}/docs\n\nCtrl-C or `make down` stops it.",
            flush=True,
        )
        assert airflow.process is not None
        airflow.process.wait()
    except KeyboardInterrupt:
        print("\nstopping …", flush=True)
    finally:
        airflow.stop()
        services.stop()
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run a local Airflow with this clone's example DAGs.")
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8080")), help="wanted port of the UI")
    options = parser.parse_args()
    # `make down` and a closed terminal stop it like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if options.action == "up":
        return up(options.port)
    stop_services(DEFAULT_STATE)
    print("stopped" if stop_running(DEFAULT_STATE) else "Airflow of this clone does not run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
