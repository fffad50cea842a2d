"""The weights of the best epoch: kept until a better one comes, and put together at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.training.checkpoint import Checkpoints
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.models import FactorModel, build_model
from airflow_provider_mlfeat.training.settings import TrainSettings

TABLE = "table"


class BestWeights:
    """The best epoch so far: on disk where there are checkpoints, else in memory.

    :param checkpoints: where weights are written.
    :param min_delta: by how much an epoch has to be better.
    """

    def __init__(self, checkpoints: Checkpoints | None, min_delta: float) -> None:
        self.epoch = 0
        self._score = float("-inf")
        self._checkpoints = checkpoints
        self._min_delta = min_delta
        self._weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, score: float, model: nn.Module) -> None:
        """Keep an epoch's weights if they are better."""
        if self.epoch and not score > self._score + self._min_delta:
            return
        self.epoch, self._score = epoch, score
        if self._checkpoints is None:
            self._weights = {name: tensor.to("cpu", copy=True) for name, tensor in model.state_dict().items()}
        else:
            self._checkpoints.save_best(epoch, model.state_dict())

    def load(self) -> list[dict[str, Any]]:
        """The weights of each process, in order."""
        if self._checkpoints is None:
            return [self._weights]
        return self._checkpoints.load_best(self.epoch)

    def to_document(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best_epoch": self.epoch, "best_score": self._score if self.epoch else None}

    def restore(self, position: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        if position["best_epoch"]:
            self.epoch, self._score = position["best_epoch"], position["best_score"]


def whole_model(
    model: nn.Module, settings: TrainSettings, layout: FieldLayout, parts: Sequence[Mapping[str, Any]], group: Group
) -> nn.Module:
    """The model with the best weights, on the CPU, in evaluation mode.

    :param model: that was trained.
    :param settings: of the run.
    :param layout: its fields.
    :param parts: the weights of each process.
    :param group: the processes; each holds all rows of the table, or every n-th.
    """
    weights = dict(parts[0])
    if isinstance(model, FactorModel) and settings.table == "rows" and group.size > 1:
        table = torch.empty(layout.rows, parts[0][TABLE].shape[1])
        for rank, part in enumerate(parts):
            table[rank :: group.size] = part[TABLE]
        weights[TABLE] = table
        model = build_model(settings, layout)
    model = model.cpu()
    model.load_state_dict(weights)
    return model.eval()
