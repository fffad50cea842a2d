"""One process of a group that trains together: ``python -m airflow_provider_mlfeat.training.member WORK.json``.

`together.py` starts as many as there are on one machine; torchrun can start them on several, with the same file. The
first member tells its progress as JSON lines on standard output and leaves the trained model in the working folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.errors import MlfeatError
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.reporting import Silence
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.splits import training_data
from airflow_provider_mlfeat.training.trained import Trained
from airflow_provider_mlfeat.training.trainer import train

WEIGHTS, STORY = "trained.pt", "trained.json"


class Telling(Silence):
    """Progress as JSON lines on standard output, each with the name of what was called and its arguments."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        """A new stage begins."""
        _tell("stage", name=name, total=total, unit=unit)

    def advance(self, amount: float = 1) -> None:
        """So many more units are done."""
        _tell("advance", amount=amount)

    def metric(self, **values: float | int | str) -> None:
        """The latest value of metrics."""
        _tell("metric", **values)


def _tell(what: str, **arguments: Any) -> None:
    sys.stdout.write(json.dumps({"call": what, "arguments": arguments}) + "\n")
    sys.stdout.flush()


def main(work: Path) -> int:
    """Train as one of the group; the exit status."""
    document = json.loads(work.read_text(encoding="utf-8"))
    group = Group.join()
    try:
        trained = train(
            training_data(Dataset.open(document["dataset"])),
            TrainSettings.model_validate_json(json.dumps(document["settings"])),
            Telling() if group.is_first else None,
            None,
            Path(document["checkpoints"]),
            group,
        )
        if group.is_first:
            leave(trained, work.parent)
        group.wait()
    except MlfeatError as error:
        story = {"type": type(error).__name__, "message": str(error)}
        files.write_json(work.parent / f"error-{group.rank}.json", story)
        return error.exit_code
    finally:
        group.leave()
    return 0


def leave(trained: Trained, folder: Path) -> None:
    """Write the model and the story of the run."""
    with files.staged_file(folder / WEIGHTS) as staging:
        torch.save(trained.model.state_dict(), staging)
    files.write_json(folder / STORY, trained.story())


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
