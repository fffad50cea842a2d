"""Batches for the trainer: rows of a window, gathered in random order into tensors that are used again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.order import RowOrder


@dataclass(frozen=True)
class Batch:
    """What a step sees; the tensors are valid until the next batch.

    :param ids: int32 [rows, n].
    :param values: float32 [rows, m].
    :param labels: float32 [rows].
    """

    ids: Tensor
    values: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            self.ids.to(device, non_blocking=True),
            self.values.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
        )


def as_batch(examples: Examples) -> Batch:
    """Examples in memory as tensors, without a copy where memory may be written to."""
    return Batch(*(torch.from_numpy(np.require(part, requirements=["C", "W"])) for part in _parts(examples)))


def _parts(examples: Examples) -> tuple[np.ndarray, ...]:
    return examples.ids, examples.values, examples.labels


class Loader:
    """The batches of each epoch.

    :param examples: the rows.
    :param order: how epochs visit them.
    """

    def __init__(self, examples: Examples, order: RowOrder) -> None:
        self._examples = examples
        self._order = order
        size = min(order.batch_size, len(examples))
        self._buffer = tuple(torch.empty((size, *part.shape[1:]), dtype=_dtype(part)) for part in _parts(examples))
        self._views = tuple(tensor.numpy() for tensor in self._buffer)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on."""
        size, skip = self._order.batch_size, first_step
        for start, count in self._order.windows(number):
            steps = -(-count // size)
            if skip >= steps:
                skip -= steps
                continue
            held = [part[start : start + count] for part in _parts(self._examples)]
            if count < len(self._examples):
                held = [np.array(part) for part in held]  # one pass over the file instead of a visit per row
            index = self._order.shuffled(number, start, count)
            for step in range(skip, steps):
                chosen = index[step * size : (step + 1) * size]
                for part, view in zip(held, self._views, strict=True):
                    np.take(part, chosen, axis=0, out=view[: len(chosen)], mode="clip")
                yield Batch(*(tensor[: len(chosen)] for tensor in self._buffer))
            skip = 0


def _dtype(part: np.ndarray) -> torch.dtype:
    return torch.int32 if part.dtype == np.int32 else torch.float32
