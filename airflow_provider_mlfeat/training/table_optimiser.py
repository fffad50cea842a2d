"""Optimisers of the embedding table that touch only the rows of the batch.

This file is plain PyTorch of fixed shapes, so that a GPU can record a step: instead of as many rows as are different,
there are always as many as there are look-ups, and those left over point at the row `spare`, which lies behind the
table and is nobody's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from airflow_provider_mlfeat.training.settings import TrainSettings

FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.999
ADAM_EPSILON, ADAGRAD_EPSILON = 1e-8, 1e-10


def sum_by_row(rows: Tensor, gradients: Tensor, spare: int) -> tuple[Tensor, Tensor]:
    """Add up the gradients of equal rows.

    :param rows: int64 [look-ups].
    :param gradients: float32 [look-ups, width].
    :param spare: what the rows left over point at.
    :returns: rows, each once and then `spare`, and their sums, then zeros; both as long as the input.
    """
    ordered, order = torch.sort(rows, stable=True)
    heads = torch.ones_like(ordered, dtype=torch.bool)
    heads[1:] = ordered[1:] != ordered[:-1]
    run = torch.cumsum(heads, 0) - 1
    sums = torch.zeros_like(gradients).index_add_(0, run, gradients[order])
    unique = torch.full_like(ordered, spare).scatter_(0, run, ordered)
    return unique, sums


class TableOptimiser(ABC):
    """Moves rows of a table against their gradients.

    :param table: float32 [rows + 1, width]; the last row is the spare one.
    :param l2: pull of touched rows towards zero.
    """

    def __init__(self, table: Tensor, l2: float) -> None:
        self.table = table
        self.l2 = l2
        self.step_count = torch.zeros((), dtype=torch.float64, device=table.device)
        self.learning_rate = torch.zeros((), dtype=torch.float32, device=table.device)

    @property
    def spare(self) -> int:
        """The row that is nobody's."""
        return len(self.table) - 1

    @abstractmethod
    def update(self, rows: Tensor, gradients: Tensor) -> None:
        """One step for rows that are different, but for the spare one."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What it remembers about the rows, by name; changed in place by steps and by whoever restores."""


class LazyAdam(TableOptimiser):
    """Adam with moments that move only when their row is in the batch, as torch's SparseAdam.

    :param table: float32 [rows + 1, width]; the last row is the spare one.
    :param l2: pull of touched rows towards zero.
    """

    def __init__(self, table: Tensor, l2: float = 0.0) -> None:
        super().__init__(table, l2)
        self.first = torch.zeros_like(table)
        self.second = torch.zeros_like(table)

    def update(self, rows: Tensor, gradients: Tensor) -> None:
        """One step."""
        self.step_count += 1
        current = self.table[rows]
        if self.l2:
            gradients = gradients + self.l2 * current
        first = self.first[rows].lerp_(gradients, 1 - FIRST_MOMENT)
        second = self.second[rows].lerp_(gradients.square(), 1 - SECOND_MOMENT)
        correction_1 = 1 - FIRST_MOMENT**self.step_count
        correction_2 = 1 - SECOND_MOMENT**self.step_count
        rate = (self.learning_rate * correction_2.sqrt() / correction_1).to(torch.float32)
        self.first.index_copy_(0, rows, first)
        self.second.index_copy_(0, rows, second)
        self.table.index_copy_(0, rows, current - rate * first / (second.sqrt() + ADAM_EPSILON))

    def state(self) -> dict[str, Tensor]:
        """Both moments."""
        return {"first": self.first, "second": self.second}


class RowwiseAdagrad(TableOptimiser):
    """Adagrad with one number per row: the sum of its mean squared gradients.

    :param table: float32 [rows + 1, width]; the last row is the spare one.
    :param l2: pull of touched rows towards zero.
    """

    def __init__(self, table: Tensor, l2: float = 0.0) -> None:
        super().__init__(table, l2)
        self.squares = torch.zeros(len(table), device=table.device)

    def update(self, rows: Tensor, gradients: Tensor) -> None:
        """One step."""
        self.step_count += 1
        current = self.table[rows]
        if self.l2:
            gradients = gradients + self.l2 * current
        squares = self.squares[rows] + gradients.square().mean(1)
        self.squares.index_copy_(0, rows, squares)
        move = self.learning_rate * gradients / (squares.sqrt() + ADAGRAD_EPSILON).unsqueeze(1)
        self.table.index_copy_(0, rows, current - move)

    def state(self) -> dict[str, Tensor]:
        """The sums."""
        return {"squares": self.squares}


def table_optimiser(settings: TrainSettings, table: Tensor) -> TableOptimiser:
    """The optimiser that the settings name."""
    kind = LazyAdam if settings.optimiser == "lazy_adam" else RowwiseAdagrad
    return kind(table, settings.embedding_l2)
