"""Numbers that belong to a row and to nothing else: for splits, shuffles and samples that never depend on batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def row_numbers(first: int, rows: int, seed: int) -> NDArray[np.uint64]:
    """An evenly spread 64-bit number for each of `rows` rows from row `first` on (splitmix64)."""
    states = np.arange(first + 1, first + rows + 1, dtype=np.uint64) * _GOLDEN
    return mix(states + np.uint64(mix_one(seed)))


def mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers whose every bit depends on all bits of the given ones."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def mix_one(seed: int) -> int:
    """`mix` of one whole number."""
    return int(mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64))[0])


class RowSample:
    """An even sample of rows' values: those of the smallest row numbers.

    :param most: how many values it keeps.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers = np.zeros(0, np.uint64)
        self._values = np.zeros(0, np.float64)

    def add(self, numbers: NDArray[np.uint64], values: NDArray[np.float64]) -> None:
        """Offer values with their rows' numbers."""
        if len(self._numbers) >= self._most:
            kept = numbers < self._numbers.max()
            numbers, values = numbers[kept], values[kept]
        self._numbers = np.concatenate((self._numbers, numbers))
        self._values = np.concatenate((self._values, values))
        if len(self._numbers) > self._most:
            kept = np.argpartition(self._numbers, self._most - 1)[: self._most]
            self._numbers, self._values = self._numbers[kept], self._values[kept]

    def merge(self, other: RowSample) -> None:
        """Take in what another one was offered."""
        self.add(other._numbers, other._values)

    @property
    def values(self) -> NDArray[np.float64]:
        """The sample in ascending order."""
        return np.sort(self._values)
