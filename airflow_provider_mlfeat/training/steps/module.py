"""The step of a user's module: autograd over everything, sparse gradients with torch's SparseAdam."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps.step import Step, dense_optimiser, optimiser_tensors, prepare, set_rate


class ModuleStep(Step):
    """Learn with whatever module: ``nn.Embedding(sparse=True)`` gets SparseAdam, all other parameters Adam.

    :param model: on its device already.
    :param settings: of the run.
    :param device: where the model is.
    """

    def __init__(self, model: nn.Module, settings: TrainSettings, device: torch.device) -> None:
        super().__init__(model, settings, device)
        sparse = {
            id(module.weight)
            for module in model.modules()
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse
        }
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        tables = [parameter for parameter in learning if id(parameter) in sparse]
        rest = [parameter for parameter in learning if id(parameter) not in sparse]
        self._dense = dense_optimiser(settings, rest, device) if rest else None
        self._tables = torch.optim.SparseAdam(tables, lr=settings.table_learning_rate) if tables else None
        if self._dense is not None:
            prepare(self._dense)

    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch."""
        moved = batch.to(self.device)
        with self.arithmetic():
            logits = self.model(moved.ids.long(), moved.values)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), moved.labels)
        self.model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        if self._dense is not None:
            set_rate(self._dense, self.settings.learning_rate * factor)
            self._dense.step()
        if self._tables is not None:
            set_rate(self._tables, self.settings.table_learning_rate * factor)
            self._tables.step()  # type: ignore[no-untyped-call]
        return loss.detach()

    def tensors(self) -> dict[str, Tensor]:
        """Moments and step counts."""
        return optimiser_tensors(self._dense, "dense") if self._dense is not None else {}
