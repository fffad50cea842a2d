"""The model repository: what Triton reads, written so that it never sees half of anything.

<repository>/<model>/config.pbtxt             the configuration that a restarted server loads
<repository>/<model>/<version>/               one version's files and its manifest, .mlfeat.json
<repository>/<model>/0/state.json             what is live, what is loaded, and what happened
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.serving.triton.configuration import to_text
from airflow_provider_mlfeat.serving.triton.live_state import LiveState
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel

VERSION_MANIFEST = ".mlfeat.json"
# A folder that Triton takes for a version that it never loads. Under any other name a change in it would make Triton
# load every version anew at the next call, also those that serve: it looks at the times of all that is no version.
_OURS = "0"
_STATE = "state.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LOOK_SECONDS = 0.1


class ModelRepository:
    """A model repository on a local disk or a shared volume.

    :param location: its folder, or the folder's ``file://`` address.
    """

    def __init__(self, location: str) -> None:
        path = location.removeprefix("file://")
        if not path:
            raise UserError("no model repository: set the field 'model_repository' of the connection, or the argument")
        if "://" in path:
            raise UserError(f"the model repository is a local folder or a shared volume, not '{location}'")
        self.root = Path(path).absolute()

    def model(self, name: str) -> ModelDirectory:
        """A model's part of the repository.

        :param name: its name in Triton.
        """
        if not _NAME.fullmatch(name):
            raise UserError(f"'{name}' cannot name a model: letters, digits, '_', '-' and '.' can")
        return ModelDirectory(self.root / name)

    def models(self) -> list[str]:
        """The models that this provider has written."""
        return sorted(path.parent.parent.name for path in self.root.glob(f"*/{_OURS}/{_STATE}"))


class ModelDirectory:
    """One model in the repository.

    :param path: its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def versions(self) -> list[int]:
        """The versions that are there."""
        return sorted(int(path.parent.name) for path in self.path.glob(f"[1-9]*/{VERSION_MANIFEST}"))

    def manifest(self, version: int) -> dict[str, Any] | None:
        """What a version is made of; None when it is not there.

        :param version: the version.
        """
        try:
            text = (self.path / str(version) / VERSION_MANIFEST).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        document: dict[str, Any] = json.loads(text)
        return document

    def write_version(
        self, version: int, model: ServedModel, backend: str, origin: Mapping[str, Any], check: Callable[[], None]
    ) -> bool:
        """Put a version into the repository; tells whether it was not there before.

        :param version: the version.
        :param model: the trained model.
        :param backend: which backend serves it.
        :param origin: where the model comes from, for its manifest.
        :param check: called between files, to stop a cancelled job.
        :raises UserError: the version is there with another model.
        """
        target = self.path / str(version)
        earlier = self.manifest(version)
        if earlier is not None:
            if (earlier["model_fingerprint"], earlier["backend"]) != (model.fingerprint, backend):
                raise UserError(
                    f"version {version} of '{self.name}' is in the repository with another model or backend "
                    f"({earlier['model_fingerprint'][:12]}, {earlier['backend']}): deploy this one under a new version"
                )
            return False
        if target.exists():
            raise UserError(f"{target} was not written by this provider: remove it, or deploy another version")
        with explained(self.path), files.staged_directory(target) as staging:
            digests = {}
            for name, source in model.files_for(backend).items():
                check()
                shutil.copyfile(source, staging / name)
                model.require_intact(name, staging / name)
                digests[name] = model.manifest["files"][name]
            if backend == "python":
                shutil.copyfile(model.backend_file, staging / "model.py")
                # Where Python would keep compiled code: a folder that changes makes Triton load the version anew at
                # the next call, although nothing about it is different.
                (staging / "__pycache__").touch()
            manifest = {
                "format": 1,
                "model": self.name,
                "version": version,
                "model_fingerprint": model.fingerprint,
                "encoder_fingerprint": model.manifest.get("encoder_fingerprint"),
                "plan_id": model.manifest.get("plan_id"),
                "kind": model.manifest.get("kind"),
                "backend": backend,
                "inputs": model.manifest["inputs"],
                "outputs": model.manifest["outputs"],
                "files": digests,
                "origin": dict(origin),
                "written_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            (staging / VERSION_MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
            # Triton may run as another user than the one who writes.
            staging.chmod(0o755)
        return True

    def remove_version(self, version: int) -> None:
        """Take a version away; no server may hold it any more.

        :param version: the version.
        """
        folder = self.path / str(version)
        if not folder.exists():
            return
        # Out of Triton's sight in one step, before the first file goes.
        leaving = files.staging_path(folder)
        folder.rename(leaving)
        files.remove(leaving)

    def state(self) -> LiveState:
        """What is live; of a model that was never deployed, nothing."""
        place = self.path / _OURS / _STATE
        try:
            document = json.loads(place.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return LiveState(self.name)
        except ValueError as error:
            raise UserError(f"{place} is no JSON: {error}") from None
        return LiveState.parse(document, str(place))

    def write_state(self, state: LiveState) -> None:
        """Record what is live, for routers, and for servers that restart.

        :param state: the state.
        """
        with explained(self.path):
            if state.live is not None:
                with files.staged_file(self.path / "config.pbtxt") as staging:
                    staging.write_text(to_text(state.configuration), encoding="utf-8")
                    staging.chmod(0o644)
            files.write_json(self.path / _OURS / _STATE, state.document())

    @contextlib.contextmanager
    def locked(self, wait_seconds: float, check: Callable[[], None], waiting: Callable[[str], None]) -> Iterator[None]:
        """One roll-out at a time; a process that dies holds nothing.

        :param wait_seconds: how long to wait for another one.
        :param check: called while waiting, to stop a cancelled job.
        :param waiting: told once who holds the lock.
        :raises TransientError: the other one took too long.
        """
        with explained(self.path):
            (self.path / _OURS).mkdir(parents=True, exist_ok=True)
            lock = (self.path / _OURS / "lock").open("a+", encoding="utf-8")
        with lock:
            deadline, told = time.monotonic() + wait_seconds, False
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pass
                lock.seek(0)
                holder = lock.read().strip() or "another process"
                if time.monotonic() >= deadline:
                    raise TransientError(
                        f"another roll-out of '{self.name}' was not done within {wait_seconds:g} s ({holder})"
                    )
                if not told:
                    told = True
                    waiting(holder)
                check()
                time.sleep(_LOOK_SECONDS)
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
            lock.flush()
            yield


@contextlib.contextmanager
def explained(place: Path) -> Iterator[None]:
    """Failures to write, as sentences.

    :param place: what is written to.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TransientError(f"the model repository has no space for {place}: {reason}") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(f"the model repository cannot be written to at {place}: {reason}") from None
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise UserError(f"{place} is not a folder of a model repository: {reason}") from None
        raise
