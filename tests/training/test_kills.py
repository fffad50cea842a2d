"""A training that is killed ends, when it is tried again, with the model of an unbroken one, bit for bit.

``MLFEAT_KILLS=20 pytest tests/training/test_kills.py`` kills at 20 random steps, and boosting at 5.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from tests.places import ROOT
from tests.training.datasets import make_dataset

KILLS = int(os.environ.get("MLFEAT_KILLS", "3"))
DEEP = {
    "epochs": 3, "hidden_layers": [24, 16], "dropout": 0.2, "batch_size": 64, "learning_rate": 0.01, "device": "cpu",
    "threads": 1, "clip_norm": 1.0, "schedule": "cosine", "checkpoint_steps": 5, "patience": 0,
}  # fmt: skip
TREES = {"trees": 90, "threads": 1, "row_share": 0.7, "column_share": 0.7, "checkpoint_trees": 8, "patience": 0}
KINDS = [("deepfm", DEEP, KILLS), ("xgboost", TREES, -(-KILLS // 4))]


class Counted(Cancellation):
    """Counts how often it is asked."""

    steps = 0

    def check(self) -> None:
        self.steps += 1
        super().check()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("datasets") / "shop", rows=2_500)


def story(result: Any) -> dict[str, Any]:
    """All that a training gives but times: metrics, the weights by their digests, and the curves."""
    folder = Path(result.model)
    epochs = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    manifest = json.loads((folder / "model.json").read_text())
    for epoch in epochs:
        for name in ("seconds", "rows_per_second"):
            del epoch[name]
    graph = {name: digest for name, digest in manifest["files"].items() if name.startswith("model.onnx")}
    return {
        "fingerprint": result.model_fingerprint,
        "graph": graph,
        "golden": manifest["files"]["golden.npz"],
        "metrics": manifest["metrics"],
        "epochs": epochs,
        "best": result.best_epoch,
    }


def kill_at(spec: dict[str, Any], step: int, wait: float) -> int:
    """Start the job as a process and kill it soon after it said a step; how it ended."""
    command = [sys.executable, "-m", "tests.training.training_process", json.dumps(spec)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == f"step {step}\n":
                time.sleep(wait)
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.read()
        return process.wait(60)


@pytest.mark.parametrize(("model", "settings", "kills"), KINDS, ids=[kind[0] for kind in KINDS])
def test_killed_at_random_steps(
    tmp_path: Path, dataset: Dataset, model: str, settings: dict[str, Any], kills: int
) -> None:
    def spec(output: str) -> dict[str, Any]:
        folder = str(tmp_path / output)
        return {
            "kind": "train_model", "dataset": str(dataset.folder), "model": model, "settings": settings,
            "output": folder,
        }  # fmt: skip

    counted = Counted()
    unbroken = story(run(parse_spec(spec("unbroken")), cancellation=counted))
    # Beside those of the training there are a few steps before it, and while the model's folder is made.
    draw = random.Random(int(os.environ.get("MLFEAT_KILLS_SEED", "1")))
    resumed_from = []
    for number in range(kills):
        asked = spec(f"killed {number}")
        step = draw.randrange(2, counted.steps - 2)
        ended = kill_at(asked, step, draw.uniform(0, 0.02))
        assert ended == -signal.SIGKILL, f"the process that was to be killed at step {step} ended with {ended}"
        left = (tmp_path / f"killed {number}").glob("*/[!.]*/model.json")
        assert not list(left), "half a model got a name"
        resumed = run(parse_spec(asked))
        assert story(resumed) == unbroken, f"killed at step {step}"
        told = json.loads((Path(resumed.model) / "metrics.json").read_text())["run"]["resumed_from"]
        resumed_from.append(told)
        print(f"{model}: killed at step {step} of {counted.steps}, resumed from {told}")
        assert not [path for path in Path(resumed.model).parent.iterdir() if "checkpoint" in path.name]
    assert any(resumed_from) or kills < 3, "no try was killed after its first checkpoint"
