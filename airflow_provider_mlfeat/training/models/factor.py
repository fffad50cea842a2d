"""DeepFM, Wide&Deep and logistic regression: one table, and up to three parts that read its rows.

This file is plain PyTorch: it is exported, it runs on a GPU, and the compiled CPU step is tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.settings import TrainSettings

FIRST_ORDER, PAIRS, DEEP = "first_order", "pairs", "deep"
PARTS = {
    "deepfm": (FIRST_ORDER, PAIRS, DEEP),
    "wide_deep": (FIRST_ORDER, DEEP),
    "lr": (FIRST_ORDER,),
    "fm": (FIRST_ORDER, PAIRS),
    "dnn": (DEEP,),
}


class FactorModel(nn.Module):
    """Logit = sum of weights + pairwise products of vectors + MLP over the vectors, of which a kind has its parts.

    A row of the table holds an id's vector and, last, its weight: one look-up serves all parts.

    :param layout: the fields.
    :param settings: sizes and dropout.
    :param parts: which of ``first_order``, ``pairs`` and ``deep`` the model has.
    """

    offsets: Tensor
    center: Tensor
    scale: Tensor
    mask: Tensor

    def __init__(self, layout: FieldLayout, settings: TrainSettings, parts: Sequence[str]) -> None:
        super().__init__()
        self.layout = layout
        self.parts = tuple(parts)
        vectors = PAIRS in parts or DEEP in parts
        self.embedding_size = settings.embedding_size if vectors else 0
        self.table = nn.Parameter(torch.empty(layout.rows, self.embedding_size + 1))
        self.register_buffer("offsets", torch.tensor(layout.offsets, dtype=torch.int64))
        # Value fields come in any unit: the trainer sets both from the training rows.
        self.register_buffer("center", torch.zeros(len(layout.value_names)))
        self.register_buffer("scale", torch.ones(len(layout.value_names)))
        self.register_buffer("mask", self._mask(settings))
        if DEEP in parts:
            self.dense: nn.Module = mlp(layout.width * self.embedding_size, settings.hidden_layers, settings.dropout)
        else:
            self.dense = Bias()
        with torch.no_grad():
            self.table[:, : self.embedding_size].normal_(std=settings.embedding_deviation)
            self.table[:, self.embedding_size].zero_()

    def _mask(self, settings: TrainSettings) -> Tensor:
        """1 where a field has the number of a vector, 0 where its own size is smaller."""
        names = (*self.layout.names, *self.layout.value_names)
        unknown = sorted(set(settings.field_sizes) - set(names))
        if unknown:
            raise UserError(f"field_sizes names '{unknown[0]}', which is no field of the dataset")
        mask = torch.ones(len(names), self.embedding_size)
        for index, name in enumerate(names):
            mask[index, settings.field_sizes.get(name, self.embedding_size) :] = 0
        return mask

    @property
    def widths(self) -> list[int]:
        """How many numbers of a vector each field uses."""
        return [int(width) for width in self.mask.sum(1)]

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of the table that a batch reads, int64 [rows, fields]: those of its ids, then the value fields'."""
        index = ids.long() + self.offsets
        if not self.layout.value_names:
            return index
        first = self.layout.id_rows
        values = torch.arange(first, self.layout.rows, device=index.device).expand(len(index), -1)
        return torch.cat([index, values], 1)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        """Logits [rows] of ids [rows, n] and values [rows, m]."""
        return self.head(nn.functional.embedding(self.rows(ids), self.table), values)

    def head(self, looked_up: Tensor, values: Tensor) -> Tensor:
        """Logits of what the table gave, [rows, fields, embedding size + 1]."""
        if self.layout.value_names:
            factors = torch.ones(looked_up.shape[:2], device=looked_up.device, dtype=looked_up.dtype)
            factors[:, len(self.layout.names) :] = (values - self.center) * self.scale
            looked_up = looked_up * factors.unsqueeze(-1)
        vectors = looked_up[..., : self.embedding_size] * self.mask
        logits: Tensor = self.dense(vectors.flatten(1)).squeeze(-1).float()
        if FIRST_ORDER in self.parts:
            logits = logits + looked_up[..., self.embedding_size].sum(1)
        if PAIRS in self.parts:
            logits = logits + 0.5 * (vectors.sum(1).square() - vectors.square().sum(1)).sum(1)
        return logits


class Bias(nn.Module):
    """What stands in for the MLP in a model without one: a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, vectors: Tensor) -> Tensor:
        """The constant for each row."""
        return self.bias.expand(len(vectors), 1)


def mlp(inputs: int, hidden: Sequence[int], dropout: float) -> nn.Sequential:
    """Layers with ReLU and dropout, then one number; Xavier normal weights, zero biases."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = width
    layers.append(nn.Linear(inputs, 1))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
