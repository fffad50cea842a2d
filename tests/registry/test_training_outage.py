"""A training whose MLflow server goes away: the model is the same, and afterwards nothing is missing in its run."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.jobs.models.tracking import tracking_secrets
from airflow_provider_mlfeat.jobs.progress import Metric, Progress
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.registry import versions
from airflow_provider_mlfeat.registry.lineage import flatten
from airflow_provider_mlfeat.registry.run_log import RunLog
from airflow_provider_mlfeat.registry.shipping import find_run, replay
from airflow_provider_mlfeat.registry.spool import left_spools
from airflow_provider_mlfeat.registry.tracking import Tracking
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.registry.conftest import Line, Server, wait_for_senders
from tests.training.datasets import make_dataset

EPOCHS = 6
SETTINGS = {"epochs": EPOCHS, "hidden_layers": [16], "batch_size": 256, "device": "cpu", "threads": 1, "patience": 0}
Events = Mapping[int, Callable[[], Any]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("datasets") / "shop", rows=2_000)


class Watched(Progress):
    """Notes what a training tells, and lets something happen at the end of an epoch.

    :param events: what happens, by epoch.
    """

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events
        self.told: list[dict[str, Metric]] = []

    def metric(self, **values: Metric) -> None:
        super().metric(**values)
        self.told.append(values)
        if "auc" in values and (event := self._events.get(int(values["epoch"]))):
            event()


def train(dataset: Dataset, output: Path, tracking: Tracking, events: Events) -> tuple[TrainedModel, Watched]:
    """The job as a task runs it, with this MLflow."""
    progress = Watched(events)
    # Another seed for each test: equal trainings are one run.
    settings = {**SETTINGS, "seed": zlib.crc32(str(output).encode()) % 10_000}
    spec = {"kind": "train_model", "model": "deepfm", "dataset": str(dataset.folder), "settings": settings}
    document = {**spec, "output": str(output), "tracking": {"location": tracking.pages}}
    result: Any = run(parse_spec(document), progress, secrets=tracking_secrets(tracking.environment))
    assert result.epochs == EPOCHS
    return TrainedModel.open(result.model), progress


def has_live_metrics(tracking: Tracking, seconds: float = 60) -> None:
    """Wait until the server has the run and some of its metrics: what goes away then is in the middle of it."""
    deadline = time.monotonic() + seconds
    with tracking.client() as client:
        experiment = tracking.experiment_id(client)
        while not any("live/auc" in one.data.metrics for one in client.search_runs([experiment], "status = 'RUNNING'")):
            assert time.monotonic() < deadline, "the server was told nothing"
            time.sleep(0.2)


def check_run(tracking: Tracking, model: TrainedModel, progress: Watched) -> None:
    """Every metric of every epoch, all parameters, inputs and artefacts, and an end."""
    manifest = model.manifest
    with tracking.client() as client:
        found = find_run(client, tracking.experiment_id(client), manifest.recipe)
        assert found is not None
        run_id = found.info.run_id

        def history(name: str) -> dict[int, float]:
            points = [(one.step, one.value) for one in client.get_metric_history(run_id, name)]
            assert len(points) == len(dict(points)), f"{name} came twice"
            return dict(points)

        assert found.info.status == "FINISHED"
        epochs = [json.loads(line) for line in (model.folder / "epochs.jsonl").read_text().splitlines()]
        assert len(epochs) == EPOCHS
        for name in ("train_loss", "valid_auc", "valid_logloss", "learning_rate", "seconds", "steps"):
            assert history(f"epoch/{name}") == {one["epoch"]: one[name] for one in epochs}, name
        for name, points in live_points(progress.told).items():
            assert history(name) == points, name
        for split, metrics in manifest.metrics.items():
            for name, value in metrics.items():
                assert value is None or history(f"{split}_{name}") == {0: value}
        expected = {name: str(value) for name, value in flatten(manifest.hyper_parameters).items()}
        assert expected.items() <= found.data.params.items()
        assert found.data.params["encoder_fingerprint"] == manifest.encoder_fingerprint
        assert found.data.tags[versions.FINGERPRINT] == manifest.fingerprint
        assert [one.dataset.name for one in found.inputs.dataset_inputs] == ["features-encoded"]
        kept = {one.path.partition("/")[2]: one.file_size for one in client.list_artifacts(run_id, "report")}
    there = [path for path in model.folder.iterdir() if path.name == "report.html" or path.suffix in (".png", ".svg")]
    assert kept == {path.name: path.stat().st_size for path in there}
    assert len(there) > 1


def live_points(told: list[dict[str, Metric]]) -> dict[str, dict[int, float]]:
    """What stands below ``live/``: each value that is another than before, by the number of the report."""
    points: dict[str, dict[int, float]] = {}
    seen: dict[str, Metric] = {}
    for step, values in enumerate(told, 1):
        for name, value in values.items():
            if seen.get(name) != value and not isinstance(value, str):
                points.setdefault(f"live/{name}", {})[step] = float(value)
        seen |= values
    return points


@pytest.fixture
def quick_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches go to MLflow every tenth of a second: this training takes seconds, not hours."""
    monkeypatch.setattr(RunLog, "__init__", partialmethod(RunLog.__init__, send_seconds=0.1))


@pytest.mark.usefixtures("quick_sender")
def test_a_server_that_is_killed_in_the_middle_and_started_again(
    server: Server, dataset: Dataset, tmp_path: Path
) -> None:
    tracking = server.tracking
    starting = threading.Thread(target=server.start)

    def kill() -> None:
        has_live_metrics(tracking)
        server.kill()

    # The training does not wait for the server that comes back.
    model, progress = train(dataset, tmp_path, tracking, {2: kill, 4: starting.start})
    starting.join()
    check_run(tracking, model, progress)
    assert not left_spools(tracking)


@pytest.mark.usefixtures("quick_sender")
def test_a_server_that_is_away_at_the_start(line: Line, dataset: Dataset, tmp_path: Path) -> None:
    model, progress = train(dataset, tmp_path, line.tracking, {3: line.connect})
    check_run(line.tracking, model, progress)
    assert not left_spools(line.tracking)


@pytest.mark.usefixtures("quick_sender")
def test_a_server_that_is_away_at_the_end(
    line: Line, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The job ends well without it; what is left waits for the next registration, or for the command."""
    monkeypatch.setattr(RunLog, "__init__", partialmethod(RunLog.__init__, patience=1))
    line.connect()

    def cut() -> None:
        has_live_metrics(line.tracking)
        line.cut()

    model, progress = train(dataset, tmp_path, line.tracking, {EPOCHS: cut})
    assert model.check() < 1e-5
    assert "'mlfeat models replay' sends them" in caplog.text
    wait_for_senders()
    assert len(left_spools(line.tracking)) == 1
    line.connect()
    assert replay(line.tracking) == (1, 0)
    check_run(line.tracking, model, progress)
    line.cut()
