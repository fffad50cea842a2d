"""The stages of the batch driver as stages of a job's progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.jobs.progress import Progress


class ReportedTimings(Timings):
    """Stages that show in the job's progress.

    :param progress: of the job.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as part of a stage, and show the stage."""
        if self._progress.snapshot.stage != name:
            self._progress.stage(name, unit="steps")
        with super().stage(name):
            yield
        self._progress.advance()
