"""The step of a user's module: autograd over everything, sparse gradients with torch's SparseAdam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps.step import DenseOptimiser, Step


class ModuleStep(Step):
    """Learn with whatever module: ``nn.Embedding(sparse=True)`` gets SparseAdam, all other parameters Adam.

    :param model: on its device already.
    :param settings: of the run.
    :param device: where the model is.
    :param group: the processes that train together.
    """

    def __init__(
        self, model: nn.Module, settings: TrainSettings, device: torch.device, group: Group | None = None
    ) -> None:
        super().__init__(model, settings, device)
        self.group = group or Group()
        sparse = {
            id(module.weight)
            for module in model.modules()
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse
        }
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not learning:
            raise UserError(f"model '{settings.model}' has no parameters to train")
        tables = [parameter for parameter in learning if id(parameter) in sparse]
        rest = [parameter for parameter in learning if id(parameter) not in sparse]
        if tables and self.group.size > 1:
            raise UserError(
                f"model '{settings.model}' has an embedding with sparse=True, which several processes cannot train:"
                " leave sparse out or train with one"
            )
        self._dense = DenseOptimiser(settings, rest, device) if rest else None
        self._tables = torch.optim.SparseAdam(tables, lr=settings.table_learning_rate) if tables else None

    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch."""
        moved = batch.to(self.device)
        with self.arithmetic():
            logits = self.model(moved.ids.long(), moved.values)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), moved.labels)
        self.model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self._dense is not None:
            self.group.average(self._dense.gradients)
        if self.settings.clip_norm is not None:
            self._clip(self.settings.clip_norm)
        if self._dense is not None:
            self._dense.set_rate(self.settings.learning_rate * factor)
            self._dense.step()
        if self._tables is not None:
            for group in self._tables.param_groups:
                group["lr"] = self.settings.table_learning_rate * factor
            self._tables.step()  # type: ignore[no-untyped-call]
        return self.group.sum(loss.detach() / self.group.size)

    def state(self) -> dict[str, Any]:
        """Moments and step counts."""
        return {
            "dense": None if self._dense is None else self._dense.state(),
            "tables": None if self._tables is None else self._tables.state_dict()["state"],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        if self._dense is not None:
            self._dense.restore(state["dense"])
        if self._tables is not None:
            self._tables.load_state_dict({**self._tables.state_dict(), "state": state["tables"]})

    def _clip(self, longest: float) -> None:
        """Shorten all gradients together; those of embeddings are sparse, which torch's own clipping refuses."""
        for parameter in self.model.parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
        parts = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        numbers = [part.values() if part.is_sparse else part for part in parts]
        total = torch.stack([part.square().sum() for part in numbers]).sum()
        factor = (longest / total.sqrt().clamp_min(1e-12)).clamp_max(1.0)
        for part in numbers:
            part.mul_(factor)
