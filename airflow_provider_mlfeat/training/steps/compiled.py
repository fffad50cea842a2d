"""The step of our own models on a CPU: compiled kernels around the matrix products, memory made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airflow_provider_mlfeat.training import kernels
from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.models.factor import DEEP, FIRST_ORDER, PAIRS, FactorModel
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps.dense_chain import DenseChain
from airflow_provider_mlfeat.training.steps.step import DenseOptimiser, Step
from airflow_provider_mlfeat.training.table_optimiser import (
    ADAGRAD_EPSILON,
    ADAM_EPSILON,
    FIRST_MOMENT,
    SECOND_MOMENT,
)


class CompiledStep(Step):
    """What ``LookupStep`` does, several times as fast on a CPU.

    :param model: on the CPU.
    :param settings: of the run.
    :param device: the CPU.
    """

    model: FactorModel

    def __init__(self, model: FactorModel, settings: TrainSettings, device: torch.device) -> None:
        super().__init__(model, settings, device)
        layout, size = model.layout, model.embedding_size
        self._first_order, self._pairs = FIRST_ORDER in model.parts, PAIRS in model.parts
        self._table = model.table.detach().numpy()
        self._moments = (
            {"first": torch.zeros_like(model.table.detach()), "second": torch.zeros_like(model.table.detach())}
            if settings.optimiser == "lazy_adam"
            else {"squares": torch.zeros(layout.rows)}
        )
        self._steps = torch.zeros((), dtype=torch.float64)
        self._offsets = np.array([*layout.offsets, *range(layout.id_rows, layout.rows)], np.int64)
        self._widths = np.array(model.widths, np.int64)
        self._dense = DenseOptimiser(settings, model.dense.parameters(), device)
        rows, fields = settings.batch_size, layout.width
        self._chain: DenseChain | None = None
        if DEEP in model.parts:
            assert isinstance(model.dense, torch.nn.Sequential)
            self._chain = DenseChain(model.dense, rows, torch.bfloat16 if self.half else torch.float32)
        self._vectors = torch.empty(rows, fields * size)
        self._totals = torch.empty(rows, size)
        self._logits = torch.empty(rows)
        self._no_factors = torch.empty(rows, 0)
        self._slots = torch.full((layout.rows,), -1, dtype=torch.int32).numpy()
        self._touched = torch.empty(rows * fields, dtype=torch.int64).numpy()
        self._sums = torch.empty(rows * fields, size + 1).numpy()
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch."""
        self._dense.set_rate(self.settings.learning_rate * factor)
        factors = self._look_up(batch)
        rows = len(batch)
        logits = self._logits[:rows]
        logits += self._deep(rows, training=True)
        slopes = torch.sigmoid(logits).sub_(batch.labels).div_(rows)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)
        gradients = self._no_factors[:rows]
        if self._chain is not None:
            gradients = self._chain.backward(slopes)
        else:
            for parameter in self._dense.parameters:
                parameter.grad = slopes.sum().reshape(1)
        regions = self._add_up(batch, factors, gradients, slopes)
        clip = self._clip(regions)
        self._update(regions, self.settings.table_learning_rate * factor, clip)
        self._dense.step()
        return loss

    def logits(self, batch: Batch) -> Tensor:
        """What the model says; `batch` may be as large as it likes."""
        size = self.settings.batch_size
        parts = []
        for start in range(0, len(batch), size):
            some = Batch(*(part[start : start + size] for part in batch.parts()))
            self._look_up(some)
            with torch.no_grad():
                parts.append(self._logits[: len(some)] + self._deep(len(some), training=False))
        return torch.cat(parts)

    def state(self) -> dict[str, Any]:
        """Moments and step counts."""
        return {"table": self._moments, "steps": self._steps, "dense": self._dense.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name, tensor in self._moments.items():
            tensor.copy_(state["table"][name])
        self._steps.copy_(state["steps"])
        self._dense.restore(state["dense"])

    def _deep(self, rows: int, *, training: bool) -> Tensor:
        if self._chain is None:
            return next(iter(self.model.dense.parameters())).detach()
        if training:
            return self._chain.forward(self._vectors[:rows])
        said: Tensor = self.model.dense(self._vectors[:rows])
        return said.squeeze(-1)

    def _look_up(self, batch: Batch) -> Tensor:
        """Fill vectors, totals and logits; the factors of the value fields."""
        rows = len(batch)
        factors = self._no_factors[:rows]
        if batch.values.shape[1]:
            factors = ((batch.values - self.model.center) * self.model.scale).contiguous()
        ids, scaled = batch.ids.numpy(), factors.numpy()
        arrays = [tensor.numpy() for tensor in (self._vectors, self._totals, self._logits)]

        def part(start: int, stop: int) -> None:
            kernels.look_up(
                self._table, ids, self._offsets, self._widths, scaled, self._first_order, self._pairs, *arrays,
                start, stop,
            )  # fmt: skip

        self._share(part, [rows * index // self._threads for index in range(self._threads + 1)])
        return factors

    def _add_up(self, batch: Batch, factors: Tensor, gradients: Tensor, slopes: Tensor) -> list[tuple[int, int]]:
        """Sum gradients by row; where in the buffer each thread's sums are: first and number."""
        fields, rows = self.model.layout.width, len(batch)
        ids, scaled = batch.ids.numpy(), factors.numpy()
        vectors, totals = self._vectors.numpy(), self._totals.numpy()
        by_vector, by_logit = gradients.numpy(), slopes.numpy()

        def part(first: int, last: int) -> tuple[int, int]:
            start = first * rows
            count = kernels.add_up(
                ids, self._offsets, self._widths, scaled, self._first_order, self._pairs, vectors, totals,
                by_vector, by_logit, self._slots, self._touched, self._sums, start, first, last,
            )  # fmt: skip
            return start, count

        # Fields have no row in common: whoever has a field has its rows to itself.
        return self._share(part, [fields * index // self._threads for index in range(self._threads + 1)])

    def _clip(self, regions: Sequence[tuple[int, int]]) -> float:
        """Shorten the MLP's gradients in place; the factor for the table's."""
        if self.settings.clip_norm is None:
            return 1.0
        total = sum(kernels.squared_length(self._sums, start, count) for start, count in regions)
        gradients = self._dense.gradients
        total += sum(float(gradient.double().square().sum()) for gradient in gradients)
        factor = min(1.0, self.settings.clip_norm / max(total**0.5, 1e-12))
        for gradient in gradients:
            gradient.mul_(factor)
        return float(factor)

    def _update(self, regions: Sequence[tuple[int, int]], rate: float, clip: float) -> None:
        self._steps += 1
        step, l2 = float(self._steps), self.settings.embedding_l2
        moments = [tensor.numpy() for tensor in self._moments.values()]
        shared = (self._table, *moments, self._slots, self._touched, self._sums)

        def part(start: int, count: int) -> None:
            if self.settings.optimiser == "lazy_adam":
                corrected = rate * (1 - SECOND_MOMENT**step) ** 0.5 / (1 - FIRST_MOMENT**step)
                kernels.lazy_adam(
                    *shared, start, count, corrected, 1 - FIRST_MOMENT, 1 - SECOND_MOMENT, ADAM_EPSILON, l2, clip
                )
            else:
                kernels.rowwise_adagrad(*shared, start, count, rate, ADAGRAD_EPSILON, l2, clip)

        if self._pool is None:
            for region in regions:
                part(*region)
        else:
            list(self._pool.map(lambda region: part(*region), regions))

    def _share(self, part: Callable[[int, int], Any], bounds: Sequence[int]) -> list[Any]:
        """Let each thread do its part."""
        pieces = [(low, high) for low, high in pairwise(bounds) if low < high]
        if self._pool is None:
            return [part(low, high) for low, high in pieces]
        return list(self._pool.map(lambda piece: part(*piece), pieces))
