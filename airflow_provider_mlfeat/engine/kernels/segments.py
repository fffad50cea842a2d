"""Segments: variable numbers of entries per row, for aggregates that give texts or lists."""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

_HASH = np.uint64(0x9E3779B97F4A7C15)


@kernel("Tuple((int64[::1], int64[::1]))(int64[:, ::1], int64[::1], int64[::1])")
def distinct_segments(bounds, keys, values):  # type: ignore[no-untyped-def]
    """Number rows with equal entries alike → (number per row, one row per number); `values` may be empty."""
    count = len(bounds)
    bits = 4
    while (1 << bits) < 2 * count:
        bits += 1
    mask = (1 << bits) - 1
    slots = np.full(1 << bits, -1, np.int64)
    numbers = np.empty(count, np.int64)
    rows = np.empty(count, np.int64)
    found = 0
    with_values = len(values) > 0
    for row in range(count):
        start, stop = bounds[row, 0], bounds[row, 1]
        code = np.uint64(stop - start)
        for place in range(start, stop):
            code = (code ^ np.uint64(keys[place])) * _HASH
            code ^= code >> np.uint64(29)
            if with_values:
                code = (code ^ np.uint64(values[place])) * _HASH
                code ^= code >> np.uint64(29)
        slot = np.int64((code * _HASH) >> np.uint64(64 - bits))
        while True:
            number = slots[slot]
            if number < 0:
                slots[slot] = found
                rows[found] = row
                numbers[row] = found
                found += 1
                break
            other_start, other_stop = bounds[rows[number], 0], bounds[rows[number], 1]
            equal = other_stop - other_start == stop - start
            place = 0
            while equal and place < stop - start:
                equal = keys[start + place] == keys[other_start + place] and (
                    not with_values or values[start + place] == values[other_start + place]
                )
                place += 1
            if equal:
                numbers[row] = number
                break
            slot = (slot + 1) & mask
    return numbers, rows[:found].copy()


@kernel("int64[::1](int64[:, ::1])")
def flatten(bounds):  # type: ignore[no-untyped-def]
    """The places of all segments, one after the other."""
    total = 0
    for row in range(len(bounds)):
        total += bounds[row, 1] - bounds[row, 0]
    places = np.empty(total, np.int64)
    filled = 0
    for row in range(len(bounds)):
        for place in range(bounds[row, 0], bounds[row, 1]):
            places[filled] = place
            filled += 1
    return places
