"""How often each key occurs, over any number of batches, in memory that grows with the different keys alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FLUSH = 1 << 20


class KeyCounts:
    """Counts of 64-bit keys.

    :param most: how many different keys are kept; beyond them `overflowed` is true and counting stops.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.overflowed = False
        self._keys = np.zeros(0, np.uint64)
        self._counts = np.zeros(0, np.int64)
        self._waiting: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
        self._waiting_rows = 0

    def __len__(self) -> int:
        self._merge()
        return len(self._keys)

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Count keys, one per row."""
        if self.overflowed or not len(keys):
            return
        self._waiting.append(np.unique(keys, return_counts=True))
        self._waiting_rows += len(self._waiting[-1][0])
        if self._waiting_rows >= max(_FLUSH, len(self._keys) // 2):
            self._merge()

    def finish(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The different keys, the most frequent first and by their number among equals, and how often each came."""
        self._merge()
        order = np.lexsort((self._keys, -self._counts))
        return self._keys[order], self._counts[order]

    def _merge(self) -> None:
        if not self._waiting:
            return
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._waiting)])
        self._waiting, self._waiting_rows = [], 0
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        self._keys, self._counts = keys[starts], np.add.reduceat(counts, starts)
        if len(self._keys) > self.most:
            self.overflowed = True
            self._keys, self._counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
