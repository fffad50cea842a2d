"""Counts of the values of frames, kept from one frame to the next.

Values come as codes, small numbers that order as the values do. Neighbouring frames of a partition share most of their
rows, so a frame's counts are those of the frame before with the rows that came and without those that left; where that
would be more work than counting afresh, the counts start from nothing. Only for results that do not depend on the
order of operations.
"""

from __future__ import annotations

import numpy as np
from numba import types

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

_INTS = "int64[::1]"
_CODES = "int32[::1]"
_HASH = np.uint64(0x9E3779B97F4A7C15)
_LARGEST_CODE = np.int64(0xFFFFFFFF)


# Arrays that Arrow shares with numpy must not be written to, and compiled code takes them only if it says so.
_GIVEN_CODES = types.Array(types.int32, 1, "C", readonly=True)
_GIVEN_MASK = types.Array(types.uint8, 1, "C", readonly=True)


@kernel(
    types.void(
        types.int64[::1], types.int64, types.int64, _GIVEN_CODES, _GIVEN_CODES, _GIVEN_MASK, types.int32[::1]
    )
)  # fmt: skip
def fill_codes(history, first, stop, values, meaning, kept, codes):  # type: ignore[no-untyped-def]
    """Fill in the codes of the places of a history whose rows are numbered in [first, stop).

    :param values: per row, from `first` on, a number whose code is in `meaning`; or the code itself if that is empty.
    :param kept: which rows count; empty if all do. The code of others is -1.
    """
    for place in range(len(history)):
        row = history[place]
        if row < first or row >= stop:
            continue
        row -= first
        code = values[row]
        if len(meaning):
            code = meaning[code]
        codes[place] = code if not len(kept) or kept[row] else -1


@kernel()
def _add(code, counts, members, member_of, found):  # type: ignore[no-untyped-def]
    count = counts[code]
    counts[code] = count + 1
    if count == 0:
        members[found] = code
        member_of[code] = found
        return found + 1
    return found


@kernel()
def _remove(code, counts, members, member_of, found):  # type: ignore[no-untyped-def]
    count = counts[code] - 1
    counts[code] = count
    if count == 0:
        found -= 1
        last = members[found]
        members[member_of[code]] = last
        member_of[last] = member_of[code]
    return found


@kernel()
def _shift(counts_of, before, after, highest):  # type: ignore[no-untyped-def]
    """A value's count changed by one → the highest count; `counts_of` says how many values have a count."""
    counts_of[before] -= 1
    counts_of[after] += 1
    if after > highest:
        return after
    return highest - (counts_of[highest] == 0)


@kernel()
def _most_frequent(counts, members, found, wanted, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen` with the codes of the highest counts, equal counts by code ascending → how many."""
    kept = 0
    for member in range(found if wanted > 0 else 0):
        code = members[member]
        # One number per candidate: the larger is the better one.
        rank = (np.int64(counts[code]) << 32) | (_LARGEST_CODE - code)
        if kept == wanted:
            if rank < chosen[kept - 1]:
                continue
            kept -= 1
        place = kept
        while place > 0 and chosen[place - 1] < rank:
            chosen[place] = chosen[place - 1]
            place -= 1
        chosen[place] = rank
        kept += 1
    for place in range(kept):
        chosen[place] = _LARGEST_CODE - (chosen[place] & _LARGEST_CODE)
    return kept


@kernel()
def _number_of(chosen, kept, slots, combinations, found):  # type: ignore[no-untyped-def]
    """The number of a combination among those seen so far, of which there are `found`; `found` itself for a new one."""
    wanted = combinations.shape[1]
    code = np.uint64(kept)
    for place in range(kept):
        code = (code ^ np.uint64(chosen[place])) * _HASH
        code ^= code >> np.uint64(29)
    mask = len(slots) - 1
    slot = np.int64(code & np.uint64(mask))
    while slots[slot] >= 0:
        number = slots[slot]
        equal = True
        for place in range(wanted):
            equal &= combinations[number, place] == (chosen[place] if place < kept else -1)
        if equal:
            return np.int64(number)
        slot = (slot + 1) & mask
    slots[slot] = found
    for place in range(wanted):
        combinations[found, place] = chosen[place] if place < kept else -1
    return np.int64(found)


@kernel(
    f"int64({_INTS}, {_INTS}, int64, int64, int64, {_INTS}, {_INTS}, {_CODES}, {_CODES}, int64, int64, "
    f"{_INTS}, float64[::1], {_CODES}, int32[:, ::1])"
)
def count_frames(  # type: ignore[no-untyped-def]
    low, high, include, begin, end, targets, currents, past, now, code_count, zero, distinct, ratios, numbers,
    combinations,
):  # fmt: skip
    """Counts of the values of the frames of rows [begin, end) → how many combinations there are.

    :param past, now: codes below `code_count` of the history and of current rows; negative where a row does not count.
    :param zero: the code as which a NULL counts in `distinct`; negative if it is no value of the column.
    :param distinct: gets how many values there are, per target; empty if nobody asks.
    :param ratios: gets the share of the most frequent one, per target; empty if nobody asks.
    :param numbers: gets the number of the combination of the most frequent values, per target, or -1 where the frame
        has no row; empty if nobody asks.
    :param combinations: gets the codes of these, -1 where there are fewer; needs a row for every row of the range.
    """
    counts = np.zeros(code_count, np.int32)
    members = np.empty(code_count, np.int32)
    member_of = np.empty(code_count, np.int32)
    wanted = combinations.shape[1]
    chosen = np.empty(wanted + 1, np.int64)
    bits = 4
    while len(numbers) and (1 << bits) < 2 * (end - begin):
        bits += 1
    slots = np.full(1 << bits, -1, np.int32)
    with_ratios = len(ratios) > 0
    longest = np.int64(0)
    for row in range(begin, end if with_ratios else begin):
        longest = max(longest, high[row] - low[row])
    counts_of = np.zeros(longest + 2, np.int64)
    highest = np.int64(0)
    start, stop = np.int64(0), np.int64(0)
    found, rows, combination_count = np.int64(0), np.int64(0), np.int64(0)
    for row in range(begin, end):
        new_start, new_stop = low[row], high[row]
        moved = new_start - start + new_stop - stop
        if new_start < start or new_stop < stop or moved >= new_stop - new_start + found:
            for member in range(found):
                counts[members[member]] = 0
            counts_of[: highest + 1] = 0
            found, rows, highest = np.int64(0), np.int64(0), np.int64(0)
            start = stop = new_start
        for place in range(start, new_start):
            code = past[place]
            if code >= 0:
                found = _remove(code, counts, members, member_of, found)
                if with_ratios:
                    highest = _shift(counts_of, counts[code] + 1, counts[code], highest)
                rows -= 1
        for place in range(stop, new_stop):
            code = past[place]
            if code >= 0:
                found = _add(code, counts, members, member_of, found)
                if with_ratios:
                    highest = _shift(counts_of, counts[code] - 1, counts[code], highest)
                rows += 1
        start, stop = new_start, new_stop
        current = now[currents[row]] if include else np.int32(-1)
        if current >= 0:
            found = _add(current, counts, members, member_of, found)
            if with_ratios:
                highest = _shift(counts_of, counts[current] - 1, counts[current], highest)
            rows += 1
        target = targets[row]
        if len(distinct):
            # Rows that do not count are NULL: together they are one value, unless it is among the others.
            has_null = stop - start + include > rows and (zero < 0 or counts[zero] == 0)
            distinct[target] = found + has_null
        if with_ratios:
            ratios[target] = highest / rows if rows else 0.0
        if len(numbers):
            if stop - start + include == 0:
                numbers[target] = -1
            else:
                kept = _most_frequent(counts, members, found, wanted, chosen)
                number = _number_of(chosen, kept, slots, combinations, combination_count)
                combination_count = max(combination_count, number + 1)
                numbers[target] = number
        if current >= 0:
            found = _remove(current, counts, members, member_of, found)
            if with_ratios:
                highest = _shift(counts_of, counts[current] + 1, counts[current], highest)
            rows -= 1
    return combination_count
