"""Extremes of long frames, incrementally: rows are added where a frame begins and taken away where it ends.

Frames come in the order of the timeline, so that both ends of a frame only move forward.
"""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel
from airflow_provider_mlfeat.engine.kernels.statistics import sort_key

_INTS = "int64[::1]"
_MASK = "uint8[::1]"


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
