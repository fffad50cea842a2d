"""A step that a GPU recorded once and replays: no launch costs, one call per step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.steps.lookup import LookupStep
from airflow_provider_mlfeat.training.steps.step import Step

WARM_UP_STEPS = 3


class CapturedStep(Step):
    """Replays a step for whole batches; the first ones, and the short one at an epoch's end, run as they are.

    :param step: what is recorded.
    """

    def __init__(self, step: LookupStep) -> None:
        super().__init__(step.model, step.settings, step.device)
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Batch | None = None
        self._loss = torch.zeros((), device=step.device)
        self._warmed_up = 0

    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch."""
        self._step.set_rates(factor)
        if len(batch) != self.settings.batch_size:
            return self._step.learn(batch.to(self.device))
        if self._inputs is None:
            self._inputs = Batch(*(torch.empty_like(part, device=self.device) for part in batch.parts()))
        for mine, given in zip(self._inputs.parts(), batch.parts(), strict=True):
            mine.copy_(given, non_blocking=True)
        if self._graph is not None:
            self._graph.replay()
            return self._loss
        if self._warmed_up < WARM_UP_STEPS:
            self._warmed_up += 1
            return self._on_another_stream(self._inputs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss.copy_(self._step.learn(self._inputs))
        self._graph.replay()  # recording alone learns nothing
        return self._loss

    def _on_another_stream(self, inputs: Batch) -> Tensor:
        """A step before recording, on a stream of its own, as recording asks for."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self._step.learn(inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return loss

    def logits(self, batch: Batch) -> Tensor:
        """What the model says."""
        return self._step.logits(batch)

    def state(self) -> dict[str, Any]:
        """What the recorded step remembers."""
        return self._step.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, before anything is recorded."""
        self._step.restore(state)
