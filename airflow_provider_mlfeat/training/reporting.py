"""What training tells and asks while it runs; jobs bring the real ones."""

from __future__ import annotations

from typing import Protocol


class TrainingProgress(Protocol):
    """Told where training stands."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        """A new stage begins."""

    def advance(self, amount: float = 1) -> None:
        """So many more units are done."""

    def metric(self, **values: float | int | str) -> None:
        """The latest value of metrics."""


class TrainingCancellation(Protocol):
    """Asked whether to go on."""

    def check(self) -> None:
        """Raise when the work was asked to stop."""


class Silence:
    """Progress that nobody watches and that nobody stops."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        """Nobody listens."""

    def advance(self, amount: float = 1) -> None:
        """Nobody listens."""

    def metric(self, **values: float | int | str) -> None:
        """Nobody listens."""

    def check(self) -> None:
        """Nobody asked to stop."""
