"""A Triton server as a child process: started under a deadline, watched, and stopped for sure."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment

_LOG_LINES = 15


class LocalServer:
    """A real Triton on this machine, with explicit model control.

    It binds to loopback unless told otherwise: whoever reaches its control endpoints can run code on it.

    :param repository: the model repository: a folder, which is made when it does not exist, or a prefix of an object
        store as Triton writes it, which the server reads with the credentials of its environment.
    :param environment: where the server is installed; None looks in the usual places.
    :param host: address to listen at.
    :param http_port: port of HTTP; 0 takes a free one.
    :param grpc_port: port of gRPC; 0 takes a free one.
    :param metrics_port: port of the metrics; 0 takes a free one.
    :param models: models to load at the start, as their config files say.
    :param cache_bytes: size of the response cache; 0 is none.
    :param options: further options of the server's command line, such as those of TLS or of restricted endpoints.
    :param log: file for the server's output; None is a file in its temporary folder.
    :param start_seconds: how long the start may take.
    :param stop_seconds: how long a polite stop may take before the process is killed.
    """

    def __init__(
        self,
        repository: Path | str,
        *,
        environment: TritonEnvironment | None = None,
        host: str = "127.0.0.1",
        http_port: int = 0,
        grpc_port: int = 0,
        metrics_port: int = 0,
        models: Sequence[str] = (),
        cache_bytes: int = 0,
        options: Sequence[str] = (),
        log: Path | None = None,
        start_seconds: float = 30.0,
        stop_seconds: float = 10.0,
    ) -> None:
        self.repository = Path(repository).absolute() if "://" not in str(repository) else str(repository)
        self.environment = environment or TritonEnvironment.find()
        self.host = host
        self.http_port, self.grpc_port, self.metrics_port = _ports(host, (http_port, grpc_port, metrics_port))
        self.models = tuple(models)
        self.cache_bytes = cache_bytes
        self.options = tuple(options)
        self.start_seconds = start_seconds
        self.stop_seconds = stop_seconds
        self._folder = tempfile.TemporaryDirectory(prefix="mlfeat-triton-", ignore_cleanup_errors=True)
        self.log = log or Path(self._folder.name) / "triton.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def http_address(self) -> str:
        """Where it speaks HTTP."""
        return f"{self.host}:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        """Where it speaks gRPC."""
        return f"{self.host}:{self.grpc_port}"

    @property
    def process_id(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start, and wait until it is live and its models are loaded.

        :raises TransientError: it ended, or was not ready in time; the message holds the end of its log.
        """
        assert self.process_id is None, "the server runs already"
        if isinstance(self.repository, Path):
            self.repository.mkdir(parents=True, exist_ok=True)
        backends = Path(self._folder.name) / "backends"
        self.environment.lay_out_backends(backends)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(backends),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment.variables(),
                cwd=self._folder.name,
                start_new_session=True,
            )
        deadline = time.monotonic() + self.start_seconds
        while not self.is_live():
            if self._process.poll() is not None:
                code = self._process.returncode
                self._process = None
                raise TransientError(f"Triton ended with code {code} while it started: {self.last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise TransientError(f"Triton was not ready within {self.start_seconds:g} s: {self.last_words()}")
            time.sleep(0.02)

    def is_live(self) -> bool:
        """Whether it answers. A server that starts with models answers when they are loaded."""
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=2)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code when the server ends within the time; None when it still runs."""
        assert self._process is not None, "the server was not started"
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Ask it to stop; kill it when it does not: a server whose stub hangs ignores the request."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            if self.wait(self.stop_seconds) is None:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End it and its stubs at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop, and remove its temporary folder."""
        self.stop()
        self._folder.cleanup()

    def last_words(self) -> str:
        """The end of its log in one line."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return "it wrote no log"
        return " | ".join(line.strip() for line in lines[-_LOG_LINES:] if line.strip()) or "its log is empty"

    def __enter__(self) -> LocalServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self, backends: Path) -> list[str]:
        command = [
            str(self.environment.binary),
            f"--model-repository={self.repository}",
            f"--backend-directory={backends}",
            *(f"--{service}-address={self.host}" for service in ("http", "grpc", "metrics")),
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            "--model-control-mode=explicit",
            # One failed load would leave a strict server "not ready" for ever, though it serves what it served.
            "--strict-readiness=false",
            "--exit-on-error=false",
            f"--exit-timeout-secs={max(1, int(self.stop_seconds) - 2)}",
            "--disable-auto-complete-config",
            # Two servers of one machine must not share memory regions.
            f"--backend-config=python,shm-region-prefix-name=mlfeat{uuid.uuid4().hex[:12]}",
            *(f"--load-model={model}" for model in self.models),
            *self.options,
        ]
        if self.cache_bytes:
            command += [
                f"--cache-directory={self.environment.caches}",
                f"--cache-config=local,size={self.cache_bytes}",
            ]
        return command


def _ports(host: str, wanted: Sequence[int]) -> tuple[int, ...]:
    """The ports as asked for, with free ones where 0 is asked; all are held open until all are chosen."""
    with contextlib.ExitStack() as held:
        chosen = tuple(_port(held, host, port) for port in wanted)
    if len(set(chosen)) < len(chosen):
        raise UserError(f"HTTP, gRPC and metrics need three ports, not {', '.join(map(str, chosen))}")
    return chosen


def _port(held: contextlib.ExitStack, host: str, port: int) -> int:
    for family, kind, _, _, address in _addresses(host, port):
        listener = held.enter_context(socket.socket(family, kind))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise UserError(f"port {port} of {host} cannot be used: {error.strerror}") from None
        chosen: int = listener.getsockname()[1]
        return chosen
    raise UserError(f"'{host}' is no address of this machine")


def _addresses(host: str, port: int) -> Iterator[tuple[int, int, int, str, tuple[object, ...]]]:
    try:
        yield from socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return
