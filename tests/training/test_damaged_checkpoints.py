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


def test_a_run_that_began_anew_keeps_its_checkpoints(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {"seed": 1}, Group())
    for steps in (10, 20, 30):
        save(checkpoints, steps)
    for part in tmp_path.glob("step-*/state-0.pt"):
        part.write_bytes(b"")
    assert checkpoints.newest() is None
    save(checkpoints, 5)
    assert steps_of(checkpoints) == 5
    assert [folder.name for folder in tmp_path.glob("step-*")] == [f"step-{5:012d}"]


def test_so_do_trees(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    from airflow_provider_mlfeat.training.gradient_boosting.checkpoint import TREES, TreeCheckpoints

    data = xgboost.DMatrix([[0.0], [1.0]], label=[0, 1])
    booster = xgboost.train({"objective": "binary:logistic"}, data, num_boost_round=1)
    checkpoints = TreeCheckpoints(tmp_path, {"seed": 1})
    for trees in (2, 3):
        checkpoints.save(booster, [{}] * trees, 1.0)
    for file in tmp_path.glob(f"trees-*/{TREES}"):
        file.write_bytes(b"")
    assert checkpoints.newest() is None
    checkpoints.save(booster, [{}], 1.0)
    found = checkpoints.newest()
    assert found is not None
    assert len(found.epochs) == 1


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
