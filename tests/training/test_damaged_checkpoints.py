"""A checkpoint that is damaged is passed over, by all processes alike, and stands in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from airflow_provider_mlfeat.training.checkpoint import DESCRIPTION, Checkpoints
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.splits import training_data
from airflow_provider_mlfeat.training.trainer import train
from tests.training.datasets import make_dataset


def save(checkpoints: Checkpoints, steps: int) -> None:
    checkpoints.save(steps, {"best_epoch": 0, "steps": steps}, {"weights": torch.full((2,), steps)})


def steps_of(checkpoints: Checkpoints) -> int:
    found = checkpoints.newest()
    assert found is not None
    return int(found.position["steps"])


@pytest.mark.parametrize("damage", ["cut description", "no description", "cut state", "no state"])
def test_a_run_goes_on_behind_a_damaged_checkpoint(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, {"seed": 1}, Group())
    for steps in (10, 20, 30):
        save(checkpoints, steps)
    newest = tmp_path / f"step-{30:012d}"
    file = newest / (DESCRIPTION if "description" in damage else "state-0.pt")
    if damage.startswith("cut"):
        file.write_bytes(file.read_bytes()[:10])
    else:
        file.unlink()
    assert steps_of(checkpoints) == 20
    save(checkpoints, 25)
    assert steps_of(checkpoints) == 25
    save(checkpoints, 40)
    assert steps_of(checkpoints) == 40


def test_processes_go_on_from_the_same_checkpoint(tmp_path: Path) -> None:
    rows = training_data(make_dataset(tmp_path / "dataset", rows=1_500))
    settings = TrainSettings(
        hidden_layers=(4,), epochs=2, patience=0, batch_size=256, threads=1, device="cpu", processes=2,
        checkpoint_steps=3,
    )  # fmt: skip
    folder = tmp_path / "checkpoints"
    first = train(rows, settings, checkpoint_directory=folder)
    before, newest = sorted(folder.glob("step-*"))
    damaged = newest / "state-1.pt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    again = train(rows, settings, checkpoint_directory=folder)
    assert again.resumed_from == int(before.name.removeprefix("step-")) < first.steps
    assert again.steps == first.steps
