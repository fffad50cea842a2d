"""Numbers of a frame: sums, moments and the like over its values, newest first.

Every function gets the frame's values without NULLs in a buffer, as 64-bit patterns in `bits` and, for floating types,
as the same memory seen as doubles in `reals`. `family` says how to read a value. The order of operations is that of
the buffer, so that equal frames give equal bits in every driver.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel


class Family(IntEnum):
    """How the 64 bits of a value are read and ordered."""

    INTEGER = 0  # bool, integers, date, timestamp; strings whose codes are ranks
    DOUBLE = 1
    FLOAT = 2  # a double that holds a 32-bit float
    CODE = 3  # strings whose codes carry no order: compare their labels


_INTEGER = int(Family.INTEGER)
_FLOAT = int(Family.FLOAT)
_CODE = int(Family.CODE)
_MAXIMUM = np.int64(0x7FFFFFFFFFFFFFFF)


@kernel()
def sort_key(value, family, labels):  # type: ignore[no-untyped-def]
    """A number that orders values; NaN is above infinity."""
    if family == _INTEGER:
        return value
    if family == _CODE:
        return labels[value]
    # The bits of negative doubles grow with their magnitude.
    return value ^ ((value >> 63) & _MAXIMUM)


@kernel()
def number(bits, reals, place, family):  # type: ignore[no-untyped-def]
    """A value as a double."""
    if family == _INTEGER:
        return np.float64(bits[place])
    return reals[place]


@kernel()
def sum_of_integers(bits, count):  # type: ignore[no-untyped-def]
    """The sum, modulo 2 to the 64."""
    total = np.int64(0)
    for place in range(count):
        total += bits[place]
    return total


@kernel()
def sum_of_reals(reals, count, family):  # type: ignore[no-untyped-def]
    """The sum; of floats rounded to 32 bits at each step."""
    if family == _FLOAT:
        single = np.float32(0.0)
        for place in range(count):
            single = np.float32(single + np.float32(reals[place]))
        return np.float64(single)
    total = 0.0
    for place in range(count):
        total += reals[place]
    return total


@kernel()
def mean(bits, reals, count, family):  # type: ignore[no-untyped-def]
    """The arithmetic mean, accumulated in double."""
    total = 0.0
    for place in range(count):
        total += number(bits, reals, place, family)
    return total / count


@kernel()
def squared_deviation(bits, reals, count, family):  # type: ignore[no-untyped-def]
    """The sum of squared distances from the mean."""
    middle = mean(bits, reals, count, family)
    total = 0.0
    for place in range(count):
        distance = number(bits, reals, place, family) - middle
        total += distance * distance
    return total


@kernel()
def extreme(bits, count, family, labels, largest):  # type: ignore[no-untyped-def]
    """The smallest or largest value; the newest of equal ones."""
    best = bits[0]
    best_key = sort_key(best, family, labels)
    for place in range(1, count):
        key = sort_key(bits[place], family, labels)
        if (key > best_key) if largest else (key < best_key):
            best, best_key = bits[place], key
    return best


@kernel()
def median(bits, reals, count, family, labels):  # type: ignore[no-untyped-def]
    """The middle value, or the mean of the two middle ones."""
    keys = np.empty(count, np.int64)
    for place in range(count):
        keys[place] = sort_key(bits[place], family, labels)
    order = np.argsort(keys, kind="mergesort")
    upper = number(bits, reals, order[count // 2], family)
    if count % 2:
        return upper
    return (number(bits, reals, order[count // 2 - 1], family) + upper) / 2.0


@kernel()
def weighted_mean(bits, reals, count, family, smoothing):  # type: ignore[no-untyped-def]
    """The mean with weights that shrink by 1 - `smoothing` per row."""
    weight, total, weights = 1.0, 0.0, 0.0
    for place in range(count):
        total += weight * number(bits, reals, place, family)
        weights += weight
        weight *= 1.0 - smoothing
    return total / weights


@kernel()
def drawdown(bits, reals, count, family):  # type: ignore[no-untyped-def]
    """The deepest relative fall from a row to a newer one, and whether there was a row that counts."""
    deepest, lowest, seen = 0.0, np.inf, False
    for place in range(count):
        value = number(bits, reals, place, family)
        if value < 0.0:
            continue
        if seen and value > 0.0:
            deepest = max(deepest, (value - lowest) / value)
        lowest = min(lowest, value)
        seen = True
    return deepest, seen
