"""Aggregates per category key of a frame, and the largest values: what texts such as ``k:v,k:v`` are made of."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel
from airflow_provider_mlfeat.engine.kernels.histogram import number_groups
from airflow_provider_mlfeat.engine.kernels.statistics import Family, number, sort_key


class Measure(IntEnum):
    """What is computed per category."""

    COUNT = 0
    SUM = 1
    AVERAGE = 2
    MINIMUM = 3
    MAXIMUM = 4
    RATIO = 5  # rows with a true condition / rows


class Ranking(IntEnum):
    """How categories are ordered, and which stay when there are more than wanted."""

    KEY_ASCENDING = 0
    KEY_DESCENDING = 1
    VALUE_DESCENDING = 2


_COUNT = int(Measure.COUNT)
_SUM = int(Measure.SUM)
_AVERAGE = int(Measure.AVERAGE)
_MINIMUM = int(Measure.MINIMUM)
_MAXIMUM = int(Measure.MAXIMUM)
_RATIO = int(Measure.RATIO)
_KEY_ASCENDING = int(Ranking.KEY_ASCENDING)
_VALUE_DESCENDING = int(Ranking.VALUE_DESCENDING)
_INTEGER = int(Family.INTEGER)
_DOUBLE = int(Family.DOUBLE)
_FLOAT = int(Family.FLOAT)


@kernel()
def measure_categories(  # type: ignore[no-untyped-def]
    measure, ranking, wanted, count, bits, reals, family, labels, key_bits, key_family, flags,
    slots, keys, groups, out_keys, out_bits, out_reals, start,
):  # fmt: skip
    """Write one (key, value) per category from place `start` on → how many; a negative `wanted` means all.

    For ratios `flags` holds whether a row's condition is true; `bits` is not looked at.
    """
    if wanted == 0 or count == 0:
        return 0
    found = number_groups(key_bits, count, slots, keys, groups)
    totals = np.zeros(found, np.int64)
    reals_of = np.zeros(found, np.float64)
    rows = np.zeros(found, np.int64)
    is_real = measure == _AVERAGE or measure == _RATIO or (measure != _COUNT and family != _INTEGER)
    for place in range(count):
        group = groups[place]
        if measure == _RATIO:
            totals[group] += flags[place]
        elif measure == _AVERAGE:
            reals_of[group] += number(bits, reals, place, family)
        elif measure == _SUM:
            if family == _INTEGER:
                totals[group] += bits[place]
            elif family == _FLOAT:
                reals_of[group] = np.float64(np.float32(np.float32(reals_of[group]) + np.float32(reals[place])))
            else:
                reals_of[group] += reals[place]
        elif measure == _MINIMUM or measure == _MAXIMUM:
            first = rows[group] == 0
            if family == _INTEGER:
                value = bits[place]
                if first or ((value > totals[group]) if measure == _MAXIMUM else (value < totals[group])):
                    totals[group] = value
            else:
                real = reals[place]
                # NaN is above everything: it is kept as a maximum and given up as a minimum.
                if measure == _MAXIMUM:
                    better = real > reals_of[group] or np.isnan(real)
                else:
                    better = real < reals_of[group] or np.isnan(reals_of[group])
                if first or better:
                    reals_of[group] = real
        rows[group] += 1
    for group in range(found):
        if measure == _COUNT:
            totals[group] = rows[group]
        elif measure == _AVERAGE:
            reals_of[group] /= rows[group]
        elif measure == _RATIO:
            reals_of[group] = totals[group] / rows[group]

    order_keys = np.empty(found, np.int64)
    for group in range(found):
        order_keys[group] = sort_key(keys[group], key_family, labels)
    order = np.argsort(order_keys, kind="mergesort")
    if ranking == _VALUE_DESCENDING:
        patterns = reals_of.view(np.int64)
        by_key = np.empty(found, np.int64)
        for place in range(found):
            group = order[place]
            by_key[place] = sort_key(patterns[group], _DOUBLE, labels) if is_real else totals[group]
        order = order[np.argsort(by_key, kind="mergesort")]
    kept = found if wanted < 0 else min(found, wanted)
    for place in range(kept):
        group = order[place] if ranking == _KEY_ASCENDING else order[found - 1 - place]
        out_keys[start + place] = keys[group]
        if is_real:
            out_reals[start + place] = reals_of[group]
        else:
            out_bits[start + place] = totals[group]
    return kept


@kernel()
def largest_values(bits, count, family, labels, wanted, out_keys, start):  # type: ignore[no-untyped-def]
    """Write the largest values, descending, repeats kept, from place `start` on → how many."""
    order_keys = np.empty(count, np.int64)
    for place in range(count):
        order_keys[place] = sort_key(bits[place], family, labels)
    order = np.argsort(order_keys, kind="mergesort")
    kept = max(min(wanted, count), 0)
    for place in range(kept):
        out_keys[start + place] = bits[order[count - 1 - place]]
    return kept
