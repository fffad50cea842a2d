"""The stages of the batch driver as stages of a job's progress."""

from __future__ import annotations

from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.jobs.progress import Progress


def reported_timings(progress: Progress) -> Timings:
    """Timings whose stages show in a job's progress."""

    def show(stage: str) -> None:
        if progress.snapshot.stage != stage:
            progress.stage(stage, unit="steps")
        progress.advance()

    return Timings(show)
