"""A training as an MLflow run while it goes on: what it reports as progress is what the run is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.jobs.models.tracking import TrackingSpec
from airflow_provider_mlfeat.jobs.progress import Metric, Progress

if TYPE_CHECKING:
    from airflow_provider_mlfeat.registry.run_log import RunLog
    from airflow_provider_mlfeat.training.trained_model import TrainedModel


class TrainingLog:
    """Progress that goes to its usual places, and its metrics to the run as well, below ``live/``.

    What the finished model says of its epochs comes at the end, under the names that it has in the model's folder.

    :param progress: of the job.
    :param run: the run; None for a training that no MLflow hears of.
    """

    def __init__(self, progress: Progress, run: RunLog | None) -> None:
        self._progress = progress
        self._run = run
        self._step = 0
        self._seen: dict[str, Metric] = {}

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        """A new stage begins."""
        self._progress.stage(name, total, unit)

    def advance(self, amount: float = 1) -> None:
        """So many more units are done."""
        self._progress.advance(amount)

    def metric(self, **values: Metric) -> None:
        """Show the values, and log those that changed."""
        self._progress.metric(**values)
        if self._run is None:
            return
        changed = {name: value for name, value in values.items() if self._seen.get(name) != value}
        self._seen |= changed
        self._step += 1
        numbers = {f"live/{name}": value for name, value in changed.items() if not isinstance(value, str)}
        self._run.metrics(numbers, self._step)

    def finish(self, model: TrainedModel) -> dict[str, str]:
        """Tell the run all that the finished model says; id and page of the run, as far as they are known."""
        from airflow_provider_mlfeat.registry.lineage import describe_model

        if self._run is None:
            return {"run_id": "", "run_url": ""}
        describe_model(self._run, model.folder, model.manifest)
        return {"run_id": self._run.run_id, "run_url": self._run.page}


@contextmanager
def training_log(
    tracking: TrackingSpec | None, secrets: Mapping[str, str], recipe: str, name: str, progress: Progress, **tags: Any
) -> Iterator[TrainingLog]:
    """A run for the time of a training: finished, failed or killed as the training is.

    An MLflow that is away delays nothing; what it has not taken waits on disk. A training that is resumed goes on in
    the same run.

    :param tracking: the MLflow; None for none.
    :param secrets: of the job.
    :param recipe: of the model: the run's identity, by which registration finds it.
    :param name: of the run, for people.
    :param progress: of the job.
    :param tags: of the run.
    """
    if tracking is None:
        yield TrainingLog(progress, None)
        return
    from airflow_provider_mlfeat.registry.run_log import open_run

    with open_run(tracking.tracking(secrets), recipe, name, {key: str(value) for key, value in tags.items()}) as run:
        yield TrainingLog(progress, run)
