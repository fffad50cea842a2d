"""Learning rates over steps."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.training.schedule import Schedule
from airflow_provider_mlfeat.training.settings import TrainSettings


def schedule(kind: str, warmup: int = 0) -> Schedule:
    settings = TrainSettings.model_validate({"schedule": kind, "warmup_steps": warmup, "epochs": 8, "batch_size": 10})
    return Schedule.of(settings, 95)


def test_steps_count_the_last_short_batch() -> None:
    assert (schedule("constant").epoch_steps, schedule("constant").total_steps) == (10, 80)


def test_the_published_schedule_falls_three_times_and_no_more() -> None:
    factors = [schedule("tenth").factor(step) for step in (0, 9, 10, 20, 30, 40, 79)]
    assert factors == pytest.approx([1, 1, 0.1, 0.01, 0.001, 0.001, 0.001])


def test_cosine_ends_at_zero_and_last_tenth_at_a_tenth() -> None:
    assert schedule("cosine").factor(0) == pytest.approx(1)
    assert schedule("cosine").factor(40) == pytest.approx(0.5)
    assert schedule("cosine").factor(80) == pytest.approx(0)
    assert [schedule("last_tenth").factor(step) for step in (0, 59, 60)] == [1, 1, 0.1]


def test_warmup_rises_from_almost_nothing() -> None:
    assert [schedule("constant", 3).factor(step) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
