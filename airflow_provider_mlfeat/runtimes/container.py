"""Jobs in containers of a Docker engine."""

from __future__ import annotations

import contextlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import airflow_provider_mlfeat
from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import MissingExtraError, TransientError, UserError
from airflow_provider_mlfeat.jobs.directory import JobDirectory, State
from airflow_provider_mlfeat.runtimes.runtime import Handle, Submission, directory_of
from airflow_provider_mlfeat.runtimes.settings import Container, Mount

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(airflow_provider_mlfeat.__file__).parent
_CODE = "/opt/mlfeat"
_STOP_SECONDS = 3
_API_TIMEOUT_SECONDS = 30


class ContainerRuntime:
    """Runs jobs as `settings` say.

    :param settings: image, mounts, devices and limits.
    :param client: a ``docker.APIClient``; the default connects to the settings' engine without logging in.
    """

    def __init__(self, settings: Container, client: Any = None) -> None:
        self._settings = settings
        self._given_client = client

    @cached_property
    def _client(self) -> Any:
        if self._given_client is not None:
            return self._given_client
        try:
            import docker
        except ModuleNotFoundError as error:
            raise MissingExtraError("docker", "runtime 'container'", error.name) from None
        with self._engine_errors():
            return docker.APIClient(base_url=self._settings.docker_url, version="auto", timeout=_API_TIMEOUT_SECONDS)

    @contextlib.contextmanager
    def _engine_errors(self) -> Iterator[None]:
        """Turn the engine's errors into one sentence each."""
        import requests

        import docker

        try:
            yield
        except docker.errors.ImageNotFound:
            raise UserError(
                f"runtime 'container': image '{self._settings.image}' is not on the engine; pull or build it"
            ) from None
        except docker.errors.APIError as error:
            kind = TransientError if error.is_server_error() else UserError
            raise kind(f"runtime 'container': {error.explanation or error}") from None
        except (docker.errors.DockerException, requests.exceptions.ConnectionError) as error:
            raise TransientError(
                f"runtime 'container': no Docker engine at {self._settings.docker_url} ({_root_cause(error)})"
            ) from None

    def submit(self, submission: Submission) -> Handle:
        """Start a container named after the job, unless the job runs or has succeeded already."""
        directory = JobDirectory(submission.job_id)
        with directory.locked(), self._engine_errors():
            handle: Handle = {
                "job_id": submission.job_id,
                "directory": str(directory.path),
                "container": f"mlfeat-{submission.job_id}",
            }
            if self.state(handle) in (State.RUNNING, State.SUCCEEDED):
                return handle
            self._remove(handle)
            # Image and mounts are looked up before the folder is made: a typing error leaves nothing behind.
            self._client.inspect_image(self._settings.image)
            self._check_mounts()
            directory.begin(submission.spec, submission.origin, submission.lease_seconds)
            # With the file there, the container's user needs no right to make it.
            directory.log_path.touch(mode=0o600)
            directory.write("handle", handle)
            self._create(handle, directory)
            self._start(handle, submission)
            return handle

    def _check_mounts(self) -> None:
        for mount in self._settings.mounts:
            if not Path(mount.source).exists():
                raise UserError(f"runtime 'container': mount source {mount.source} does not exist")

    def _create(self, handle: Handle, directory: JobDirectory) -> None:
        settings, client = self._settings, self._client
        results = files.state_directory() / "results"
        results.mkdir(parents=True, exist_ok=True)
        mounts = [
            *settings.mounts,
            Mount(source=str(directory.path)),
            Mount(source=str(results)),
            *([Mount(source=str(_PACKAGE), target=f"{_CODE}/{_PACKAGE.name}", read_only=True)] * settings.ship_code),
        ]
        binds = [f"{m.source}:{m.target or m.source}:{'ro' if m.read_only else 'rw'}" for m in mounts]
        gpu_request = {"Driver": "nvidia", "Count": settings.gpus, "Capabilities": [["gpu"]]}
        host = client.create_host_config(
            binds=binds,
            network_mode=settings.network,
            mem_limit=settings.memory,
            shm_size=settings.shared_memory,
            nano_cpus=None if settings.cpus is None else int(settings.cpus * 1e9),
            device_requests=[gpu_request] if settings.gpus else None,
            # A small init forwards SIGTERM to the worker and reaps what it leaves behind.
            init=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        code = {"PYTHONPATH": _CODE, "PYTHONDONTWRITEBYTECODE": "1"} if settings.ship_code else {}
        client.create_container(
            image=settings.image,
            name=handle["container"],
            command=["python3", "-m", "airflow_provider_mlfeat.jobs.worker", str(directory.path), "--secrets"],
            user=f"{os.getuid()}:{os.getgid()}",
            environment={
                "PYTHONUNBUFFERED": "1",
                "HOME": str(directory.scratch_path),
                files.STATE_VARIABLE: str(files.state_directory()),
                **code,
                **settings.environment,
            },
            labels={"mlfeat.job": handle["job_id"]},
            stdin_open=True,
            host_config=host,
            working_dir=str(directory.path),
        )

    def _start(self, handle: Handle, submission: Submission) -> None:
        """Start and hand over the secrets on standard input, which no inspection shows."""
        connection = self._client.attach_socket(handle["container"], params={"stdin": 1, "stream": 1})
        try:
            self._client.start(handle["container"])
            stream = getattr(connection, "_sock", connection)
            stream.sendall(json.dumps(dict(submission.secrets)).encode() + b"\n")
        finally:
            connection.close()

    def state(self, handle: Handle) -> State:
        """By the folder's files, and where they do not say, by the container's state."""
        directory = directory_of(handle)
        outcome = directory.outcome()
        if outcome.is_final:
            return outcome
        inspected = self._inspect(handle)
        # "created" is what a submitter leaves that died before the start.
        if inspected is not None and inspected["State"]["Status"] in ("running", "restarting", "paused"):
            return State.RUNNING
        return directory.outcome_of_dead() if directory.path.exists() else State.LOST

    def _inspect(self, handle: Handle) -> dict[str, Any] | None:
        import docker

        with self._engine_errors():
            try:
                inspected = self._client.inspect_container(handle["container"])
            except docker.errors.NotFound:
                return None
            assert isinstance(inspected, dict)
            return inspected

    def cancel(self, handle: Handle) -> None:
        """Stop the container: SIGTERM, then SIGKILL; and remove it."""
        import docker

        directory_of(handle).request_cancellation()
        with self._engine_errors(), contextlib.suppress(docker.errors.NotFound):
            self._client.stop(handle["container"], timeout=_STOP_SECONDS)
        self._remove(handle)

    def release(self, handle: Handle) -> None:
        """Remove the container of a job that has ended."""
        with self._engine_errors():
            self._remove(handle)

    def _remove(self, handle: Handle) -> None:
        import docker

        with contextlib.suppress(docker.errors.NotFound):
            self._client.remove_container(handle["container"], force=True)

    def explain_loss(self, handle: Handle) -> str:
        """Out of memory, or the exit code and the last lines that the container printed."""
        inspected = self._inspect(handle)
        if inspected is None:
            return f"container {handle['container']} is gone without a result"
        if inspected["State"].get("OOMKilled"):
            return f"container {handle['container']} was killed: it needs more than memory={self._settings.memory}"
        with self._engine_errors():
            printed = self._client.logs(handle["container"], tail=3).decode("utf-8", errors="replace")
        last = " | ".join(printed.split("\n")).strip(" |")
        code = inspected["State"]["ExitCode"]
        return f"container {handle['container']} ended with exit code {code} and no result: {last or 'no output'}"


def _root_cause(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return str(error)
