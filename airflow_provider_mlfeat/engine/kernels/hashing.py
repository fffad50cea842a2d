"""Hashes of rows' keys that are the same in every process and on every machine."""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

_PRIME = np.uint64(0x100000001B3)
_BASIS = np.uint64(0xCBF29CE484222325)


@kernel("uint64(uint64)")
def _mix(value):  # type: ignore[no-untyped-def]
    """Spread every bit of `value` over the result (the finalizer of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel("void(uint64[::1], int64[::1])")
def hash_numbers(hashes, bits):  # type: ignore[no-untyped-def]
    """Fold the 64-bit patterns of a column into the rows' hashes."""
    for row in range(len(bits)):
        hashes[row] = _mix(hashes[row] * _PRIME + np.uint64(bits[row]))


@kernel("void(uint64[::1], int32[::1], uint8[::1])")
def hash_strings(hashes, offsets, data):  # type: ignore[no-untyped-def]
    """Fold a column of strings, given by its Arrow buffers, into the rows' hashes (FNV-1a, then mixed)."""
    for row in range(len(hashes)):
        value = _BASIS
        for place in range(offsets[row], offsets[row + 1]):
            value = (value ^ np.uint64(data[place])) * _PRIME
        hashes[row] = _mix(hashes[row] * _PRIME + value)
