"""Where a run stands, on disk: whole or not there, and refused when it belongs to another run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.settings import TrainSettings

log = logging.getLogger("mlfeat.job")

VERSION = 1
KEPT = 2
DESCRIPTION = "checkpoint.json"
# Where and how long a run goes on changes nothing in what its weights mean.
FREE = (
    "epochs", "max_steps", "patience", "min_delta", "device", "precision", "capture", "compile", "threads", "resident",
    "checkpoint_steps", "checkpoint_minutes",
)  # fmt: skip


def identity(settings: TrainSettings, layout: FieldLayout, dataset: str, processes: int) -> dict[str, Any]:
    """What has to be equal for a run to go on from another's checkpoint; plain JSON."""
    chosen = settings.model_dump(mode="json", exclude=set(FREE))
    return {**chosen, "fields": layout.to_document(), "dataset": dataset, "processes": processes}


@dataclass(frozen=True)
class Found:
    """A checkpoint that was read.

    :param position: where the run stood.
    :param state: tensors by name, and what optimisers and random generators remember.
    """

    position: dict[str, Any]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, and its best weights.

    :param directory: of this run alone.
    :param belongs_to: the run's identity.
    :param group: the processes that write, each its own part.
    """

    def __init__(self, directory: Path, belongs_to: Mapping[str, Any], group: Group) -> None:
        self.directory = directory
        self._belongs_to = json.loads(json.dumps(belongs_to))
        self._group = group

    def save(self, steps: int, position: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Write a checkpoint; older ones but the last go, and with them weights that nothing names any more."""
        target = self.directory / f"step-{steps:012d}"
        staging = Path(self._group.agree(str(files.staging_path(target))))
        if self._group.is_first:
            staging.mkdir()
        self._group.wait()
        part = staging / self._part
        torch.save(dict(state), part)
        digest = files.digest_file(part)
        (staging / f"{self._part}.sha256").write_text(digest)
        self._group.wait()
        if self._group.is_first:
            document = {"version": VERSION, "run": self._belongs_to, "position": dict(position)}
            files.write_json(staging / DESCRIPTION, document)
            files.remove(target)
            staging.rename(target)
            self._forget(target, str(position.get("best_epoch")))
        self._group.wait()

    def newest(self) -> Found | None:
        """The newest checkpoint that is whole, on all processes the same; None where there is none.

        Raises UserError for another run's.
        """
        for folder in self._group.agree(self._folders()):
            document = self._whole(folder)
            if not self._group.every(document is not None):
                log.warning("checkpoint %s is damaged and passed over", folder)
                continue
            assert document is not None
            self._compare(folder, document)
            part = folder / self._part
            return Found(document["position"], torch.load(part, map_location="cpu", weights_only=True, mmap=True))
        return None

    def _whole(self, folder: Path) -> dict[str, Any] | None:
        """The description of a checkpoint whose part of this process is what was written; None when it is damaged."""
        part, document = folder / self._part, _described(folder)
        try:
            whole = files.digest_file(part) == part.with_name(f"{self._part}.sha256").read_text()
        except (OSError, ValueError):
            return None
        return document if whole else None

    def save_best(self, epoch: int, weights: Mapping[str, Any]) -> None:
        """Write the weights of the best epoch so far."""
        with files.staged_file(self._best(epoch)) as staging:
            torch.save(dict(weights), staging)

    def load_best(self, epoch: int) -> list[dict[str, Any]]:
        """The best epoch's weights: the parts of all processes in order."""
        self._group.wait()
        paths = [self._best(epoch, rank) for rank in range(self._group.size)]
        return [torch.load(path, map_location="cpu", weights_only=True, mmap=True) for path in paths]

    @property
    def _part(self) -> str:
        return f"state-{self._group.rank}.pt"

    def _best(self, epoch: int, rank: int | None = None) -> Path:
        return self.directory / f"best-{epoch:06d}-{self._group.rank if rank is None else rank}.pt"

    def _folders(self) -> list[Path]:
        return sorted(self.directory.glob("step-*"), reverse=True)

    def _forget(self, saved: Path, best: str) -> None:
        needed, kept = {best}, 0
        for folder in self._folders():
            description = _described(folder)
            # The run went on from before what is newer, because that was damaged.
            if description is None or folder.name > saved.name or kept == KEPT:
                files.remove(folder)
            else:
                kept += 1
                needed.add(str(description.get("position", {}).get("best_epoch")))
        for weights in self.directory.glob("best-*.pt"):
            if str(int(weights.name.split("-")[1])) not in needed:
                files.remove(weights)

    def _compare(self, folder: Path, document: Mapping[str, Any]) -> None:
        if document.get("version") != VERSION:
            raise UserError(f"checkpoint {folder} was written by another release: train anew in another directory")
        theirs = document["run"]
        for name, mine in self._belongs_to.items():
            if theirs.get(name) != mine:
                raise UserError(
                    f"checkpoint {folder} belongs to another run: {name} is {_short(theirs.get(name))} there and"
                    f" {_short(mine)} here; take the same settings and dataset, or another checkpoint directory"
                )


def _described(folder: Path) -> dict[str, Any] | None:
    """What a checkpoint says of itself; None where it cannot be read."""
    try:
        document = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
