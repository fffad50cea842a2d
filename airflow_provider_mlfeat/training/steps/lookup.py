"""The step of our own models in plain PyTorch: the reference for the compiled one, and what GPUs and groups run.

The table takes no part in autograd: the rows that the batch looks up are a leaf, and their gradients, added up by row,
go to an optimiser that touches only these rows. Where several processes train, each computes its part of the batch;
either each has the whole table and makes every update, or each has every n-th row and makes the updates of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.models.factor import FactorModel
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps.step import DenseOptimiser, Step
from airflow_provider_mlfeat.training.table_optimiser import sum_by_row, table_optimiser


class LookupStep(Step):
    """Look up, differentiate the head, update the touched rows and the MLP.

    :param model: on its device already.
    :param settings: of the run.
    :param device: where the model is.
    :param group: the processes that train together.
    """

    model: FactorModel

    def __init__(
        self, model: FactorModel, settings: TrainSettings, device: torch.device, group: Group | None = None
    ) -> None:
        super().__init__(model, settings, device)
        self.group = group or Group()
        self._parted = settings.table == "rows" and self.group.size > 1
        own = model.table.detach()
        if self._parted:
            own = own[self.group.rank :: self.group.size]
        # One row more than the process has, for updates that are nobody's and look-ups that another process answers.
        storage = torch.zeros(len(own) + 1, own.shape[1], device=device)
        storage[:-1] = own
        model.table.data = storage[:-1]
        self._storage = storage
        self._table = table_optimiser(settings, storage)
        self._dense = DenseOptimiser(settings, model.dense.parameters(), device)
        self._head = torch.compile(model.head) if settings.compile else model.head

    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch."""
        self.set_rates(factor)
        return self.learn(batch.to(self.device))

    def set_rates(self, factor: float) -> None:
        """Learning rates times `factor`."""
        self._table.learning_rate.fill_(self.settings.table_learning_rate * factor)
        self._dense.set_rate(self.settings.learning_rate * factor)

    def learn(self, batch: Batch) -> Tensor:
        """Learn from a batch on the device; the shapes alone decide what is done, so that a GPU can record it."""
        rows = self.model.rows(batch.ids)
        looked_up = self._look_up(rows).requires_grad_()
        with self.arithmetic():
            logits = self._head(looked_up, batch.values)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)
        self._dense.forget_gradients()
        torch.autograd.backward(loss)
        assert looked_up.grad is not None
        self.group.average(self._dense.gradients)
        touched, sums = self._sum(rows, looked_up.grad)
        if self.settings.clip_norm is not None:
            sums = sums * self._clip(sums, self.settings.clip_norm)
        with torch.no_grad():
            self._table.update(touched, sums)
        self._dense.step()
        return self.group.sum(loss.detach() / self.group.size)

    def logits(self, batch: Batch) -> Tensor:
        """What the model says; every process of a group gets all of it."""
        if self.group.size == 1:
            return super().logits(batch)
        rows, size = len(batch), self.group.size
        missing = -rows % size
        parts = [nn.functional.pad(part, (0, 0) * (part.dim() - 1) + (0, missing)) for part in batch.parts()]
        mine = Batch(*(part[self.group.share(rows + missing)] for part in parts)).to(self.device)
        with torch.no_grad():
            said = self.model.head(self._look_up(self.model.rows(mine.ids)), mine.values).float()
        return self.group.gather(said)[:rows]

    def state(self) -> dict[str, Any]:
        """Moments and step counts."""
        return {"table": self._table.state(), "steps": self._table.step_count, "dense": self._dense.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name, tensor in self._table.state().items():
            tensor.copy_(state["table"][name])
        self._table.step_count.copy_(state["steps"])
        self._dense.restore(state["dense"])

    def _look_up(self, rows: Tensor) -> Tensor:
        """The table's rows [examples, fields, width]."""
        if not self._parted:
            return self._storage[rows]
        asked = self.group.gather(rows)
        found = self._storage[self._own(asked)]  # zeros from the spare row where another process knows
        return self.group.sum_and_share(found)

    def _own(self, rows: Tensor) -> Tensor:
        """Where this process has rows of the whole table; the spare row where it has not."""
        mine = rows % self.group.size == self.group.rank
        return torch.where(mine, rows // self.group.size, self._table.spare)

    def _sum(self, rows: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The rows that this process updates, and the sums of their gradients over the whole batch."""
        flat, slopes = self.group.gather(rows.flatten()), self.group.gather(gradients.flatten(0, 1))
        if self._parted:
            flat = self._own(flat)
        if self.group.size > 1:
            slopes = slopes / self.group.size  # each process took the mean over its part alone
        touched, sums = sum_by_row(flat, slopes, self._table.spare)
        # The spare row keeps its zeros: others' gradients that were added up for it are dropped.
        return touched, sums.masked_fill_((touched == self._table.spare).unsqueeze(1), 0.0)

    def _clip(self, sums: Tensor, longest: float) -> Tensor:
        """Shorten the MLP's gradients in place; the factor for the table's."""
        gradients = self._dense.gradients
        table = sums.square().sum()
        if self._parted:
            table = self.group.sum(table)
        total = table + torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        factor: Tensor = (longest / total.sqrt().clamp_min(1e-12)).clamp_max(1.0)
        for gradient in gradients:
            gradient.mul_(factor)
        return factor
