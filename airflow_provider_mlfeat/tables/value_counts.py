"""How often each value of a column occurs: exact to a limit, then estimated in constant memory.

Up to `LIMIT` distinct values (and `LIMIT_BYTES` of text) everything is exact. Beyond, two summaries take over:

* distinct values: the `KEPT_HASHES` smallest 64-bit hashes of the values are kept; their density gives the number with
  a standard error of 1/√`KEPT_HASHES` = 0.8 %, whatever the order of the rows;
* frequent values: Misra and Gries' counters with `KEPT_VALUES` places. A count is then a lower bound that is at most
  rows / `KEPT_VALUES` too small, so every value with a larger share than that is found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

LIMIT = 65_536
LIMIT_BYTES = 32 << 20
KEPT_HASHES = 16_384
KEPT_VALUES = 1_024

# One random number per byte value, and an odd base: a polynomial of them is a text's hash.
_BYTES = np.random.Generator(np.random.PCG64(7)).integers(1, 1 << 64, 256, dtype=np.uint64, endpoint=False)
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_PIECE = 1 << 20


class ValueCounts:
    """Counts of one column's values, fed in blocks.

    :param type_: the column's type.
    :param limit: how many distinct values are counted exactly.
    """

    def __init__(self, type_: pa.DataType, limit: int = LIMIT) -> None:
        self._limit = limit
        self._values = pa.array([], type_)
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._hashes: NDArray[np.uint64] | None = None
        self._rows = 0

    @property
    def is_exact(self) -> bool:
        """Whether the limit was never passed."""
        return self._hashes is None

    def add(self, values: pa.Array) -> None:
        """Count a block's values; it holds no nulls."""
        if not len(values):
            return
        counted = pc.value_counts(values)
        new, counts = counted.field("values"), counted.field("counts").to_numpy()
        if self._hashes is not None:
            self._hashes = _smallest(self._hashes, hash_values(new))
            new, counts = _pruned(new, counts)
        self._rows += len(values)
        self._merge(new, counts)
        if self._hashes is None and (len(self._values) > self._limit or self._values.nbytes > LIMIT_BYTES):
            self._hashes = _smallest(np.zeros(0, np.uint64), hash_values(self._values))
        if self._hashes is not None:
            self._values, self._counts = _pruned(self._values, self._counts)

    def distinct(self) -> int:
        """How many different values there are."""
        if self._hashes is None:
            return len(self._values)
        if len(self._hashes) < KEPT_HASHES:
            return len(self._hashes)
        return round((KEPT_HASHES - 1) / (float(self._hashes[-1]) / 2.0**64))

    def top(self, number: int) -> list[tuple[Any, int]]:
        """The most frequent values and their counts; among equally frequent ones, the smaller value comes first.

        Where counts are lower bounds, values too rare for their count to mean anything are left out.
        """
        counts = self._counts
        if self._hashes is not None:
            counts = np.where(counts > self._rows // KEPT_VALUES, counts, 0)
        if not counts.any():
            return []
        least = max(1, np.partition(counts, max(0, len(counts) - number))[max(0, len(counts) - number)])
        places = np.flatnonzero(counts >= least)
        kept = pa.table({"value": self._values.take(pa.array(places)), "count": self._counts[places]})
        order = pc.sort_indices(kept, sort_keys=[("count", "descending"), ("value", "ascending")])[:number]
        return [(row["value"], row["count"]) for row in kept.take(order).to_pylist()]

    def _merge(self, new: pa.Array, counts: NDArray[np.int64]) -> None:
        encoded = pa.concat_arrays([self._values, new]).dictionary_encode()
        self._values = encoded.dictionary
        weights = np.concatenate([self._counts, counts])
        sums = np.bincount(encoded.indices.to_numpy(), weights=weights, minlength=len(self._values))
        self._counts = sums.astype(np.int64)


def _pruned(values: pa.Array, counts: NDArray[np.int64]) -> tuple[pa.Array, NDArray[np.int64]]:
    """The most frequent values; all counts lose what the first one that goes had, as Misra and Gries' counters do."""
    if len(counts) <= KEPT_VALUES:
        return values, counts
    place = len(counts) - KEPT_VALUES - 1
    counts = counts - np.partition(counts, place)[place]
    kept = np.flatnonzero(counts > 0)
    return values.take(pa.array(kept)), counts[kept]


def _smallest(kept: NDArray[np.uint64], new: NDArray[np.uint64]) -> NDArray[np.uint64]:
    if len(kept) == KEPT_HASHES:
        new = new[new < kept[-1]]
    return np.union1d(kept, new)[:KEPT_HASHES]


def hash_values(values: pa.Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each value; nulls all get the same. Equal values have equal hashes in every block."""
    type_ = values.type
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        hashes = _hash_texts(values.cast(pa.large_string()))
    elif pa.types.is_floating(type_):
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
        hashes = np.where(np.isnan(numbers), np.float64(np.nan), numbers).view(np.uint64)
    elif pa.types.is_boolean(type_):
        hashes = values.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)
    else:
        hashes = as_integers(values.fill_null(0) if pa.types.is_integer(type_) else values).view(np.uint64)
    mixed = mix(hashes)
    if values.null_count:
        mixed[values.is_null().to_numpy(zero_copy_only=False)] = np.uint64(0x5BD1E995)
    return mixed


def as_integers(values: pa.Array) -> NDArray[np.int64]:
    """Whole numbers, days or ticks as 64-bit integers; nulls are 0."""
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_temporal(values.type):
        values = values.cast(pa.int64())
    # Unsigned numbers above 2^63 wrap: they stay different from each other.
    plain = values.fill_null(0) if values.null_count else values
    return np.ascontiguousarray(plain.to_numpy(zero_copy_only=False).astype(np.int64, copy=False))


def mix(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits (the finaliser of SplitMix64)."""
    mixed = hashes + np.uint64(_BASE)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _hash_texts(values: pa.LargeStringArray) -> NDArray[np.uint64]:
    """Polynomials over the bytes of all texts at once: differences of one running sum, shifted to a common power."""
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    hashes = np.zeros(len(values), np.uint64)
    row = 0
    while row < len(values):
        # In pieces, because the running sum takes 8 bytes per byte of text.
        end = max(row + 1, int(np.searchsorted(offsets, offsets[row] + _PIECE, side="right")) - 1)
        hashes[row:end] = _hash_piece(values.buffers()[2], offsets[row : end + 1])
        row = end
    return hashes


def _hash_piece(data: pa.Buffer | None, offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    start, length = int(offsets[0]), int(offsets[-1] - offsets[0])
    lengths = np.diff(offsets).astype(np.uint64)
    if data is None or not length:
        return lengths
    text = np.frombuffer(data, np.uint8)[start : start + length]
    sums = np.zeros(length + 1, np.uint64)
    np.cumsum(_BYTES[text] * _powers(_BASE, length), out=sums[1:])
    places = offsets - start
    inverse = _powers(_INVERSE, int(places[-2]) + 1)
    return mix((sums[places[1:]] - sums[places[:-1]]) * inverse[places[:-1]]) ^ lengths


def _powers(base: int, number: int) -> NDArray[np.uint64]:
    """``1, base, base², …``, modulo 2^64."""
    steps = np.full(number, base, np.uint64)
    steps[0] = 1
    return np.cumprod(steps)
