"""What a run has to say, on disk: written by the training loop at the speed of a file, sent to MLflow by somebody else.

A spool is a folder below ``runs/`` of the state directory. Events are appended to one file; how far they are in MLflow
stands in another. Whoever is killed between the two sends an event twice, and MLflow keeps it once.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.registry.tracking import Tracking

RUN_KEY_TAG = "mlfeat.run_key"
_EVENTS, _HEADER, _SENT, _FILES = "events.jsonl", "run.json", "sent.json", "files"


def spools_directory() -> Path:
    """Where the spools of this machine are."""
    return files.state_directory() / "runs"


def destination_of(tracking: Tracking) -> str:
    """Which MLflow a spool is for, without its address, which may hold a password."""
    return files.digest_text(tracking.address)[:16]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell MLflow.

    :param kind: ``metrics``, ``parameters``, ``tags``, ``inputs``, ``file`` or ``end``.
    :param values: what the kind needs.
    :param end: where the event ends in the file.
    """

    kind: str
    values: dict[str, Any]
    end: int


class Spool:
    """One run's folder.

    :param path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, tracking: Tracking, key: str, name: str, tags: Mapping[str, str], parent: Path | None = None
    ) -> Spool:
        """The spool of a run; one of the same key that an earlier process left goes on."""
        identity = files.digest_text(files.canonical_json([destination_of(tracking), tracking.experiment, key]))
        spool = cls((parent or spools_directory()) / identity[:32])
        (spool.path / _FILES).mkdir(parents=True, exist_ok=True)
        if not (spool.path / _HEADER).exists():
            header = {
                "version": 1,
                "destination": destination_of(tracking),
                "experiment": tracking.experiment,
                "artifact_location": tracking.artifact_location,
                "key": key,
                "name": name,
                "tags": dict(tags),
                "started": now(),
            }
            files.write_json(spool.path / _HEADER, header)
        return spool

    @property
    def header(self) -> dict[str, Any]:
        """Whose run it is."""
        found: dict[str, Any] = json.loads((self.path / _HEADER).read_text(encoding="utf-8"))
        return found

    @property
    def sent(self) -> dict[str, Any]:
        """How far MLflow knows: ``offset`` in the file, ``run_id`` and ``experiment_id``."""
        try:
            found: dict[str, Any] = json.loads((self.path / _SENT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"offset": 0, "run_id": "", "experiment_id": ""}
        return found

    def set_sent(self, **changes: Any) -> None:
        """Note how far MLflow knows."""
        files.write_json(self.path / _SENT, {**self.sent, **changes})

    def unsent(self) -> int:
        """Bytes of events that MLflow does not know."""
        events = self.path / _EVENTS
        return max(0, events.stat().st_size - int(self.sent["offset"])) if events.exists() else 0

    def events(self, offset: int) -> Iterator[Event]:
        """The events from `offset` on; a line that is being written is left for the next time."""
        events = self.path / _EVENTS
        if not events.exists():
            return
        with events.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                try:
                    document = json.loads(line)
                except ValueError:
                    # The process was killed in the middle of a line, and the next one has ended it.
                    continue
                yield Event(document.pop("kind"), document, offset)

    @contextmanager
    def locked(self, name: str) -> Iterator[bool]:
        """Whether the lock `name` was free; held until the block ends, or until the process does."""
        with (self.path / f"{name}.lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def remove(self) -> None:
        """MLflow knows it all."""
        shutil.rmtree(self.path, ignore_errors=True)


class SpoolWriter:
    """The end of a spool that a run writes to. Writing takes microseconds and never fails for MLflow's sake.

    :param spool: the spool.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._files = 0
        path = spool.path / _EVENTS
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        self._file: IO[bytes] = path.open("ab", buffering=0)
        if torn:
            self._file.write(b"\n")

    def write(self, kind: str, **values: Any) -> None:
        """Append an event."""
        line = json.dumps({"kind": kind, **values}, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._file.write(line)

    def keep_file(self, path: Path) -> str:
        """Copy a file or folder into the spool, and return its name there."""
        with self._lock:
            self._files += 1
            name = f"{time.time_ns()}-{self._files}"
        target = self._spool.path / _FILES / name / path.name
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy2(path, target)
        return f"{_FILES}/{name}/{path.name}"

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()


def left_spools(tracking: Tracking, parent: Path | None = None) -> Sequence[Spool]:
    """Spools of this MLflow on this machine."""
    folder = parent or spools_directory()
    found = [Spool(path.parent) for path in sorted(folder.glob(f"*/{_HEADER}"))]
    return [spool for spool in found if spool.header["destination"] == destination_of(tracking)]


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
