"""How the learning rate changes over the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_mlfeat.training.settings import TrainSettings

TENTHS = 3  # the published schedule stops falling after three epochs


@dataclass(frozen=True)
class Schedule:
    """The factor on learning rates at each step.

    :param kind: a value of ``TrainSettings.schedule``.
    :param warmup_steps: steps from almost zero to the full rate.
    :param epoch_steps: steps of one epoch.
    :param total_steps: steps of the whole run.
    """

    kind: str
    warmup_steps: int
    epoch_steps: int
    total_steps: int

    @classmethod
    def of(cls, settings: TrainSettings, rows: int) -> Schedule:
        """The schedule of a run over so many rows."""
        epoch_steps = math.ceil(rows / settings.batch_size)
        total = epoch_steps * settings.epochs
        return cls(settings.schedule, settings.warmup_steps, epoch_steps, min(total, settings.max_steps or total))

    def factor(self, step: int) -> float:
        """At `step`, counted from 0."""
        return min(1.0, (step + 1) / (self.warmup_steps + 1)) * self._decay(step)

    def _decay(self, step: int) -> float:
        if self.kind == "tenth":
            return float(0.1 ** min(step // self.epoch_steps, TENTHS))
        if self.kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(step, self.total_steps) / self.total_steps))
        if self.kind == "last_tenth":
            return 0.1 if step >= 0.75 * self.total_steps else 1.0
        return 1.0
