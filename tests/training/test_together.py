"""Two processes that share batches, and then the table too, end where one process ends."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_provider_mlfeat.errors import CancelledError, JobFailedError, TransientError, UserError
from airflow_provider_mlfeat.training import member, together
from airflow_provider_mlfeat.training.examples import TrainingData
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.splits import training_data
from airflow_provider_mlfeat.training.trainer import train
from tests.training.datasets import make_dataset
from tests.training.rows import data
from tests.training.test_trainer import Watching

BASE: dict[str, Any] = {
    "hidden_layers": (16, 8), "epochs": 2, "patience": 0, "batch_size": 256, "learning_rate": 5e-3, "threads": 1,
    "clip_norm": 0.5, "device": "cpu", "precision": "fp32",
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return training_data(make_dataset(tmp_path_factory.mktemp("together") / "dataset", rows=3_000))


@pytest.mark.parametrize("table", ["copy", "rows"])
def test_two_processes_end_where_one_does(rows: TrainingData, table: str, tmp_path: Path) -> None:
    alone = train(rows, TrainSettings(**BASE))
    watching = Watching()
    chosen = {**BASE, "processes": 2, "table": table, "checkpoint_steps": 3}
    both = train(rows, TrainSettings(**chosen), watching, watching, tmp_path)
    np.testing.assert_allclose(both.logits(rows.valid), alone.logits(rows.valid), atol=1e-3)
    assert [epoch.steps for epoch in both.epochs] == [epoch.steps for epoch in alone.epochs]
    for ours, theirs in zip(both.epochs, alone.epochs, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=1e-4)
        assert ours.valid_auc == pytest.approx(theirs.valid_auc, abs=2e-3)
    assert [name for name, _ in watching.stages] == ["epoch 1/2", "epoch 2/2"]
    if table == "rows":
        longer = train(rows, TrainSettings(**{**chosen, "epochs": 3}), None, None, tmp_path)
        assert longer.resumed_from == both.steps
        assert len(longer.epochs) == 3


def members(*commands: str) -> list[subprocess.Popen[str]]:
    """Processes that stand for members."""
    return [subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) for command in commands]


def test_an_error_of_a_process_is_told_as_what_it_is(rows: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(work: Path, processes: int) -> list[subprocess.Popen[str]]:
        assert processes == 2
        error = {"type": "TransientError", "message": "the device or a process of the group failed: no answer"}
        (work.parent / "error-1.json").write_text(json.dumps(error))
        return members("exec sleep 60", "exit 75")

    monkeypatch.setattr(together, "_start", start)
    with pytest.raises(TransientError, match="failed: no answer"):
        train(rows, TrainSettings(**BASE, processes=2))


def test_a_process_that_dies_without_a_word(rows: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_start", lambda *_: members("exec sleep 60", "kill -9 $$"))
    with pytest.raises(JobFailedError, match="without a word \\(process: exit status 1: -9\\)"):
        train(rows, TrainSettings(**BASE, processes=2))


def test_stopping_ends_all_processes(rows: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    started = members("exec sleep 60", "exec sleep 60")
    monkeypatch.setattr(together, "_start", lambda *_: started)
    watching = Watching(stop_after=1)
    with pytest.raises(CancelledError):
        train(rows, TrainSettings(**BASE, processes=2), watching, watching)
    assert [member.returncode for member in started] == [-signal.SIGTERM] * 2


def test_a_member_trains_and_leaves_the_model(rows: TrainingData, tmp_path: Path, monkeypatch: Any) -> None:
    """What each process runs, here as a group of one; and its refusal as a file for whoever started it."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    work = tmp_path / "work.json"
    document = {"dataset": str(rows.folder), "settings": BASE, "checkpoints": str(tmp_path / "checkpoints")}
    work.write_text(json.dumps(document))
    assert member.main(work) == 0
    story = json.loads((tmp_path / member.STORY).read_text())
    assert story["steps"] == train(rows, TrainSettings(**BASE)).steps
    assert (tmp_path / member.WEIGHTS).stat().st_size > 0
    work.write_text(json.dumps({**document, "settings": {**BASE, "field_sizes": {"nowhere": 2}}}))
    assert member.main(work) == 2
    assert json.loads((tmp_path / "error-0.json").read_text())["type"] == "UserError"


def test_processes_need_a_folder_to_read_from() -> None:
    with pytest.raises(UserError, match="several processes train from a dataset's folder"):
        train(data(), TrainSettings(**BASE, processes=2))
