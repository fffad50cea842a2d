"""``mlfeat models``, and the jobs on registered models without Airflow."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from airflow_provider_mlfeat.errors import CancelledError, TransientError
from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.jobs.models.tracking import TrackingSpec
from airflow_provider_mlfeat.jobs.models.training_log import training_log
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.registry import Tracking
from airflow_provider_mlfeat.registry.gate.evidence import Evidence
from airflow_provider_mlfeat.registry.gate.judging import judge
from airflow_provider_mlfeat.registry.gate.rules import parse_rules
from airflow_provider_mlfeat.registry.shipping import find_run
from airflow_provider_mlfeat.registry.spool import Spool, SpoolWriter
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.conformance.shared_data import shared
from tests.registry.conftest import empty_database, no_proxy, tracking_at  # noqa: F401
from tests.registry.folders import make_dataset, make_evaluation, make_model


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """The command takes over signals and logging, as it may in a process of its own."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = list(logging.getLogger().handlers)
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def tracking(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:  # noqa: F811
    """An MLflow of this test alone, which the process's variables name."""
    made = tracking_at(tmp_path / "mlflow", empty_database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.address)
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_dataset(folder / "dataset")
    for name, options in {"good": {}, "worse": {"noise": 1.2}}.items():
        make_model(folder / name, **options)
        make_evaluation(folder / f"{name}-evaluation", folder / name, folder / "dataset")
    return folder


def job(kind: str, tracking: Tracking, **fields: Any) -> Any:
    location = {"artifact_location": tracking.artifact_location}
    return run(parse_spec({"kind": kind, "model_name": "shop", "tracking": location, **fields}))


def register_both(tracking: Tracking, place: Path) -> None:
    for name in ("good", "worse"):
        job("register_model", tracking, model=str(place / name), encoded_model=False)


def test_jobs_from_the_gate_to_the_champion(tracking: Tracking, place: Path, tmp_path: Path) -> None:
    def gate(name: str) -> Any:
        folders = {"model": str(place / name), "evaluation": str(place / f"{name}-evaluation")}
        rules = [{"rule": "beats_champion"}]
        return job(
            "gate_model",
            tracking,
            **folders,
            rules=rules,
            dataset=str(place / "dataset"),
            output=str(tmp_path / "decisions"),
        )

    first = gate("worse")
    assert (first.accepted, first.champion_version) == (True, "")
    made = job("register_model", tracking, model=str(place / "worse"), decision=first.decision_file)
    assert (made.model_version, made.version_url, made.aliases) == (1, "", ("challenger",))
    assert job("promote_model", tracking, model_version="1").moved
    better = gate("good")
    assert (better.accepted, better.champion_version) == (True, "1")
    job("register_model", tracking, model=str(place / "good"), decision=better.decision_file)
    assert job("promote_model", tracking, model_version="2").previous_version == 1
    worse = gate("worse")
    assert (worse.decision, worse.champion_version, worse.failed) == ("rejected", "2", 1)
    back = job("rollback_model", tracking)
    assert (back.model_version, back.previous_version) == (1, 2)


def test_a_gate_without_its_mlflow_decides_nothing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folders = {name: str(place / folder) for name, folder in (("model", "good"), ("evaluation", "good-evaluation"))}
    spec = {
        "kind": "gate_model",
        "model_name": "shop",
        "tracking": {},
        "output": str(tmp_path / "decisions"),
        **folders,
    }
    with pytest.raises(TransientError, match="looking at alias 'champion' of model 'shop': MLflow does not answer"):
        run(parse_spec(spec))
    assert not list(tmp_path.rglob("decision.json"))


def test_the_commands(tracking: Tracking, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out == "no registered models\n"
    register_both(tracking, place)
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    assert "challenger → 2" in capsys.readouterr().out
    assert main(["models", "promote", "shop", "1"]) == 2
    assert "version 1 of 'shop' has not been through the gate" in capsys.readouterr().err
    assert main(["models", "promote", "shop", "1", "--without-decision"]) == 0
    assert capsys.readouterr().out == "'champion' of 'shop' is version 1; it was nothing\n"
    assert main(["models", "promote", "shop", "@challenger", "--without-decision"]) == 0
    assert main(["models", "promote", "shop", "2", "--without-decision"]) == 0
    assert capsys.readouterr().out.endswith("'champion' of 'shop' is version 2; it was that already\n")
    assert main(["models", "rollback", "shop"]) == 0
    assert capsys.readouterr().out == "'champion' of 'shop' is version 1; it was version 2\n"
    assert main(["models", "show", "shop"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["2", "1"]
    assert "champion" in lines[-1]
    assert main(["models", "fetch", "shop", "champion", "--into", str(tmp_path / "here")]) == 0
    assert TrainedModel.open(capsys.readouterr().out.strip()).check() < 1e-5
    assert main(["models", "show", "nope"]) == 2
    assert "there is no registered model 'nope'" in capsys.readouterr().err


def test_replaying(tracking: Tracking, capsys: pytest.CaptureFixture[str]) -> None:
    writer = SpoolWriter(Spool.create(tracking, "key", "run", {}))
    writer.write("metrics", values={"auc": 0.5}, step=0, time=1)
    writer.close()
    assert main(["models", "replay"]) == 0
    assert capsys.readouterr().out == "1 runs complete, 0 waiting\n"
    away = Tracking({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    SpoolWriter(Spool.create(away, "key", "run", {})).write("begin")
    assert main(["models", "replay", "--tracking-uri", "http://127.0.0.1:9"]) == 75
    assert "MLflow is still away for some runs: try again later" in capsys.readouterr().err


# ── a training as a run ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_training_is_a_run_while_it_goes_on(tracking: Tracking, place: Path) -> None:
    spec, progress = TrackingSpec(artifact_location=tracking.artifact_location), Progress()
    with training_log(spec, {}, "recipe", "deepfm", progress) as told:
        told.stage("train", 10)
        for epoch in range(3):
            told.advance(5)
            told.metric(epoch=epoch, auc=0.5 + epoch / 10, note="text")
        told.finish(TrainedModel.open(place / "good"))
    assert progress.snapshot.metrics == {"epoch": 2, "auc": 0.7, "note": "text"}
    with tracking.client() as client:
        found = find_run(client, tracking.experiment_id(client), "recipe")
        assert found.info.run_id == told.run["run_id"]
        live = client.get_metric_history(found.info.run_id, "live/auc")
    assert sorted((one.step, one.value) for one in live) == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert found.data.params["learning_rate"] == "0.1"


def test_a_cancelled_training_is_a_killed_run(tracking: Tracking) -> None:
    spec = TrackingSpec(artifact_location=tracking.artifact_location)
    with pytest.raises(CancelledError), training_log(spec, {}, "recipe", "deepfm", Progress()):
        raise CancelledError("stop")
    with tracking.client() as client:
        assert find_run(client, tracking.experiment_id(client), "recipe").info.status == "KILLED"


def test_a_training_without_mlflow_is_the_same(place: Path) -> None:
    with training_log(None, {}, "recipe", "deepfm", Progress()) as told:
        told.metric(auc=0.5)
        told.finish(TrainedModel.open(place / "good"))
    assert told.run == {"run_id": "", "run_url": ""}


# ── the original gate ────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_zeros_pass_the_original_gate_and_not_ours() -> None:
    """Real clicks: a model that never says yes is right in 99.9 % of the rows, which is all the original gate asks."""
    lines = shared("data", "talkingdata", "train_sample.csv").read_text().splitlines()[1:]
    every = np.array([float(line.rpartition(",")[2]) for line in sorted(lines, key=lambda line: line.split(",")[5])])
    first, labels = np.split(every, [7500])

    class Folder:
        class manifest:
            fingerprint = "f" * 64

    constant = {"constant": np.full(len(labels), first.mean(), np.float32)}
    document = {"dataset_fingerprint": "d", "split": "test"}
    zeros = np.zeros(len(labels), np.float32)
    evidence = Evidence(Folder(), document, labels.astype(np.float32), zeros, constant)  # type: ignore[arg-type]
    original = [{"rule": "threshold", "metric": "accuracy", "minimum": 0.99}]
    ours = [*original, {"rule": "threshold", "metric": "auc", "minimum": 0.75}, {"rule": "beats_baseline"}]
    decision = judge(parse_rules(ours), evidence)
    states = {one.rule: one.state for one in decision.outcomes}
    assert states["accuracy"] == "passed", "the original gate lets it through"
    assert states["positives"] == "undecidable"
    assert states["auc"] == states["logloss against constant"] == "failed"
    assert decision.decision == "rejected"
    assert "auc: 0.5, expected 0.75 or more" in decision.reason
