"""Batches for the trainer: rows of a window, gathered in random order into tensors that are used again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.group import Group
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

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """The tensors."""
        return self.ids, self.values, self.labels

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self.parts()))


def as_batch(examples: Examples) -> Batch:
    """Examples in memory as tensors, without a copy where memory may be written to."""
    return Batch(*(torch.from_numpy(np.require(part, requirements=["C", "W"])) for part in _arrays(examples)))


class Loader:
    """The batches of each epoch, on the device.

    The rows of a window are held where steps run: in this process's memory for a CPU, and for a GPU on the GPU where
    all fit, else in pinned memory, from where batches are copied while the GPU computes.

    :param examples: the rows.
    :param order: how epochs visit them.
    :param device: where steps run.
    :param resident: whether the rows of a window may be kept on the GPU.
    :param group: of whose batches this process sees its share.
    """

    def __init__(
        self,
        examples: Examples,
        order: RowOrder,
        device: torch.device | None = None,
        *,
        resident: bool = True,
        group: Group | None = None,
    ) -> None:
        self._examples = examples
        self._order = order
        self._device = device or torch.device("cpu")
        self._group = group or Group()
        self._held_on = self._device if resident else torch.device("cpu")
        self._window: tuple[tuple[int, int], tuple[Tensor, ...]] | None = None
        rows = min(order.batch_size, len(examples))
        self._rings = [self._buffer(rows) for _ in range(2 if self._copies else 1)]
        self._copied = [torch.cuda.Event() for _ in self._rings] if self._copies else []  # type: ignore[no-untyped-call]

    @property
    def _copies(self) -> bool:
        """Whether batches go from pinned memory to a GPU."""
        return self._held_on != self._device

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on."""
        size, skip, turn = self._order.batch_size, first_step, 0
        for start, count in self._order.windows(number):
            steps = -(-count // size)
            if skip >= steps:
                skip -= steps
                continue
            held = self._hold(start, count)
            index = self._index(number, start, count)
            for step in range(skip, steps):
                chosen = index[step * size : (step + 1) * size]
                yield self._gather(held, chosen[self._group.share(len(chosen))], turn)
                turn = (turn + 1) % len(self._rings)
            skip = 0

    def _index(self, number: int, start: int, count: int) -> Tensor:
        """The rows of a window in the order of their visit, where they are gathered."""
        if self._held_on.type == "cpu":
            return torch.from_numpy(self._order.shuffled(number, start, count))
        return self._order.shuffled_there(self._held_on, number, start, count)

    def batch(self, number: int, step: int) -> Batch:
        """One batch of an epoch."""
        return next(self.epoch(number, step))

    def _gather(self, held: tuple[Tensor, ...], chosen: Tensor, turn: int) -> Batch:
        ring = self._rings[turn]
        if self._copies:
            self._copied[turn].synchronize()  # the copy out of this buffer, two batches ago
        views = [buffer[: len(chosen)] for buffer in ring]
        for part, view in zip(held, views, strict=True):
            torch.index_select(part, 0, chosen, out=view)
        batch = Batch(*views)
        if self._copies:
            batch = batch.to(self._device)
            self._copied[turn].record()
        return batch

    def _hold(self, start: int, count: int) -> tuple[Tensor, ...]:
        """A window's rows where they are gathered from; a file is read once from front to back, not by row."""
        if self._window is None or self._window[0] != (start, count):
            self._window = None
            parts = [part[start : start + count] for part in _arrays(self._examples)]
            copies = (np.array(part) if isinstance(part, np.memmap) else np.require(part, None, "W") for part in parts)
            self._window = (start, count), tuple(torch.from_numpy(part).to(self._held_on) for part in copies)
        return self._window[1]

    def _buffer(self, rows: int) -> tuple[Tensor, ...]:
        where = {"pin_memory": True} if self._copies else {"device": self._held_on}
        return tuple(
            torch.empty(
                (rows, *part.shape[1:]), dtype=torch.int32 if part.dtype == np.int32 else torch.float32, **where
            )
            for part in _arrays(self._examples)
        )


def _arrays(examples: Examples) -> tuple[npt.NDArray[np.generic], ...]:
    return examples.ids, examples.values, examples.labels
