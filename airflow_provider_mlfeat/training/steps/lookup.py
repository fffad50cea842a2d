"""The step of our own models in plain PyTorch: the reference for the compiled one, and what runs on a GPU.

The table takes no part in autograd: the rows that the batch looks up are a leaf, and their gradients, added up by row,
go to an optimiser that touches only these rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.models.factor import FactorModel
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps.step import Step, dense_optimiser, optimiser_tensors, prepare, set_rate
from airflow_provider_mlfeat.training.table_optimiser import sum_by_row, table_optimiser


class LookupStep(Step):
    """Look up, differentiate the head, update the touched rows and the MLP.

    :param model: on its device already.
    :param settings: of the run.
    :param device: where the model is.
    """

    model: FactorModel

    def __init__(self, model: FactorModel, settings: TrainSettings, device: torch.device) -> None:
        super().__init__(model, settings, device)
        # One row more than the model has, for updates that are nobody's.
        storage = torch.zeros(model.table.shape[0] + 1, model.table.shape[1], device=device)
        storage[:-1] = model.table.detach()
        model.table.data = storage[:-1]
        self._storage = storage
        self._table = table_optimiser(settings, storage)
        self._dense = dense_optimiser(settings, model.dense.parameters(), device)
        prepare(self._dense)

    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch."""
        self._table.learning_rate.fill_(self.settings.table_learning_rate * factor)
        set_rate(self._dense, self.settings.learning_rate * factor)
        return self._learn(batch.to(self.device))

    def _learn(self, batch: Batch) -> Tensor:
        rows = self.model.rows(batch.ids)
        looked_up = self._storage[rows].requires_grad_()
        with self.arithmetic():
            logits = self.model.head(looked_up, batch.values)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)
        self._dense.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        assert looked_up.grad is not None
        touched, sums = sum_by_row(rows.flatten(), looked_up.grad.flatten(0, 1), self._table.spare)
        if self.settings.clip_norm is not None:
            sums = sums * self._clip(sums, self.settings.clip_norm)
        with torch.no_grad():
            self._table.update(touched, sums)
        self._dense.step()
        return loss.detach()

    def _clip(self, sums: Tensor, longest: float) -> Tensor:
        """Shorten the MLP's gradients in place; the factor for the table's."""
        gradients = [parameter.grad for parameter in self.model.dense.parameters() if parameter.grad is not None]
        norms = [torch.linalg.vector_norm(part) for part in (sums, *gradients)]
        factor: Tensor = (longest / torch.linalg.vector_norm(torch.stack(norms)).clamp_min(1e-12)).clamp_max(1.0)
        for gradient in gradients:
            gradient.mul_(factor)
        return factor

    def tensors(self) -> dict[str, Tensor]:
        """Moments and step counts."""
        table = {f"table.{name}": tensor for name, tensor in self._table.state().items()}
        return {**table, "table.step": self._table.step_count, **optimiser_tensors(self._dense, "dense")}
