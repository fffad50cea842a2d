"""The losses of a run, kept where they are computed and read now and then, because every reading makes a GPU wait."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CURVE_STEPS = 50


class NotFiniteError(Exception):
    """A loss that is no number any more.

    :param step: of the epoch, from 0.
    :param loss: what it is.
    """

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"the loss of step {step} is {loss}")
        self.step = step
        self.loss = loss


class LossWatch:
    """Adds up losses and says where they stopped being numbers.

    :param device: where losses are computed.
    """

    def __init__(self, device: torch.device) -> None:
        # On a CPU a reading costs nothing, and the batch that broke the run is known at once.
        self._read_every = 1 if device.type == "cpu" else CURVE_STEPS
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._bad = torch.full((), -1, dtype=torch.int64, device=device)
        self._unread = 0
        self._rows = 0
        self.total, self.rows = 0.0, 0
        self.curve_sum, self.curve_rows, self.curve_steps = 0.0, 0, 0

    def add(self, loss: Tensor, rows: int, step: int) -> bool:
        """Count a step's loss; whether a point of the curve is complete."""
        self._sum += loss.to(torch.float64) * rows
        if self._read_every > 1:
            self._bad.copy_(torch.where((self._bad < 0) & ~torch.isfinite(loss), step, self._bad))
        self._rows += rows
        self._unread += 1
        self.curve_steps += 1
        if self._unread >= self._read_every:
            self.read(step)
        return self.curve_steps >= CURVE_STEPS

    def read(self, step: int) -> None:
        """Take over what has been added; raises NotFiniteError."""
        found = float(self._sum)
        if found != found or abs(found) == float("inf"):
            bad = int(self._bad)
            raise NotFiniteError(bad if bad >= 0 else step, found)
        self.total += found
        self.rows += self._rows
        self.curve_sum += found
        self.curve_rows += self._rows
        self._sum.zero_()
        self._rows = self._unread = 0

    def take_point(self, step: int) -> float:
        """The mean loss since the last point."""
        self.read(step)
        mean = self.curve_sum / max(self.curve_rows, 1)
        self.curve_sum, self.curve_rows, self.curve_steps = 0.0, 0, 0
        return mean

    @property
    def mean(self) -> float:
        """Over all rows so far."""
        return self.total / max(self.rows, 1)

    def state(self) -> dict[str, Any]:
        """For a checkpoint; everything has been read."""
        return {
            "total": self.total, "rows": self.rows, "curve_sum": self.curve_sum, "curve_rows": self.curve_rows,
            "curve_steps": self.curve_steps,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)
