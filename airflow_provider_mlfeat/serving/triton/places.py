"""Where a model's part of the repository lies: a folder of a disk or a shared volume, or a prefix of an object store.

Either way a version appears whole: a folder is renamed into place; in an object store its manifest comes last, and no
server is told to load a version before that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import MlfeatError, TransientError, UserError

VERSION_MANIFEST = ".mlfeat.json"
_LOOK_SECONDS = 0.1
# In an object store: how long to wait until another one's lock would have been seen, and how long a lock is believed
# whose holder does not renew it.
_SETTLE_SECONDS, _RENEW_SECONDS, _STALE_SECONDS = 0.5, 10.0, 60.0
_PART_BYTES = 8 << 20

Check = Callable[[], None]


class Place(Protocol):
    """What a model's directory needs of where it lies. Names are relative, with ``/``."""

    def __str__(self) -> str: ...

    def read(self, name: str) -> str | None:
        """A file's text; None when it is not there."""

    def write(self, name: str, text: str) -> None:
        """Put a file there, in one step."""

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""

    def versions(self) -> list[int]:
        """The versions that are there as a whole."""

    def holds(self, version: int) -> bool:
        """Whether anything is where a version belongs."""

    def put(self, version: int, fill: Callable[[Path], None], check: Check) -> None:
        """Put a version there: `fill` writes its files into an empty folder."""

    def drop(self, version: int) -> None:
        """Take a version away."""

    def locked(self, wait_seconds: float, check: Check, waiting: Callable[[str], None]) -> Any:
        """A context in which nobody else changes what is live."""


class LocalPlace:
    """A folder.

    :param path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, text: str) -> None:
        with explained(self.path), files.staged_file(self.path / name) as staging:
            staging.write_text(text, encoding="utf-8")
            # Triton may run as another user than the one who writes.
            staging.chmod(0o644)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def versions(self) -> list[int]:
        names = (path.parent.name for path in self.path.glob(f"[1-9]*/{VERSION_MANIFEST}"))
        return sorted(int(name) for name in names if _is_version(name))

    def holds(self, version: int) -> bool:
        return (self.path / str(version)).exists()

    def put(self, version: int, fill: Callable[[Path], None], check: Check) -> None:
        with explained(self.path), files.staged_directory(self.path / str(version)) as staging:
            fill(staging)
            staging.chmod(0o755)

    def drop(self, version: int) -> None:
        folder = self.path / str(version)
        if not folder.exists():
            return
        # Out of Triton's sight in one step, before the first file goes.
        leaving = files.staging_path(folder)
        folder.rename(leaving)
        files.remove(leaving)

    @contextlib.contextmanager
    def locked(self, wait_seconds: float, check: Check, waiting: Callable[[str], None]) -> Iterator[None]:
        """A process that dies holds nothing."""
        with explained(self.path):
            (self.path / "0").mkdir(parents=True, exist_ok=True)
            lock = (self.path / "0" / "lock").open("a+", encoding="utf-8")
        with lock:
            patience = _Patience(str(self.path), wait_seconds, check, waiting)
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    lock.seek(0)
                    patience.wait(lock.read().strip() or "another process")
            lock.truncate(0)
            lock.write(_holder() + "\n")
            lock.flush()
            yield


class ObjectPlace:
    """A prefix of an object store.

    :param uri: the prefix, such as ``s3://bucket/models/jd``.
    :param storage_options: access to the store, as the tables take it; never shown.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str]) -> None:
        from airflow_provider_mlfeat.tables.store import filesystem

        self.uri = uri
        self._seen: tuple[dict[str, Any], float] = ({}, 0.0)
        # When the lock that is held here was last renewed.
        self._renewed: float | None = None
        self._system = filesystem(uri, storage_options)

    def __str__(self) -> str:
        return self.uri

    def read(self, name: str) -> str | None:
        with self._explained("reading", name):
            try:
                with self._system.open_input_stream(name) as stream:
                    return bytes(stream.read()).decode()
            except FileNotFoundError:
                return None

    def write(self, name: str, text: str) -> None:
        self._require_lock(f"'{self.uri}/{name}' is not written")
        with self._explained("writing", name), self._system.open_output_stream(name) as stream:
            stream.write(text.encode())

    def remove(self, name: str) -> None:
        with self._explained("removing", name), contextlib.suppress(FileNotFoundError):
            self._system.delete_file(name)

    def versions(self) -> list[int]:
        found = (name.split("/") for name in self.names(""))
        return sorted(int(parts[0]) for parts in found if parts[1:] == [VERSION_MANIFEST] and _is_version(parts[0]))

    def holds(self, version: int) -> bool:
        """Files without a manifest are what a killed roll-out left; they are written over."""
        return False

    def put(self, version: int, fill: Callable[[Path], None], check: Check) -> None:
        with tempfile.TemporaryDirectory(prefix="mlfeat-version-") as folder:
            fill(Path(folder))
            found = sorted(path for path in Path(folder).iterdir() if path.stat().st_size)
            for path in sorted(found, key=lambda path: path.name == VERSION_MANIFEST):
                check()
                self._upload(path, f"{version}/{path.name}")

    def drop(self, version: int) -> None:
        self._require_lock(f"'{self.uri}/{version}' is not removed")
        # Without its manifest it is no version any more.
        for name in sorted(self.names(str(version)), key=lambda name: not name.endswith(VERSION_MANIFEST)):
            self.remove(name)

    @contextlib.contextmanager
    def locked(self, wait_seconds: float, check: Check, waiting: Callable[[str], None]) -> Iterator[None]:
        """An object with a name in it, which its holder renews; of one that died it is taken over after a minute.

        Who writes last holds it: everybody waits after writing, and looks whose name it is. Whoever was slow may have
        written over the name of a holder that has looked already, and waits until that one would have renewed it.
        """
        token = uuid.uuid4().hex
        patience = _Patience(self.uri, wait_seconds, check, waiting)
        while True:
            looked = time.monotonic()
            while (holder := self._holder(token)) is not None:
                patience.wait(holder)
                looked = time.monotonic()
            self._sign(token)
            was_slow = time.monotonic() - looked > _SETTLE_SECONDS / 2
            time.sleep(2 * _RENEW_SECONDS if was_slow else _SETTLE_SECONDS)
            if self._lock().get("token") == token:
                break
        self._renewed = time.monotonic()
        stop = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(token, stop), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            stop.set()
            renewing.join()
            self._renewed = None
            # What cannot be taken away now is not renewed any more, and not believed for long.
            with contextlib.suppress(MlfeatError):
                if self._lock().get("token") == token:
                    self.remove("0/lock")

    def names(self, below: str) -> list[str]:
        """The names of all objects below a name."""
        from pyarrow import fs

        with self._explained("listing", below):
            selector = fs.FileSelector(below, recursive=True, allow_not_found=True)
            return [info.path for info in self._system.get_file_info(selector) if info.is_file]

    def _upload(self, path: Path, name: str) -> None:
        with (
            self._explained("writing", name),
            path.open("rb") as source,
            self._system.open_output_stream(name) as stream,
        ):
            while part := source.read(_PART_BYTES):
                stream.write(part)

    def _lock(self) -> dict[str, Any]:
        try:
            found = json.loads(self.read("0/lock") or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _holder(self, token: str) -> str | None:
        """Who else holds the lock. Whether it is renewed is seen here, whatever the clocks of others say."""
        lock = self._lock()
        if lock.get("token") in (None, token):
            return None
        if lock != self._seen[0]:
            self._seen = (lock, time.monotonic())
        return str(lock.get("holder")) if time.monotonic() - self._seen[1] <= _STALE_SECONDS else None

    def _sign(self, token: str) -> None:
        self.write("0/lock", json.dumps({"token": token, "holder": _holder(), "at": time.time()}))

    def _renew(self, token: str, stop: threading.Event) -> None:
        while not stop.wait(_RENEW_SECONDS):
            # Nobody waits for a lock that lapsed: another one may hold it.
            if self._has_lapsed():
                return
            with contextlib.suppress(MlfeatError):
                self._sign(token)
                self._renewed = time.monotonic()

    def _require_lock(self, undone: str) -> None:
        if self._has_lapsed():
            raise TransientError(
                f"{undone}: the roll-out's lock was not renewed for {_STALE_SECONDS:g} s, another one may have begun"
            )

    def _has_lapsed(self) -> bool:
        return self._renewed is not None and time.monotonic() - self._renewed > _STALE_SECONDS

    @contextlib.contextmanager
    def _explained(self, doing: str, name: str) -> Iterator[None]:
        from airflow_provider_mlfeat.tables.store import storage_errors

        try:
            with storage_errors(f"{doing} '{self.uri}/{name}'"):
                yield
        except MlfeatError as error:
            raise type(error)(str(error).replace("the root of the tables", "the model repository")) from error


class _Patience:
    """Waiting for somebody else's roll-out, not for ever."""

    def __init__(self, place: str, seconds: float, check: Check, waiting: Callable[[str], None]) -> None:
        self.name, self.seconds = place.rstrip("/").rpartition("/")[2], seconds
        self.deadline, self.check, self.waiting, self.told = time.monotonic() + seconds, check, waiting, False

    def wait(self, holder: str) -> None:
        if time.monotonic() >= self.deadline:
            raise TransientError(f"another roll-out of '{self.name}' was not done within {self.seconds:g} s ({holder})")
        if not self.told:
            self.told = True
            self.waiting(holder)
        self.check()
        time.sleep(_LOOK_SECONDS)


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"


def _is_version(name: str) -> bool:
    return name.isdigit() and not name.startswith("0")


@contextlib.contextmanager
def explained(place: Path) -> Iterator[None]:
    """Failures to write, as sentences.

    :param place: what is written to.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise TransientError(f"the model repository has no space for {place}: {reason}") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(f"the model repository cannot be written to at {place}: {reason}") from None
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise UserError(f"{place} is not a folder of a model repository: {reason}") from None
        raise
