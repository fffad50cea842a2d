"""What the example pipelines need beside Airflow: a Triton server and a prediction server on this machine.

Both listen on loopback, on free ports, and keep their files in the state folder. Airflow finds them by connections.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 120


def free_ports(wanted: Sequence[int]) -> list[int]:
    """The wanted ports where nobody listens on them, else others; 0 takes any."""
    with contextlib.ExitStack() as stack:
        found = []
        for port in wanted:
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
        return found


@dataclass
class LocalServices:
    """Triton and the prediction server.

    :param state: the folder of everything that they write.
    :param service: what the short paths of the prediction server mean.
    """

    state: Path
    service: str = "jd_purchase_intention"
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The same ports as before, where they are free: a release names its Triton server.
        file = self.state / "ports.json"
        before = json.loads(file.read_text()) if file.exists() else [0, 0, 0, 0]
        stop_services(self.state)
        ports = free_ports(before)
        self.state.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(ports))
        self._http, self._grpc, self._metrics, self._server = ports

    @property
    def server_url(self) -> str:
        """Where predictions are asked for."""
        return f"http://127.0.0.1:{self._server}"

    @property
    def repository(self) -> Path:
        """Triton's model repository."""
        return self.state / "triton"

    def connections(self) -> dict[str, str]:
        """Airflow's connections, as environment variables."""
        triton = {
            "conn_type": "mlfeat_triton",
            "host": "127.0.0.1",
            "port": self._grpc,
            "extra": {"protocol": "grpc", "model_repository": str(self.repository)},
        }
        server = {"conn_type": "http", "host": "127.0.0.1", "port": self._server}
        return {
            "AIRFLOW_CONN_MLFEAT_TRITON_DEFAULT": json.dumps(triton),
            "AIRFLOW_CONN_MLFEAT_SERVER_DEFAULT": json.dumps(server),
            "AIRFLOW_CONN_MLFEAT_MLFLOW_DEFAULT": json.dumps({"conn_type": "mlfeat_mlflow"}),
        }

    def start(self) -> None:
        """Install Triton where it is missing, start both, and wait until they answer."""
        subprocess.run([ROOT / "scripts" / "install_triton"], check=True)
        self._run_triton()
        self._run(
            "server",
            *("serve", "--store", str(self.state / "online"), "--service", self.service),
            *("--port", str(self._server), "--log-folder", str(self.state / "requests")),
        )
        self._wait_for_triton()
        self._wait("server", f"{self.server_url}/health")

    def start_triton(self) -> None:
        """Triton again, with its repository, where it was stopped."""
        self._run_triton()
        self._wait_for_triton()

    def stop_triton(self) -> None:
        """Stop Triton alone."""
        process = self._processes.pop("triton")
        process.terminate()
        process.wait(15)

    def _run_triton(self) -> None:
        self._run(
            "triton",
            *("triton", "up", "--repository", str(self.repository)),
            *("--http-port", str(self._http), "--grpc-port", str(self._grpc), "--metrics-port", str(self._metrics)),
        )

    def _wait_for_triton(self) -> None:
        self._wait("triton", f"http://127.0.0.1:{self._http}/v2/health/live")

    def _run(self, name: str, *arguments: str) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(Path(sys.executable).parent / "mlfeat"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MLFEAT_STATE": str(self.state)},
                cwd=ROOT,
                start_new_session=True,
            )
        (self.state / f"{name}.pid").write_text(str(self._processes[name].pid))

    def _wait(self, name: str, url: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                    return
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                log = self.state / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                self.stop()
                raise SystemExit(f"{name} did not start; {log} ends:\n{tail}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop both."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
        stop_services(self.state)


def stop_services(state: Path) -> None:
    """Stop what an earlier start left running."""
    for name in ("triton", "server"):
        file = state / f"{name}.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            process_id = int(file.read_text())
            if b"mlfeat" in Path(f"/proc/{process_id}/cmdline").read_bytes():
                os.kill(process_id, signal.SIGTERM)
                deadline = time.monotonic() + 15
                while Path(f"/proc/{process_id}").exists() and time.monotonic() < deadline:
                    time.sleep(0.1)
                os.killpg(process_id, signal.SIGKILL)
        file.unlink(missing_ok=True)
