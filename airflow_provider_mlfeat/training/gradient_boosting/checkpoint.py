"""Where boosting stands, on disk: whole or not there, and refused when it belongs to another run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xgboost as xgb

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

log = logging.getLogger("mlfeat.job")

VERSION = 1
KEPT = 2
DESCRIPTION, TREES = "checkpoint.json", "trees.ubj"


@dataclass(frozen=True)
class Found:
    """A checkpoint that is whole.

    :param trees: the file of the trees.
    :param epochs: the metrics after each.
    :param seconds: that they took.
    """

    trees: Path
    epochs: Sequence[Mapping[str, float]]
    seconds: float


class TreeCheckpoints:
    """The checkpoints of one run.

    :param directory: of this run alone.
    :param belongs_to: the run's identity: plain JSON.
    """

    def __init__(self, directory: Path, belongs_to: Mapping[str, Any]) -> None:
        self._directory = directory
        self._belongs_to = json.loads(json.dumps(belongs_to))

    def save(self, booster: xgb.Booster, epochs: Sequence[Mapping[str, float]], seconds: float) -> None:
        """Write a checkpoint; older ones but the last go."""
        target = self._directory / f"trees-{len(epochs):09d}"
        if target.exists():
            # An earlier try wrote it, and it was passed over as damaged.
            files.remove(target)
        with files.staged_directory(target) as folder:
            booster.save_model(str(folder / TREES))
            document = {
                "version": VERSION,
                "run": self._belongs_to,
                "epochs": [dict(one) for one in epochs],
                "seconds": seconds,
                "sha256": files.digest_file(folder / TREES),
            }
            files.write_json(folder / DESCRIPTION, document)
        # The run went on from before what is newer, because that was damaged.
        newer = [folder for folder in self._folders() if folder.name > target.name]
        for folder in (*newer, *self._folders()[len(newer) + KEPT :]):
            files.remove(folder)

    def newest(self) -> Found | None:
        """The newest checkpoint that is whole; None where there is none. Raises UserError for another run's."""
        for folder in self._folders():
            try:
                document = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
                whole = files.digest_file(folder / TREES) == document["sha256"]
            except (OSError, ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                log.warning("checkpoint %s is damaged and passed over", folder)
                continue
            self._compare(folder, document)
            return Found(folder / TREES, document["epochs"], document["seconds"])
        return None

    def _folders(self) -> list[Path]:
        return sorted(self._directory.glob("trees-*"), reverse=True)

    def _compare(self, folder: Path, document: Mapping[str, Any]) -> None:
        if document.get("version") != VERSION:
            raise UserError(f"checkpoint {folder} was written by another release: train anew in another directory")
        theirs = document["run"]
        for name, mine in self._belongs_to.items():
            if theirs.get(name) != mine:
                raise UserError(
                    f"checkpoint {folder} belongs to another run: {name} is not what it was there; take the same "
                    "settings and dataset, or another checkpoint directory"
                )
