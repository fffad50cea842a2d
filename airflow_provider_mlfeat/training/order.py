"""In which order an epoch visits the rows: a pure function of seed and epoch, so that a resumed run finds its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# splitmix64.
_GOLDEN = 0x9E3779B97F4A7C15
_MIXES = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowOrder:
    """Windows of neighbouring rows in random order, and the rows of each window in random order.

    One window holds all rows where they fit into memory; otherwise the dataset's builder has shuffled the rows already,
    and a window is what is held at a time.

    :param rows: of the split.
    :param batch_size: rows of a step.
    :param window: rows shuffled together.
    :param seed: of the run.
    """

    rows: int
    batch_size: int
    window: int
    seed: int

    @classmethod
    def within(cls, rows: int, batch_size: int, seed: int, held: int) -> RowOrder:
        """The order with at most `held` rows at a time, in whole batches."""
        window = rows if rows <= held else max(1, held // batch_size) * batch_size
        return cls(rows, batch_size, window, seed)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.rows // self.batch_size)

    def windows(self, epoch: int) -> Iterator[tuple[int, int]]:
        """First row and number of rows of each window."""
        count = -(-self.rows // self.window)
        order = np.random.default_rng([self.seed, epoch]).permutation(count)
        for window in order.tolist():
            start = window * self.window
            yield start, min(self.window, self.rows - start)

    def shuffled(self, epoch: int, start: int, count: int) -> Index:
        """The rows of one window, counted from its first, in the order of their visit."""
        return np.random.default_rng([self.seed, epoch, start]).permutation(count)

    def shuffled_there(self, device: torch.device, epoch: int, start: int, count: int) -> Tensor:
        """Such an order, made on a device: a processor would need as long for it as a GPU for a third of the epoch.

        It is the order of the rows' numbers, each mixed with the seed in whole-number arithmetic: the same on every
        device, whereas a device's own permutation differs from one kind of GPU to the next.
        """
        seed = int(np.random.SeedSequence([self.seed, epoch, start]).generate_state(1, np.uint64)[0])
        numbers = torch.arange(1, count + 1, device=device) * _signed(_GOLDEN) + _signed(seed)
        for shift, factor in _MIXES:
            # Shifts of whole numbers with a sign bring in ones from the left.
            numbers = (numbers ^ ((numbers >> shift) & ((1 << (64 - shift)) - 1))) * _signed(factor)
        return torch.argsort(numbers ^ ((numbers >> 31) & ((1 << 33) - 1)), stable=True)


def _signed(number: int) -> int:
    """A number of 64 bits as one with a sign."""
    return number - (1 << 64) if number >> 63 else number
