"""Which keys there are and how often, over any number of batches, in memory that grows with different keys alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FLUSH = 1 << 17


class DistinctKeys:
    """How many different 64-bit keys there are: exactly up to a limit, and an estimate beyond it.

    Beyond the limit only keys that end in zero bits are kept, ever fewer; keys are hashes, so these stand for all.

    :param most: the limit; the error beyond it is about one in its square root.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bits = 0
        self._keys = np.zeros(0, np.uint64)
        self._waiting: list[NDArray[np.uint64]] = []
        self._waiting_rows = 0

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Look at keys."""
        self._waiting.append(_different(self._kept(keys)))
        self._waiting_rows += len(self._waiting[-1])
        if self._waiting_rows >= max(_FLUSH, len(self._keys) // 2):
            self._merge()

    def merge(self, other: DistinctKeys) -> None:
        """Take in what another one has seen."""
        other._merge()
        self._bits = max(self._bits, other._bits)
        self._keys = self._kept(self._keys)
        self._waiting = [self._kept(keys) for keys in self._waiting]
        self.add(other._keys)
        self._merge()

    def finish(self) -> int:
        """How many there are."""
        self._merge()
        return len(self._keys) << self._bits

    def _kept(self, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return keys[keys & np.uint64((1 << self._bits) - 1) == 0] if self._bits else keys

    def _merge(self) -> None:
        self._keys = _different(np.concatenate([self._keys, *self._waiting]))
        self._waiting, self._waiting_rows = [], 0
        while len(self._keys) > self._most:
            self._bits += 1
            self._keys = self._kept(self._keys)


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

    def add(self, keys: NDArray[np.uint64], counts: NDArray[np.int64] | None = None) -> None:
        """Count keys: so many of each, or one."""
        if self.overflowed or not len(keys):
            return
        self._waiting.append(np.unique(keys, return_counts=True) if counts is None else (keys, counts))
        self._waiting_rows += len(self._waiting[-1][0])
        if self._waiting_rows >= max(_FLUSH, len(self._keys) // 2):
            self._merge()

    def merge(self, other: KeyCounts) -> None:
        """Take in what another one has counted."""
        other._merge()
        if other.overflowed:
            self.overflowed = True
            self._forget()
        else:
            self.add(other._keys, other._counts)

    def compact(self) -> None:
        """Add up what waits: as small as it gets, before it travels."""
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
            self._forget()

    def _forget(self) -> None:
        self._keys, self._counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        self._waiting, self._waiting_rows = [], 0


def _different(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The different keys in order."""
    ordered = np.sort(keys)
    is_new = np.ones(len(ordered), bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_new]
