"""Which keys a field knows, and the row of each: sorted once, looked up in columns or one by one.

Row 0 is for what is out of vocabulary, row 1 for NULL; known keys follow from row 2 on, the most frequent first, so
that the rows that training touches most lie side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder.hashing import Keys

UNKNOWN = 0
NULL = 1
FIRST = 2
# Up to here single look-ups go through a dictionary; it takes a hundred bytes an entry.
_SMALL = 200_000


class Vocabulary:
    """The keys of one field.

    :param keys: different keys in the order of their rows.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = np.ascontiguousarray(keys, "<u8")

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[Keys]]:
        return Vocabulary, (self.keys,)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> int:
        """How many rows a table for it has."""
        return FIRST + len(self.keys)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the keys in their order."""
        return hashlib.sha256(self.keys.tobytes()).hexdigest()

    @cached_property
    def _sorted(self) -> tuple[Keys, NDArray[np.int32]]:
        """Keys in ascending order, and the row of each."""
        order = np.argsort(self.keys, kind="stable")
        return self.keys[order], (order + FIRST).astype(np.int32)

    @cached_property
    def _starts(self) -> tuple[NDArray[np.int32], np.uint64]:
        """For each beginning of keys where its keys start, and by how much to shift a key to see its beginning.

        Keys are hashes: evenly spread, so their first bits say nearly where they are.
        """
        keys, _ = self._sorted
        bits = len(keys).bit_length() + 1
        shift = np.uint64(64 - bits)
        starts = np.zeros((1 << bits) + 1, np.int32)
        np.cumsum(np.bincount((keys >> shift).astype(np.int64), minlength=1 << bits), out=starts[1:])
        return starts, shift

    def rows(self, keys: Keys) -> NDArray[np.int32]:
        """The row of each key; unknown ones are in row 0."""
        known, rows = self._sorted
        found = np.zeros(len(keys), np.int32)
        starts, shift = self._starts
        first = (keys >> shift).astype(np.int64)
        places, stops = starts[first], starts[first + 1]
        searching = np.flatnonzero(places < stops)
        while len(searching):
            at = places[searching]
            hit = known[at] == keys[searching]
            found[searching[hit]] = rows[at[hit]]
            searching = searching[~hit]
            places[searching] += 1
            searching = searching[places[searching] < stops[searching]]
        return found

    def finder(self) -> Callable[[int], int]:
        """A function that gives the row of one key."""
        if len(self.keys) <= _SMALL:
            rows = {key: row for row, key in enumerate(self.keys.tolist(), FIRST)}
            return lambda key: rows.get(key, UNKNOWN)
        known, numbers = self._sorted
        offsets, shifted = self._starts
        shift = int(shifted)
        sorted_keys, sorted_rows, starts = known.data, numbers.data, offsets.data

        def find(key: int) -> int:
            first = key >> shift
            for place in range(starts[first], starts[first + 1]):
                if sorted_keys[place] == key:
                    return int(sorted_rows[place])
            return UNKNOWN

        return find
