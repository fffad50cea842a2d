"""Models of a user's own, good and bad."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Towers(nn.Module):
    """A table per field and a layer; gives [rows, 1]."""

    def __init__(self, sizes: Sequence[int], values: int, width: int = 4) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        self.layer = nn.Linear(width * len(sizes) + values, 1)

    def forward(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        found = [table(ids[:, place]) for place, table in enumerate(self.tables)]
        return self.layer(torch.cat([*found, values], 1))


class PerField(nn.Module):
    """Gives a number per field in place of one per row."""

    def __init__(self, sizes: Sequence[int], values: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(sizes)))

    def forward(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return ids * self.weight


class Choosy(nn.Module):
    """Its path through the code depends on the rows."""

    def __init__(self, sizes: Sequence[int], values: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        total = ids.sum(1).float() * self.weight
        return total if ids.sum() > 5 else total + 1


class Broken(nn.Module):
    """Fails on every row."""

    def __init__(self, sizes: Sequence[int], values: int) -> None:
        super().__init__()

    def forward(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        raise ValueError("no rows, please")


def not_a_module(sizes: Sequence[int], values: int) -> str:
    return "a model"
