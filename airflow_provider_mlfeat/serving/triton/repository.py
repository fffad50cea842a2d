"""The model repository: what Triton reads, written so that it never sees half of anything.

<repository>/<model>/config.pbtxt             the configuration that a restarted server loads
<repository>/<model>/<version>/               one version's files and its manifest, .mlfeat.json
<repository>/<model>/0/state.json             what is live, what is loaded, and what happened
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.serving.triton.configuration import to_text
from airflow_provider_mlfeat.serving.triton.live_state import LiveState
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel
from airflow_provider_mlfeat.serving.triton.places import VERSION_MANIFEST, LocalPlace, ObjectPlace, Place

# A folder that Triton takes for a version that it never loads. Under any other name a change in it would make Triton
# load every version anew at the next call, also those that serve: it looks at the times of all that is no version.
_STATE = "0/state.json"
_CONFIGURATION = "config.pbtxt"
_SCHEMES = ("s3://", "gs://")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class ModelRepository:
    """A model repository on a local disk, a shared volume or an object store.

    :param location: its folder, the folder's ``file://`` address, or a prefix such as ``s3://bucket/models``.
    :param storage_options: access to an object store, as the tables take it; never shown.
    """

    def __init__(self, location: str, storage_options: Mapping[str, str] | None = None) -> None:
        path = location.removeprefix("file://")
        if not path:
            raise UserError("no model repository: set the field 'model_repository' of the connection, or the argument")
        if "://" in path and not path.startswith(_SCHEMES):
            raise UserError(
                f"the model repository is a folder, a shared volume or a prefix of s3:// or gs://, not '{location}'"
            )
        self.location = path.rstrip("/") if "://" in path else str(Path(path).absolute())
        self._storage_options = dict(storage_options or {})

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine's file system."""
        return "://" not in self.location

    def model(self, name: str) -> ModelDirectory:
        """A model's part of the repository.

        :param name: its name in Triton.
        """
        if not _NAME.fullmatch(name):
            raise UserError(f"'{name}' cannot name a model: letters, digits, '_', '-' and '.' can")
        return ModelDirectory(self, name, self._place(name))

    def models(self) -> list[str]:
        """The models that this provider has written."""
        if self.is_local:
            return sorted(path.parent.parent.name for path in Path(self.location).glob(f"*/{_STATE}"))
        place = ObjectPlace(self.location, self._storage_options)
        return sorted(name.removesuffix(f"/{_STATE}") for name in place.names("") if name.endswith(f"/{_STATE}"))

    def _place(self, name: str) -> Place:
        if self.is_local:
            return LocalPlace(Path(self.location) / name)
        return ObjectPlace(f"{self.location}/{name}", self._storage_options)


class ModelDirectory:
    """One model in the repository.

    :param repository: the repository.
    :param name: the model's name.
    :param place: where it lies.
    """

    def __init__(self, repository: ModelRepository, name: str, place: Place) -> None:
        self.repository = repository
        self.name = name
        self.place = place

    @property
    def path(self) -> Path:
        """The folder of a model that has one."""
        return Path(self.repository.location) / self.name

    def versions(self) -> list[int]:
        """The versions that are there."""
        return self.place.versions()

    def manifest(self, version: int) -> dict[str, Any] | None:
        """What a version is made of; None when it is not there.

        :param version: the version.
        """
        text = self.place.read(f"{version}/{VERSION_MANIFEST}")
        if text is None:
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
        earlier = self.manifest(version)
        if earlier is not None:
            if (earlier["model_fingerprint"], earlier["backend"]) != (model.fingerprint, backend):
                raise UserError(
                    f"version {version} of '{self.name}' is in the repository with another model or backend "
                    f"({earlier['model_fingerprint'][:12]}, {earlier['backend']}): deploy this one under a new version"
                )
            return False
        if self.place.holds(version):
            raise UserError(
                f"{self.place}/{version} was not written by this provider: remove it, or deploy another version"
            )

        def fill(folder: Path) -> None:
            digests = {}
            for name, source in model.files_for(backend).items():
                check()
                shutil.copyfile(source, folder / name)
                model.require_intact(name, folder / name)
                digests[name] = model.manifest["files"][name]
            if backend == "python":
                shutil.copyfile(model.backend_file, folder / "model.py")
                # Where Python would keep compiled code: a folder that changes makes Triton load the version anew at
                # the next call, although nothing about it is different.
                (folder / "__pycache__").touch()
            manifest = self._described(version, model, backend, digests, origin)
            (folder / VERSION_MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")

        self.place.put(version, fill, check)
        return True

    def _described(
        self, version: int, model: ServedModel, backend: str, digests: dict[str, str], origin: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
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

    def remove_version(self, version: int) -> None:
        """Take a version away; no server may hold it any more.

        :param version: the version.
        """
        self.place.drop(version)

    def state(self) -> LiveState:
        """What is live; of a model that was never deployed, nothing."""
        where = f"{self.place}/{_STATE}"
        text = self.place.read(_STATE)
        if text is None:
            return LiveState(self.name)
        try:
            document = json.loads(text)
        except ValueError as error:
            raise UserError(f"{where} is no JSON: {error}") from None
        return LiveState.parse(document, where)

    def write_state(self, state: LiveState) -> None:
        """Record what is live, for routers, and for servers that restart.

        :param state: the state.
        """
        if state.live is not None:
            self.place.write(_CONFIGURATION, to_text(state.configuration))
        self.place.write(_STATE, json.dumps(state.document(), indent=1, sort_keys=True) + "\n")

    def forget_configuration(self) -> None:
        """A server that restarts does not load the model."""
        self.place.remove(_CONFIGURATION)

    def locked(self, wait_seconds: float, check: Callable[[], None], waiting: Callable[[str], None]) -> Any:
        """One roll-out at a time.

        :param wait_seconds: how long to wait for another one.
        :param check: called while waiting, to stop a cancelled job.
        :param waiting: told once who holds the lock.
        :raises TransientError: the other one took too long.
        """
        return self.place.locked(wait_seconds, check, waiting)
