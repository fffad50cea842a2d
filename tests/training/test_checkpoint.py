"""A killed run goes on and ends as if nothing had happened; another run's checkpoint is refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import CancelledError, UserError
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.trained import Trained
from airflow_provider_mlfeat.training.trainer import train
from tests.training.rows import LAYOUT, data
from tests.training.test_trainer import Watching, settings

STEPS = 72  # 3 epochs of 24 steps over 1500 rows
CHECKPOINTED: dict[str, Any] = {"checkpoint_steps": 5, "checkpoint_minutes": 0.0, "dropout": 0.2, "clip_norm": 1.0}


def outcome(trained: Trained) -> dict[str, Any]:
    """All that has to be equal: every epoch, every point of the curve, the model."""
    story = trained.story()
    told = [{name: value for name, value in epoch.items() if name not in {"seconds", "rows_per_second"}}
            for epoch in story["epochs"]]  # fmt: skip
    return {
        "epochs": told,
        **{name: story[name] for name in ("best_epoch", "losses", "steps", "stopped")},
        "logits": trained.logits(data().valid).tolist(),
    }


@pytest.fixture(scope="module")
def unbroken() -> dict[str, Any]:
    trained = train(data(), settings(**CHECKPOINTED))
    assert trained.steps == STEPS
    return outcome(trained)


@pytest.mark.parametrize("stop_after", [3, 5, 23, 24, 25, 31, 48, 50, 71])
def test_a_stopped_run_goes_on_to_the_same_end(stop_after: int, tmp_path: Path, unbroken: dict[str, Any]) -> None:
    with pytest.raises(CancelledError):
        train(data(), settings(**CHECKPOINTED), None, Watching(stop_after), tmp_path)
    trained = train(data(), settings(**CHECKPOINTED), checkpoint_directory=tmp_path)
    assert outcome(trained) == unbroken
    assert trained.resumed_from is None or trained.resumed_from > 0


def test_twenty_stops_at_random_steps(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    """Checkpoints are written by the step that is due, so what is on disk does not depend on how a run ends."""
    for step in random.Random(20).sample(range(1, STEPS), 20):
        directory = tmp_path / str(step)
        with pytest.raises(CancelledError):
            train(data(), settings(**CHECKPOINTED), None, Watching(step), directory)
        trained = train(data(), settings(**CHECKPOINTED), checkpoint_directory=directory)
        assert 0 <= step - (trained.resumed_from or 0) < 5 + 3  # judging asks, too, whether to stop
        assert outcome(trained) == unbroken


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.training.rows import data
from tests.training.test_checkpoint import CHECKPOINTED
from tests.training.test_trainer import settings
from airflow_provider_mlfeat.training import checkpoint
from airflow_provider_mlfeat.training.trainer import train

save, left = checkpoint.torch.save, 5

def killing(state, path):
    global left
    left -= 1
    save(state, path)
    if not left:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.torch.save = killing
train(data(), settings(**CHECKPOINTED), checkpoint_directory=Path(sys.argv[1]))
"""


def test_a_kill_in_the_middle_of_writing_a_checkpoint(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    """SIGKILL, as an out-of-memory killer sends it, with half a file written."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, env=environment, timeout=120)
    assert done.returncode == -signal.SIGKILL
    trained = train(data(), settings(**CHECKPOINTED), checkpoint_directory=tmp_path)
    assert trained.resumed_from == 20
    assert outcome(trained) == unbroken
    assert not [path for path in tmp_path.iterdir() if "staging" in path.name], "what the dead process left is gone"


def test_a_finished_run_is_not_trained_again_but_may_go_on(tmp_path: Path) -> None:
    first = train(data(), settings(), checkpoint_directory=tmp_path)
    watching = Watching()
    again = train(data(), settings(), watching, checkpoint_directory=tmp_path)
    assert watching.stages == []
    assert outcome(again) == outcome(first)
    longer = train(data(), settings(epochs=5), checkpoint_directory=tmp_path)
    assert outcome(longer) == outcome(train(data(), settings(epochs=5)))
    assert longer.resumed_from == STEPS


def test_few_files_stay(tmp_path: Path) -> None:
    train(data(), settings(**CHECKPOINTED), checkpoint_directory=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in names if name.startswith("step-")] == ["step-000000000070", "step-000000000072"]
    assert 1 <= sum(name.startswith("best-") for name in names) <= 2
    assert len(names) <= 4


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    with pytest.raises(CancelledError):
        train(data(), settings(**CHECKPOINTED), None, Watching(33), tmp_path)
    newest, older = (tmp_path / f"step-{step:012d}" for step in (30, 25))
    whole = (newest / "state-0.pt").read_bytes()
    (newest / "state-0.pt").write_bytes(whole[: len(whole) // 2])
    trained = train(data(), settings(**CHECKPOINTED), checkpoint_directory=tmp_path)
    assert trained.resumed_from == 25
    assert outcome(trained) == unbroken
    assert not older.exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: (data(), settings(hidden_layers=(16, 9))), "hidden_layers is \\[16, 8\\] there and \\[16, 9\\] here"),
        (lambda: (data(), settings(model="wide_deep")), 'model is "deepfm" there and "wide_deep" here'),
        (lambda: (data(), settings(batch_size=65)), "batch_size is 64 there and 65 here"),
        (lambda: (data(fingerprint="e" * 64), settings()), "belongs to another run: dataset is"),
        (lambda: (data(layout=wider()), settings()), "belongs to another run: fields is"),
    ],
    ids=["layers", "model", "batch", "dataset", "fields"],
)
def test_a_checkpoint_of_another_run_is_refused(other: Any, message: str, tmp_path: Path) -> None:
    train(data(), settings(epochs=1), checkpoint_directory=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UserError, match=message):
        rows, chosen = other()
        train(rows, chosen, checkpoint_directory=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def wider() -> FieldLayout:
    return FieldLayout(LAYOUT.names, (31, *LAYOUT.sizes[1:]), LAYOUT.value_names)


def test_an_older_format_is_refused(tmp_path: Path) -> None:
    train(data(), settings(epochs=1), checkpoint_directory=tmp_path)
    description = next(tmp_path.glob("step-*")) / "checkpoint.json"
    document = json.loads(description.read_text())
    description.write_text(json.dumps({**document, "version": 0}))
    with pytest.raises(UserError, match="was written by another release"):
        train(data(), settings(epochs=1), checkpoint_directory=tmp_path)


def test_nothing_is_written_without_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(data(), TrainSettings(**{**settings().model_dump(), **CHECKPOINTED, "epochs": 1}))
    assert list(tmp_path.iterdir()) == []
