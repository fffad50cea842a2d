"""Long frames, incrementally: rows are added where a frame begins and taken away where it ends.

Only for results that do not depend on the order of operations: counts of values and extremes. Frames come in the
order of the timeline, so that both ends of a frame only move forward.
"""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel
from airflow_provider_mlfeat.engine.kernels.histogram import most_frequent
from airflow_provider_mlfeat.engine.kernels.statistics import sort_key

_INTS = "int64[::1]"
_INT_MATRIX = "int64[:, ::1]"
_MASK = "uint8[::1]"


@kernel()
def _add(code, counts, counts_of, members, member_of, state):  # type: ignore[no-untyped-def]
    """`state` holds the number of distinct values and the highest count."""
    count = counts[code]
    if count == 0:
        members[state[0]] = code
        member_of[code] = state[0]
        state[0] += 1
    else:
        counts_of[count] -= 1
    counts[code] = count + 1
    counts_of[count + 1] += 1
    state[1] = max(state[1], count + 1)


@kernel()
def _remove(code, counts, counts_of, members, member_of, state):  # type: ignore[no-untyped-def]
    count = counts[code]
    counts[code] = count - 1
    counts_of[count] -= 1
    if count == 1:
        state[0] -= 1
        last = members[state[0]]
        members[member_of[code]] = last
        member_of[last] = member_of[code]
    else:
        counts_of[count - 1] += 1
    if counts_of[state[1]] == 0:
        state[1] -= 1


@kernel(
    f"void({_INTS}, {_INTS}, int64, int64, {_INTS}, {_INTS}, {_INTS}, {_MASK}, {_INTS}, {_MASK}, "
    f"{_INTS}, int64, {_INTS}, int64, {_INTS}, float64[::1], {_INT_MATRIX}, {_INT_MATRIX})"
)
def slide_counts(  # type: ignore[no-untyped-def]
    low, high, include, code_count, targets, currents, past, past_kept, now, now_kept, values, family, labels,
    zero, distinct, ratios, frequent, is_key,
):  # fmt: skip
    """Counts of the values of every frame.

    :param past, now: values as codes below `code_count`; `values` says what the codes stand for.
    :param zero: the value as which a NULL counts in `distinct`.
    :param distinct: gets how many values there are, per target; empty if nobody asks.
    :param ratios: gets the share of the most frequent one; empty if nobody asks.
    :param frequent: gets the most frequent values [row, place], and `is_key` whether there is one; no columns if
        nobody asks.
    """
    counts = np.zeros(code_count, np.int64)
    counts_of = np.zeros(len(past) + 2, np.int64)
    members = np.empty(code_count, np.int64)
    member_of = np.empty(code_count, np.int64)
    state = np.zeros(2, np.int64)
    wanted = frequent.shape[1]
    keys = np.empty(code_count if wanted else 0, np.int64)
    key_counts = np.empty(len(keys), np.int64)
    chosen = np.empty(wanted + 1, np.int64)
    zero_code = np.int64(-1)
    for code in range(code_count):
        if values[code] == zero:
            zero_code = np.int64(code)
    start, stop = np.int64(0), np.int64(0)
    rows = np.int64(0)
    for row in range(len(low)):
        new_start, new_stop = low[row], high[row]
        for place in range(start, min(new_start, stop)):
            if past_kept[place]:
                _remove(past[place], counts, counts_of, members, member_of, state)
                rows -= 1
        for place in range(max(new_start, stop), new_stop):
            if past_kept[place]:
                _add(past[place], counts, counts_of, members, member_of, state)
                rows += 1
        start, stop = new_start, new_stop
        current = currents[row]
        with_current = include and now_kept[current]
        if with_current:
            _add(now[current], counts, counts_of, members, member_of, state)
            rows += 1
        if len(distinct):
            # Rows that are not kept are NULL: together they are one value, unless it is among the others.
            holds_null = stop - start + include > rows and (zero_code < 0 or counts[zero_code] == 0)
            distinct[targets[row]] = state[0] + holds_null
        if len(ratios):
            ratios[targets[row]] = state[1] / rows if rows else 0.0
        if wanted:
            for member in range(state[0]):
                keys[member] = values[members[member]]
                key_counts[member] = counts[members[member]]
            found = most_frequent(keys, key_counts, state[0], wanted, family, labels, chosen)
            for place in range(wanted):
                frequent[row, place] = keys[chosen[place]] if place < found else 0
                is_key[row, place] = place < found
        if with_current:
            _remove(now[current], counts, counts_of, members, member_of, state)
            rows -= 1


@kernel(
    f"void({_INTS}, {_INTS}, int64, {_INTS}, {_INTS}, {_INTS}, {_MASK}, {_INTS}, {_MASK}, int64, boolean, "
    f"{_INTS}, {_INTS}, {_MASK})"
)
def slide_extreme(  # type: ignore[no-untyped-def]
    low, high, include, targets, currents, past, past_kept, now, now_kept, family, largest, labels, out, out_valid
):
    """The smallest or largest value of every frame, by a queue of the rows that may still become it."""
    queue = np.empty(len(past), np.int64)
    head, tail = np.int64(0), np.int64(0)
    stop = np.int64(0)
    for row in range(len(low)):
        start, new_stop = low[row], high[row]
        for place in range(max(start, stop), new_stop):
            if past_kept[place]:
                key = sort_key(past[place], family, labels)
                while tail > head:
                    last = sort_key(past[queue[tail - 1]], family, labels)
                    if (last > key) if largest else (last < key):
                        break
                    tail -= 1
                queue[tail] = place
                tail += 1
        stop = max(stop, new_stop)
        while tail > head and queue[head] < start:
            head += 1
        current = currents[row]
        target = targets[row]
        holds_current = include and now_kept[current]
        valid = tail > head or holds_current
        best = np.int64(0)
        if holds_current:
            best = now[current]
            if tail > head:
                queued = sort_key(past[queue[head]], family, labels)
                own = sort_key(best, family, labels)
                if (queued > own) if largest else (queued < own):
                    best = past[queue[head]]
        elif valid:
            best = past[queue[head]]
        out[target] = best
        out_valid[target] = valid
