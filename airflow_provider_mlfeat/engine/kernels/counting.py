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
_FIRST_SLOTS = 1 << 10
_FEW_CODES = 32  # so many are looked at one by one, instead of keeping a list of those that occur


# Arrays that Arrow shares with numpy must not be written to, and compiled code takes them only if it says so.
_GIVEN_CODES = types.Array(types.int32, 1, "C", readonly=True)
_GIVEN_MASK = types.Array(types.uint8, 1, "C", readonly=True)


@kernel(
    types.void(
        types.int64[::1], types.int64, types.int64, _GIVEN_CODES, _GIVEN_CODES, _GIVEN_MASK, types.int64,
        types.int32[::1],
    )
)  # fmt: skip
def fill_codes(history, first, stop, values, meaning, kept, nothing, codes):  # type: ignore[no-untyped-def]
    """Fill in the codes of the places of a history whose rows are numbered in [first, stop).

    :param values: per row, from `first` on, a number whose code is in `meaning`; or the code itself if that is empty.
    :param kept: which rows count; empty if all do. The code of others is `nothing`.
    """
    for place in range(len(history)):
        row = history[place]
        if row < first or row >= stop:
            continue
        row -= first
        code = values[row]
        if len(meaning):
            code = meaning[code]
        codes[place] = code if not len(kept) or kept[row] else nothing


@kernel()
def _count_in(past, start, stop, counts, found):  # type: ignore[no-untyped-def]
    """Count the rows [start, stop) → how many codes occur."""
    for place in range(start, stop):
        count = counts[past[place]]
        counts[past[place]] = count + 1
        found += count == 0
    return found


@kernel()
def _count_out(past, start, stop, counts, found):  # type: ignore[no-untyped-def]
    for place in range(start, stop):
        count = counts[past[place]] - 1
        counts[past[place]] = count
        found -= count == 0
    return found


@kernel()
def _add(code, counts, members, member_of, found):  # type: ignore[no-untyped-def]
    """Count one row; `members` lists the codes that occur. Without branches, as nobody can foresee these."""
    count = counts[code]
    counts[code] = count + 1
    is_new = count == 0
    members[found] = code
    member_of[code] = found if is_new else member_of[code]
    return found + is_new


@kernel()
def _remove(code, counts, members, member_of, found):  # type: ignore[no-untyped-def]
    count = counts[code] - 1
    counts[code] = count
    is_gone = count == 0
    last, place = members[found - 1], member_of[code]
    members[place] = last if is_gone else code
    member_of[last] = place if is_gone else member_of[last]
    return found - is_gone


@kernel()
def _shift(counts_of, before, after, highest):  # type: ignore[no-untyped-def]
    """A value's count changed by one → the highest count; `counts_of` says how many values have a count."""
    counts_of[before] -= 1
    counts_of[after] += 1
    if after > highest:
        return after
    return highest - (counts_of[highest] == 0)


@kernel()
def _most_frequent(counts, members, found, with_members, wanted, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen` with the codes of the highest counts, equal counts by code ascending → how many.

    The last code, that of rows that do not count, is none of them.
    """
    kept = 0
    nothing = len(counts) - 1
    for place in range((found if with_members else nothing) if wanted > 0 else 0):
        code = np.int64(members[place]) if with_members else np.int64(place)
        if counts[code] == 0 or code == nothing:
            continue
        # One number per candidate: the larger is the better one.
        rank = (np.int64(counts[code]) << 32) | (_LARGEST_CODE - code)
        if kept == wanted:
            if rank < chosen[kept - 1]:
                continue
            kept -= 1
        better = kept
        while better > 0 and chosen[better - 1] < rank:
            chosen[better] = chosen[better - 1]
            better -= 1
        chosen[better] = rank
        kept += 1
    for place in range(kept):
        chosen[place] = _LARGEST_CODE - (chosen[place] & _LARGEST_CODE)
    return kept


@kernel()
def _mixed(code, value):  # type: ignore[no-untyped-def]
    code = (code ^ np.uint64(value)) * _HASH
    return code ^ (code >> np.uint64(29))


@kernel()
def _number_of(chosen, kept, slots, combinations, found):  # type: ignore[no-untyped-def]
    """The number of a combination among those seen so far, of which there are `found`; `found` itself for a new one."""
    wanted = combinations.shape[1]
    code = np.uint64(0)
    for place in range(kept):
        code = _mixed(code, chosen[place])
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


@kernel()
def _more_slots(slots, combinations, found):  # type: ignore[no-untyped-def]
    """A hash table with four times the slots."""
    slots = np.full(4 * len(slots), -1, np.int32)
    mask = len(slots) - 1
    for number in range(found):
        code = np.uint64(0)
        for place in range(combinations.shape[1]):
            if combinations[number, place] >= 0:
                code = _mixed(code, combinations[number, place])
        slot = np.int64(code & np.uint64(mask))
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = number
    return slots


@kernel(
    f"int64({_INTS}, {_INTS}, int64, int64, int64, {_INTS}, {_INTS}, {_CODES}, {_CODES}, int64, int64, "
    f"{_INTS}, float64[::1], {_CODES}, int32[:, ::1])"
)
def count_frames(  # type: ignore[no-untyped-def]
    low, high, include, begin, end, targets, currents, past, now, code_count, zero, distinct, ratios, numbers,
    combinations,
):  # fmt: skip
    """Counts of the values of the frames of rows [begin, end) → how many combinations there are.

    :param past, now: codes of the history and of current rows; `code_count` where a row does not count, else below it.
    :param zero: the code as which a NULL counts in `distinct`; negative if it is no value of the column.
    :param distinct: gets how many values there are, per target; empty if nobody asks.
    :param ratios: gets the share of the most frequent one, per target; empty if nobody asks.
    :param numbers: gets the number of the combination of the most frequent values, per target, or -1 where the frame
        has no row; empty if nobody asks.
    :param combinations: gets the codes of these, -1 where there are fewer; needs a row for every row of the range.
    """
    with_ratios, with_texts = len(ratios) > 0, len(numbers) > 0
    with_members = with_ratios or (with_texts and code_count > _FEW_CODES)
    counts = np.zeros(code_count + 1, np.int32)
    members = np.zeros(code_count + 2 if with_members else 0, np.int32)
    member_of = np.zeros(len(members), np.int32)
    chosen = np.empty(combinations.shape[1] + 1, np.int64)
    slots = np.full(_FIRST_SLOTS, -1, np.int32)
    longest = np.int64(0)
    for row in range(begin, end if with_ratios else begin):
        longest = max(longest, high[row] - low[row])
    counts_of = np.zeros(longest + 2, np.int64)
    start, stop = np.int64(0), np.int64(0)
    found, highest, combination_count = np.int64(0), np.int64(0), np.int64(0)
    before, current_before = np.int64(-1), np.int32(-1)
    for row in range(begin, end):
        new_start, new_stop = low[row], high[row]
        target = targets[row]
        current = now[currents[row]] if include else np.int32(-1)
        if before >= 0 and new_start == start and new_stop == stop and current == current_before:
            if len(distinct):
                distinct[target] = distinct[before]
            if with_ratios:
                ratios[target] = ratios[before]
            if with_texts:
                numbers[target] = numbers[before]
            continue
        before, current_before = target, current
        if new_start < start or new_stop < stop or new_start >= stop:
            for place in range(start, stop):
                counts[past[place]] = 0
            counts_of[: highest + 1] = 0
            found, highest = np.int64(0), np.int64(0)
            start = stop = new_start
        if with_ratios:
            for place in range(start, new_start):
                code = past[place]
                found = _remove(code, counts, members, member_of, found)
                if code != code_count:
                    highest = _shift(counts_of, counts[code] + 1, counts[code], highest)
            for place in range(stop, new_stop):
                code = past[place]
                found = _add(code, counts, members, member_of, found)
                if code != code_count:
                    highest = _shift(counts_of, counts[code] - 1, counts[code], highest)
        elif with_members:
            for place in range(start, new_start):
                found = _remove(past[place], counts, members, member_of, found)
            for place in range(stop, new_stop):
                found = _add(past[place], counts, members, member_of, found)
        else:
            found = _count_out(past, start, new_start, counts, found)
            found = _count_in(past, stop, new_stop, counts, found)
        start, stop = new_start, new_stop
        if include:
            if with_members:
                found = _add(current, counts, members, member_of, found)
                if with_ratios and current != code_count:
                    highest = _shift(counts_of, counts[current] - 1, counts[current], highest)
            else:
                found += counts[current] == 0
                counts[current] += 1
        nulls = counts[code_count]
        if len(distinct):
            # Rows that do not count are NULL: together they are one value, unless it is among the others.
            distinct[target] = found - (nulls > 0 and zero >= 0 and counts[zero] > 0)
        if with_ratios:
            rows = stop - start + include - nulls
            ratios[target] = highest / rows if rows else 0.0
        if with_texts:
            if stop - start + include == 0:
                numbers[target] = -1
            else:
                kept = _most_frequent(counts, members, found, with_members, combinations.shape[1], chosen)
                number = _number_of(chosen, kept, slots, combinations, combination_count)
                numbers[target] = number
                if number == combination_count:
                    combination_count += 1
                    if 2 * combination_count > len(slots):
                        slots = _more_slots(slots, combinations, combination_count)
        if include:
            if with_members:
                found = _remove(current, counts, members, member_of, found)
                if with_ratios and current != code_count:
                    highest = _shift(counts_of, counts[current] + 1, counts[current], highest)
            else:
                counts[current] -= 1
                found -= counts[current] == 0
    return combination_count
