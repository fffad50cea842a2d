"""A job's folder: the one place where the job and those who watch it meet.

Spec, progress, log, result and error are files, so that a watcher may come late, come back, or be another process: the
task, the triggerer, a page of the plugin. Nothing travels over standard output.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import (
    CancelledError,
    JobFailedError,
    MlfeatError,
    TransientError,
    UserError,
)

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
# A worker on another host counts as alive while its heartbeat is younger than this.
HEARTBEAT_SECONDS = 2.0
HEARTBEAT_LOST_SECONDS = 30.0


class State(StrEnum):
    """Where a job is in its life."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (State.UNKNOWN, State.RUNNING)


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """How a job failed, as it travels between processes.

    :param kind: ``user``, ``transient``, ``cancelled`` or ``failed``.
    :param message: one sentence.
    :param details: the stack trace of an unforeseen error.
    """

    kind: str
    message: str
    details: str = ""

    @classmethod
    def of(cls, error: BaseException, details: str = "") -> ErrorReport:
        """Describe an exception."""
        for kind, error_type in _ERROR_KINDS.items():
            if isinstance(error, error_type):
                return cls(kind, str(error))
        return cls("failed", f"{type(error).__name__}: {error}", details)

    def to_exception(self) -> MlfeatError:
        """The exception to raise where the job is watched."""
        if self.kind in _ERROR_KINDS:
            return _ERROR_KINDS[self.kind](self.message)
        return JobFailedError(self.message, self.details)


_ERROR_KINDS: dict[str, type[MlfeatError]] = {
    "user": UserError,
    "transient": TransientError,
    "cancelled": CancelledError,
}


class JobDirectory:
    """The folder of one job.

    :param job_id: the job; letters, digits, ``-``, ``_`` and ``.``.
    :param root: the folder of all jobs; the default is below the state directory.
    """

    def __init__(self, job_id: str, root: Path | None = None) -> None:
        if not _JOB_ID.fullmatch(job_id):
            raise UserError(f"'{job_id}' is no job id: letters, digits, '-', '_' and '.' only")
        self.job_id = job_id
        self.root = root or files.state_directory() / "jobs"
        self.path = self.root / job_id

    @property
    def log_path(self) -> Path:
        return self.path / "job.log"

    @property
    def scratch_path(self) -> Path:
        return self.path / "scratch"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other submitters of the same job out."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{self.job_id}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def begin(self, spec: dict[str, Any], origin: dict[str, str], lease_seconds: float | None = None) -> None:
        """Make the folder for a new attempt; an earlier attempt's folder is kept aside, the one before it goes."""
        if self.path.exists():
            aside = self.root / f"{self.job_id}.previous"
            if aside.exists():
                files.remove(aside)
            self.path.rename(aside)
        self.path.mkdir(parents=True, mode=0o700)
        self.scratch_path.mkdir()
        self.write("spec", spec)
        self.write("origin", origin)
        if lease_seconds is not None:
            self.write("lease", {"seconds": lease_seconds})
        self.watch()

    def write(self, name: str, document: Any) -> None:
        """Write one of the folder's documents in one step."""
        files.write_json(self.path / f"{name}.json", document)

    def read(self, name: str) -> Any:
        """One of the folder's documents, None where there is none."""
        try:
            return json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def request_cancellation(self) -> None:
        """Leave word that somebody asked the job to stop."""
        if self.path.exists():
            self.write("cancelled", {"at": time.time()})

    def outcome(self) -> State:
        """What the files say: a final state, or UNKNOWN while there is neither result nor error."""
        if (self.path / "result.json").exists():
            return State.SUCCEEDED
        if (error := self.error()) is not None:
            return State.CANCELLED if error.kind == "cancelled" else State.FAILED
        return State.UNKNOWN

    def outcome_of_dead(self) -> State:
        """The final state of a job whose process is gone."""
        state = self.outcome()
        if state is not State.UNKNOWN:
            return state
        return State.CANCELLED if self.read("cancelled") else State.LOST

    def error(self) -> ErrorReport | None:
        """How the job failed."""
        document = self.read("error")
        return ErrorReport(**document) if document else None

    def watch(self) -> None:
        """Say that somebody waits for the job."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / "watched").touch()

    def is_abandoned(self) -> bool:
        """Whether the job has a lease and nobody has waited for longer than that."""
        lease = (self.read("lease") or {}).get("seconds")
        try:
            return lease is not None and time.time() - (self.path / "watched").stat().st_mtime > lease
        except FileNotFoundError:
            return False

    def beat(self) -> None:
        """Say that the worker lives."""
        (self.path / "heartbeat").touch()

    def has_fresh_heartbeat(self) -> bool:
        """Whether the worker said lately that it lives."""
        try:
            age = time.time() - (self.path / "heartbeat").stat().st_mtime
        except FileNotFoundError:
            return False
        return age < HEARTBEAT_LOST_SECONDS
