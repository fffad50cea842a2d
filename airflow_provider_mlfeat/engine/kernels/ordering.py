"""Grouping and ordering rows: hashing to dense numbers, counting sort, sorted segments, merging.

Rows are nearly always in time order when they come in, so a counting sort by partition leaves every partition sorted;
only the partitions that are not get sorted one by one. All sorts are stable: equal rows keep their arrival order.
"""

from __future__ import annotations

import numpy as np
from numba import types

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

_HASH = np.uint64(0x9E3779B97F4A7C15)
_FEW_ROWS = 48  # so many are sorted by insertion


@kernel("Tuple((int64[::1], int64))(int64[::1])")
def factorize(values):  # type: ignore[no-untyped-def]
    """Number equal values alike, from 0, in the order of their first row → (number per row, how many)."""
    count = len(values)
    bits = 4
    while (1 << bits) < 2 * count:
        bits += 1
    mask = (1 << bits) - 1
    slots = np.full(1 << bits, -1, np.int64)
    distinct = np.empty(count, np.int64)
    numbers = np.empty(count, np.int64)
    found = 0
    for row in range(count):
        value = values[row]
        slot = np.int64((np.uint64(value) * _HASH) >> np.uint64(64 - bits))
        number = slots[slot]
        while number >= 0 and distinct[number] != value:
            slot = (slot + 1) & mask
            number = slots[slot]
        if number < 0:
            number = found
            distinct[found] = value
            slots[slot] = found
            found += 1
        numbers[row] = number
    return numbers, found


_GROUPED = types.Tuple((types.int64[::1], types.int64[::1]))


@kernel(
    [
        _GROUPED(types.Array(kind, 1, "C", readonly=True), types.int64, types.int64)
        for kind in (types.int32, types.int64)
    ]
)
def group_rows(groups, group_count, offset):  # type: ignore[no-untyped-def]
    """Rows by group, in order of arrival → (first place of each group and the end, rows numbered from `offset`)."""
    starts = np.zeros(group_count + 1, np.int64)
    for row in range(len(groups)):
        starts[groups[row] + 1] += 1
    for group in range(group_count):
        starts[group + 1] += starts[group]
    places = starts[:-1].copy()
    rows = np.empty(len(groups), np.int64)
    for row in range(len(groups)):
        group = groups[row]
        rows[places[group]] = row + offset
        places[group] += 1
    return starts, rows


@kernel()
def _insertion_sort(values, count):  # type: ignore[no-untyped-def]
    for unsorted in range(1, count):
        value = values[unsorted]
        place = unsorted
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


@kernel()
def _radix_sort(values, count, shift, span, other, heads):  # type: ignore[no-untyped-def]
    """Sort by the bits from `shift` on, which are at most `span`, byte by byte → the array with the result."""
    while span > 0:
        heads[:] = 0
        for place in range(count):
            heads[((values[place] >> shift) & 255) + 1] += 1
        for head in range(256):
            heads[head + 1] += heads[head]
        for place in range(count):
            value = values[place]
            head = (value >> shift) & 255
            other[heads[head]] = value
            heads[head] += 1
        values, other = other, values
        span >>= 8
        shift += 8
    return values


@kernel("void(int64[::1], int64[::1], int64[::1])")
def sort_segments(starts, rows, order):  # type: ignore[no-untyped-def]
    """Put the rows of every group into the order of `order`, in place."""
    longest = np.int64(0)
    for group in range(len(starts) - 1):
        longest = max(longest, starts[group + 1] - starts[group])
    values, other = np.empty(longest, np.int64), np.empty(longest, np.int64)
    heads = np.empty(257, np.int64)
    for group in range(len(starts) - 1):
        start, stop = starts[group], starts[group + 1]
        count = stop - start
        if count < 2:
            continue
        low = high = before = order[rows[start]]
        sorted_already = True
        for place in range(count):
            value = order[rows[start + place]]
            values[place] = value
            sorted_already &= value >= before
            before = value
            low, high = min(low, value), max(high, value)
        if sorted_already:
            continue
        # One number per row: its distance from the smallest order value, then its place, so that no two are equal.
        bits = 1
        while (1 << bits) < count:
            bits += 1
        span = np.uint64(high) - np.uint64(low)
        if span >> np.uint64(62 - bits):
            segment = rows[start:stop].copy()
            rows[start:stop] = segment[np.argsort(order[segment], kind="mergesort")]
            continue
        for place in range(count):
            values[place] = ((values[place] - low) << bits) | place
        result = values
        if count <= _FEW_ROWS:
            _insertion_sort(values, count)
        else:
            result = _radix_sort(values, count, bits, np.int64(span), other, heads)
        spare = other if result is values else values
        mask = (1 << bits) - 1
        for place in range(count):
            spare[place] = rows[start + (result[place] & mask)]
        rows[start:stop] = spare[:count]


@kernel("Tuple((int64[::1], int64[::1]))(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def merge_sorted(older_starts, older_rows, newer_starts, newer_rows, order):  # type: ignore[no-untyped-def]
    """Merge two sorted groupings; at equal order values the rows of the first are older."""
    groups = len(older_starts) - 1
    starts = older_starts + newer_starts
    rows = np.empty(len(older_rows) + len(newer_rows), np.int64)
    for group in range(groups):
        place = starts[group]
        older, older_stop = older_starts[group], older_starts[group + 1]
        newer, newer_stop = newer_starts[group], newer_starts[group + 1]
        while older < older_stop and newer < newer_stop:
            if order[older_rows[older]] <= order[newer_rows[newer]]:
                rows[place] = older_rows[older]
                older += 1
            else:
                rows[place] = newer_rows[newer]
                newer += 1
            place += 1
        while older < older_stop:
            rows[place] = older_rows[older]
            older += 1
            place += 1
        while newer < newer_stop:
            rows[place] = newer_rows[newer]
            newer += 1
            place += 1
    return starts, rows


@kernel("int64[::1](int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def places_after(history_starts, history_rows, starts, rows, order):  # type: ignore[no-untyped-def]
    """Per row of a sorted grouping, the first place of another one, of the same groups, that is newer than the row."""
    places = np.empty(len(rows), np.int64)
    for group in range(len(starts) - 1):
        place, stop = history_starts[group], history_starts[group + 1]
        for current in range(starts[group], starts[group + 1]):
            time = order[rows[current]]
            while place < stop and order[history_rows[place]] <= time:
                place += 1
            places[current] = place
    return places
