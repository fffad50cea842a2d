"""The bounds of frames: which slice of its history a row sees.

A frame is a slice [low, high) of the history, newest last, plus the current row where the frame includes it. Whether
it does depends on the frame alone, so bounds only speak of history. A frame arrives as one row of a matrix, see
`FrameField`.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel


class FrameField(IntEnum):
    """The columns of the frame matrix."""

    IS_RANGE = 0
    START = 1  # farthest offset back; negative is unbounded
    END = 2  # nearest offset back; 0 is the current row
    LIMIT = 3  # how many history rows stay at most; negative is no limit
    EXCLUDE_TIME = 4
    INCLUDE = 5  # whether the frame holds the current row


FRAME_FIELDS = len(FrameField)

_IS_RANGE = int(FrameField.IS_RANGE)
_START = int(FrameField.START)
_END = int(FrameField.END)
_LIMIT = int(FrameField.LIMIT)
_EXCLUDE_TIME = int(FrameField.EXCLUDE_TIME)


@kernel()
def _first_at_least(order, low, high, value):  # type: ignore[no-untyped-def]
    """The first place in [low, high) whose order value is at least `value`, else `high`."""
    while low < high:
        middle = (low + high) >> 1
        if order[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel()
def first_after(order, count, time):  # type: ignore[no-untyped-def]
    """The first of `count` places whose order value is larger than `time`."""
    if count == 0 or order[count - 1] <= time:
        return np.int64(count)
    return _first_at_least(order, np.int64(0), np.int64(count), time + 1)


@kernel()
def bounds_of_row(order, first, position, time, frame, hint):  # type: ignore[no-untyped-def]
    """The history slice of one row → (low, high).

    `position` is the first place of the history that is not older than the row, `first` the first place of its
    partition. `hint` is a place at or before the row's `low`: the one of the partition's row before, or `first`.
    """
    high = position
    if frame[_EXCLUDE_TIME]:
        high = _first_at_least(order, first, high, time)
    end = frame[_END]
    low = first
    if frame[_IS_RANGE]:
        if end > 0:
            high = _first_at_least(order, first, high, time - end + 1)
        start = frame[_START]
        if frame[_LIMIT] >= 0:
            low = max(low, high - frame[_LIMIT])
        if start >= 0:
            low = max(low, min(hint, high))
            # The bound is seldom far from where it was for the row before: look there before halving the rest.
            step = 1
            farthest = time - start
            near = low
            while near < high and order[near] < farthest:
                low = near + 1
                near += step
                step *= 2
            low = _first_at_least(order, low, min(near, high), farthest)
    else:
        if frame[_START] >= 0:
            low = max(low, high - frame[_START])
        if end > 1:
            high -= end - 1
        if frame[_LIMIT] >= 0:
            low = max(low, high - frame[_LIMIT])
    return low, max(low, high)


@kernel("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def frame_bounds(order, first, position, time, frames, low, high):  # type: ignore[no-untyped-def]
    """The slices of all rows, which come by partition and in order, for all frames: fills low and high [frame, row]."""
    for number in range(len(frames)):
        frame = frames[number]
        hint = np.int64(0)
        for row in range(len(position)):
            if row == 0 or first[row] != first[row - 1] or time[row] < time[row - 1]:
                hint = first[row]
            bounds = bounds_of_row(order, first[row], position[row], time[row], frame, hint)
            low[number, row] = bounds[0]
            high[number, row] = bounds[1]
            hint = bounds[0]
