"""Distinct values of a frame and how often they occur; groups of a frame by a category key.

The scratch space is a hash table that is kept between frames: a frame touches only as much of it as it needs and
cleans that up again.
"""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel
from airflow_provider_mlfeat.engine.kernels.statistics import sort_key

_HASH = np.uint64(0x9E3779B97F4A7C15)


@kernel()
def count_values(buffer, count, slots, keys, counts):  # type: ignore[no-untyped-def]
    """Fill keys and counts with the distinct values in order of first occurrence → how many; `slots` stays all -1."""
    bits = 5
    while (1 << bits) < 2 * count:
        bits += 1
    mask = (1 << bits) - 1
    shift = np.uint64(64 - bits)
    found = 0
    for place in range(count):
        value = buffer[place]
        slot = np.int64((np.uint64(value) * _HASH) >> shift)
        entry = slots[slot]
        while entry >= 0 and keys[entry] != value:
            slot = (slot + 1) & mask
            entry = slots[slot]
        if entry < 0:
            slots[slot] = found
            keys[found] = value
            counts[found] = 1
            found += 1
        else:
            counts[entry] += 1
    if found > (mask >> 3):
        slots[: mask + 1] = -1
    else:
        for entry in range(found):
            slot = np.int64((np.uint64(keys[entry]) * _HASH) >> shift)
            while slots[slot] >= 0:
                slots[slot] = -1
                slot = (slot + 1) & mask
    return found


@kernel()
def count_dense_values(buffer, count, base, slots, keys, counts):  # type: ignore[no-untyped-def]
    """The same for values that are few above `base`, so that each has a slot of its own."""
    found = 0
    for place in range(count):
        value = buffer[place]
        entry = slots[value - base]
        if entry < 0:
            slots[value - base] = found
            keys[found] = value
            counts[found] = 1
            found += 1
        else:
            counts[entry] += 1
    for entry in range(found):
        slots[keys[entry] - base] = -1
    return found


@kernel()
def number_groups(buffer, count, slots, keys, groups):  # type: ignore[no-untyped-def]
    """Number the rows of a buffer by value, in order of first occurrence → how many groups."""
    bits = 5
    while (1 << bits) < 2 * count:
        bits += 1
    mask = (1 << bits) - 1
    shift = np.uint64(64 - bits)
    found = 0
    for place in range(count):
        value = buffer[place]
        slot = np.int64((np.uint64(value) * _HASH) >> shift)
        entry = slots[slot]
        while entry >= 0 and keys[entry] != value:
            slot = (slot + 1) & mask
            entry = slots[slot]
        if entry < 0:
            entry = found
            slots[slot] = entry
            keys[entry] = value
            found += 1
        groups[place] = entry
    slots[: mask + 1] = -1
    return found


@kernel()
def most_frequent(keys, counts, found, wanted, family, labels, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen` with the entries of the highest counts, equal counts by key ascending → how many."""
    kept = 0
    for entry in range(found if wanted > 0 else 0):
        count = counts[entry]
        if kept == wanted and count < counts[chosen[kept - 1]]:
            continue
        key = sort_key(keys[entry], family, labels)
        place = kept
        while place > 0:
            other = chosen[place - 1]
            if counts[other] > count or (counts[other] == count and sort_key(keys[other], family, labels) < key):
                break
            place -= 1
        if place == wanted:
            continue
        last = min(kept, wanted - 1)
        for shifted in range(last, place, -1):
            chosen[shifted] = chosen[shifted - 1]
        chosen[place] = entry
        kept = min(kept + 1, wanted)
    return kept


@kernel()
def highest_count(counts, found):  # type: ignore[no-untyped-def]
    """The count of the most frequent value."""
    highest = np.int64(0)
    for entry in range(found):
        highest = max(highest, counts[entry])
    return highest


@kernel()
def entropy(counts, found, count):  # type: ignore[no-untyped-def]
    """Shannon's entropy in bits; values in order of their newest row."""
    total = 0.0
    for entry in range(found):
        share = counts[entry] / count
        total -= share * np.log2(share)
    return total
