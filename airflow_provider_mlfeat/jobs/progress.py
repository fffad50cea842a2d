"""How far a job is: one reporter, several places that show it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any, Protocol

from airflow_provider_mlfeat.jobs.cancellation import Cancellation

log = logging.getLogger("mlfeat.job")

Metric = float | int | str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a job at one moment; plain data that travels as JSON.

    :param stage: what it does now.
    :param done: how much of the stage is done.
    :param total: of how much, when that is known.
    :param unit: what is counted.
    :param rate: units per second in this stage.
    :param eta_seconds: estimated time left in this stage.
    :param elapsed_seconds: since the job began.
    :param metrics: the latest value of each metric, for instance epoch and AUC.
    """

    stage: str = ""
    done: float = 0
    total: float | None = None
    unit: str = "rows"
    rate: float = 0.0
    eta_seconds: float | None = None
    elapsed_seconds: float = 0.0
    metrics: dict[str, Metric] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    def describe(self) -> str:
        """One line for people: ``load 3.2M/5.0M rows (64 %), 410k rows/s, 4 s left, auc=0.81``."""
        parts = [f"{self.stage or 'start'} {short_number(self.done)}"]
        if self.total:
            parts[0] += f"/{short_number(self.total)}"
        parts[0] += f" {self.unit}"
        if self.total:
            parts[0] += f" ({self.done / self.total:.0%})"
        if self.rate:
            parts.append(f"{short_number(self.rate)} {self.unit}/s")
        if self.eta_seconds is not None:
            parts.append(f"{short_time(self.eta_seconds)} left")
        parts.extend(f"{name}={short_number(value)}" for name, value in self.metrics.items())
        return ", ".join(parts)


def short_number(value: Metric) -> str:
    """A number in four characters or so: 1234567 → ``1.23M``."""
    if isinstance(value, str):
        return value
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def short_time(seconds: float) -> str:
    """``42 s``, ``3 min 10 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Sink(Protocol):
    """A place that shows progress. `final` marks the last snapshot of a stage, which is never left out."""

    def show(self, snapshot: Snapshot, *, final: bool) -> None: ...


class Progress:
    """The reporter that a job writes to.

    Reporting is cheap enough for inner loops over batches: sinks limit themselves, and every report is also a place
    where a cancelled job stops.

    :param sinks: where to show it.
    :param cancellation: checked at each report.
    :param clock: seconds that only go forward.
    """

    def __init__(
        self,
        sinks: Sequence[Sink] = (),
        cancellation: Cancellation | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = tuple(sinks)
        self._cancellation = cancellation or Cancellation()
        self._clock = clock
        self._began = self._stage_began = clock()
        self._snapshot = Snapshot()

    @property
    def snapshot(self) -> Snapshot:
        """The latest state."""
        return self._snapshot

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        """Begin a stage of `total` units."""
        self._finish_stage()
        self._stage_began = self._clock()
        self._snapshot = Snapshot(stage=name, total=total, unit=unit, metrics=self._snapshot.metrics)
        self._publish()

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""
        self._snapshot = replace(self._snapshot, done=self._snapshot.done + amount)
        self._publish()

    def metric(self, **values: Metric) -> None:
        """Report values such as ``epoch=3, auc=0.81``."""
        self._snapshot = replace(self._snapshot, metrics={**self._snapshot.metrics, **values})
        self._publish()

    def finish(self) -> None:
        """The job ended well."""
        self._finish_stage()

    def _finish_stage(self) -> None:
        if self._snapshot.stage:
            self._publish(final=True)

    def _publish(self, *, final: bool = False) -> None:
        self._cancellation.check()
        now = self._clock()
        spent, state = now - self._stage_began, self._snapshot
        rate = state.done / spent if spent > 0 else 0.0
        left = (state.total - state.done) / rate if state.total is not None and rate else None
        self._snapshot = replace(
            state,
            rate=round(rate, 3),
            eta_seconds=None if left is None else round(max(0.0, left), 3),
            elapsed_seconds=round(now - self._began, 3),
        )
        for sink in self._sinks:
            sink.show(self._snapshot, final=final)


class Every:
    """Says yes at most once in `seconds`.

    :param seconds: the interval.
    :param clock: seconds that only go forward.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = clock()

    def __call__(self) -> bool:
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class LogSink:
    """Structured log lines: the text for people, the same values as fields for machines.

    :param seconds: the shortest time between two lines.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        self._due = Every(seconds)
        self._last_logged = ""

    def show(self, snapshot: Snapshot, *, final: bool) -> None:
        if not (final or self._due()):
            return
        text = snapshot.describe()
        if text != self._last_logged:
            self._last_logged = text
            log.info("%s", text, extra={"progress": snapshot.to_document()})


class BarSink:
    """A bar on a terminal, redrawn in place.

    :param stream: the terminal.
    :param width: of the bar, in characters.
    """

    def __init__(self, stream: IO[str], width: int = 24) -> None:
        self._stream = stream
        self._width = width
        self._due = Every(0.1)

    def show(self, snapshot: Snapshot, *, final: bool) -> None:
        if not (final or self._due()):
            return
        share = min(1.0, snapshot.done / snapshot.total) if snapshot.total else float(final)
        filled = round(share * self._width)
        bar = "█" * filled + "░" * (self._width - filled)
        self._stream.write(f"\r\x1b[2K{bar} {snapshot.describe()}" + ("\n" if final else ""))
        self._stream.flush()


class CallbackSink:
    """Hands snapshots to a function, for instance one that writes the task state store.

    :param callback: called with the JSON form.
    :param seconds: the shortest time between two calls.
    """

    def __init__(self, callback: Callable[[dict[str, Any]], None], seconds: float = 1.0) -> None:
        self._callback = callback
        self._due = Every(seconds)

    def show(self, snapshot: Snapshot, *, final: bool) -> None:
        if final or self._due():
            self._callback(snapshot.to_document())
