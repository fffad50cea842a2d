"""What each worker of a server answers with, where all of its workers see it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files

FOLDER_VARIABLE = "MLFEAT_SERVER_WORKERS"


class Workers:
    """The workers of one server, on one machine.

    A caller reaches any one of them. Whether a release is live everywhere can be told by each, because each notes in a
    folder what it answers with.

    :param folder: that all workers share; None for a server of one process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._mine: dict[str, Any] = {}

    @classmethod
    def of_environment(cls) -> Workers:
        """Those of the folder that the starting process has made, if it did."""
        folder = os.environ.get(FOLDER_VARIABLE)
        return cls(Path(folder) if folder else None)

    def note(self, releases: Mapping[str, int], failures: Mapping[str, str]) -> None:
        """Tell what this worker answers with.

        :param releases: number of the live release of each service.
        :param failures: why a service's newest release does not answer here.
        """
        self._mine = {"process": os.getpid(), "releases": dict(releases), "failures": dict(failures)}
        if self._folder is not None:
            files.write_json(self._folder / f"{os.getpid()}.json", self._mine)

    def all(self) -> list[dict[str, Any]]:
        """What the workers that live answer with."""
        if self._folder is None:
            return [self._mine] if self._mine else []
        return [found for path in sorted(self._folder.glob("*.json")) if (found := _read(path)) is not None]

    def leave(self) -> None:
        """This worker answers no more."""
        if self._folder is not None:
            (self._folder / f"{os.getpid()}.json").unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """A worker's note; None for one that is gone, whether it took its leave or not."""
    try:
        os.kill(int(path.stem), 0)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        # Its number may be that of somebody else's process by now.
        return None
    return found


def missing(workers: list[dict[str, Any]], service: str, number: int) -> list[str]:
    """Why workers do not answer with a release: one reason for each such worker.

    :param workers: what they answer with.
    :param service: of the release.
    :param number: of the release.
    """
    if not workers:
        return ["no worker has read the store yet"]
    return [
        one["failures"].get(service) or f"it answers with release {one['releases'].get(service, 'none')}"
        for one in workers
        if one["releases"].get(service) != number
    ]
