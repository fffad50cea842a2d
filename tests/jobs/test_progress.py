from __future__ import annotations

import io
import logging

import pytest

from airflow_provider_mlfeat.errors import CancelledError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.progress import BarSink, CallbackSink, LogSink, Progress, short_number, short_time


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left_come_from_the_stage() -> None:
    clock = Clock()
    progress = Progress(clock=clock)
    clock.now += 50
    progress.stage("load", total=1000)
    clock.now += 2
    progress.advance(400)
    progress.metric(auc=0.8125, epoch=3)
    snapshot = progress.snapshot
    assert (snapshot.rate, snapshot.eta_seconds, snapshot.elapsed_seconds) == (200.0, 3.0, 52.0)
    assert snapshot.describe() == "load 400/1k rows (40%), 200 rows/s, 3 s left, auc=0.8125, epoch=3"


def test_metrics_outlive_their_stage() -> None:
    progress = Progress()
    progress.stage("train", total=2, unit="epochs")
    progress.metric(auc=0.7)
    progress.stage("export")
    assert progress.snapshot.metrics == {"auc": 0.7}
    assert progress.snapshot.total is None


def test_a_report_is_where_a_cancelled_job_stops() -> None:
    cancellation = Cancellation()
    progress = Progress(cancellation=cancellation)
    progress.stage("load")
    cancellation.request()
    with pytest.raises(CancelledError):
        progress.advance()


def test_the_log_gets_structured_lines_and_every_stage_end(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress([LogSink(seconds=3600)])
    with caplog.at_level(logging.INFO, logger="mlfeat.job"):
        progress.stage("load", total=2)
        progress.advance()
        progress.advance()
        progress.stage("write", total=1)
        progress.advance()
        progress.finish()
    stages = [(record.progress["stage"], record.progress["done"]) for record in caplog.records]  # type: ignore[attr-defined]
    assert stages == [("load", 0), ("load", 2), ("write", 1)]


def test_a_terminal_gets_one_line_per_stage() -> None:
    terminal = io.StringIO()
    progress = Progress([BarSink(terminal, width=4)])
    progress.stage("load", total=4)
    progress.advance(4)
    progress.finish()
    text = terminal.getvalue()
    assert text.count("\n") == 1
    assert "████ load 4/4 rows (100%)" in text


def test_callbacks_are_limited_but_never_miss_the_end() -> None:
    seen: list[float] = []
    progress = Progress([CallbackSink(lambda snapshot: seen.append(snapshot["done"]), seconds=3600)])
    progress.stage("load", total=1000)
    for _ in range(1000):
        progress.advance()
    progress.finish()
    assert seen == [0, 1000]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (1234, "1.23k"), (5.04e6, "5.04M"), (-2e9, "-2G"), ("x", "x")]
)
def test_short_numbers(value: float | str, text: str) -> None:
    assert short_number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")])
def test_short_times(seconds: float, text: str) -> None:
    assert short_time(seconds) == text
