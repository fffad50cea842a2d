"""Timelines: the rows of a stream by partition and in total order, and the frames over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, concatenate, validity
from airflow_provider_mlfeat.engine.encoding import Bits, number_bits
from airflow_provider_mlfeat.engine.kernels.frames import FRAME_FIELDS, FrameField, frame_bounds
from airflow_provider_mlfeat.engine.kernels.ordering import (
    factorize,
    group_rows,
    merge_sorted,
    places_after,
    sort_segments,
)
from airflow_provider_mlfeat.sql.plan import Frame

Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The history of a stream and the place of every row of the main input in it.

    Rows are numbered through all sources: those of the main input first, then those of the first union source, ….

    :param history: the row at every place, by partition, oldest first.
    :param order: the order value at every place.
    :param main: the rows of the main input by partition, oldest first; what follows is per such row.
    :param first: the first place of the row's partition.
    :param position: the first place that is not older than the row.
    :param time: the row's order value.
    :param holds_main: whether the history holds the rows of the main input, each at its `position`.
    """

    history: Bits
    order: Bits
    main: Bits
    first: Bits
    position: Bits
    time: Bits
    holds_main: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """The frames of every row of a timeline's main input.

    :param low, high: history slices [frame, row].
    :param include: per frame whether it holds the current row.
    """

    low: Bits
    high: Bits
    include: Bits

    def lengths(self, frame: int) -> Bits:
        """The number of rows in every frame."""
        lengths: Bits = self.high[frame] - self.low[frame] + self.include[frame]
        return lengths


def group_codes(columns: Sequence[Column], length: int) -> tuple[Numbers, int]:
    """Number rows with equal values alike, NULL being a value → (number per row, a bound of the numbers)."""
    codes: Numbers
    numbers: Numbers
    codes, count = np.zeros(length, np.int64), 1
    for column in columns:
        if column.dictionary is not None:
            numbers, distinct = column.values, len(column.dictionary)
        else:
            numbers, distinct = factorize(number_bits(column.values))
        if column.valid is not None:
            numbers = np.where(column.valid, numbers, distinct)
            distinct += 1
        if count > 1:
            numbers = codes.astype(np.int64) * distinct + numbers
        codes, count = numbers, count * distinct
        if count > 2 * length + 1024:
            # Numbers are used as places in arrays: keep them as few as there are rows.
            codes, count = factorize(codes.astype(np.int64))
    return codes, max(count, 1)


def build_timeline(
    groups: Numbers, group_count: int, order: Bits, lengths: Sequence[int], without_main: bool
) -> Timeline:
    """Order the rows of a stream.

    :param groups, group_count: the partition of every row, see ``group_codes``.
    :param order: the order value of every row.
    :param lengths: the number of rows of the main input and of every union source.
    :param without_main: whether rows of the main input are no history.
    """
    ends = np.cumsum(lengths).tolist()
    sources = []
    for start, end in zip([0, *ends], ends, strict=False):
        starts, rows = group_rows(groups[start:end], group_count, start)
        sort_segments(starts, rows, order)
        sources.append((starts, rows))
    main_starts, main = sources[0]
    # A later listed union source is older, and all of them are older than the main input.
    oldest_first = sources[:0:-1] if without_main else [*sources[:0:-1], sources[0]]
    starts, history = oldest_first[0] if oldest_first else (np.zeros(group_count + 1, np.int64), main[:0])
    for newer_starts, newer in oldest_first[1:]:
        starts, history = merge_sorted(starts, history, newer_starts, newer, order)
    first = np.repeat(starts[:-1], np.diff(main_starts))
    if without_main:
        position = places_after(starts, history, main_starts, main, order)
    elif len(sources) == 1:
        position = np.arange(len(main))
    else:
        position = np.flatnonzero(history < lengths[0])
    return Timeline(history, order[history], main, first, position, order[main], not without_main)


def concatenated(columns: Sequence[Column]) -> tuple[Bits, Column]:
    """The order values of all sources, and the column that they come from; anything where NULL."""
    column = concatenate(columns)
    return column.values.astype(np.int64), column


def first_bad_order_key(column: Column) -> int | None:
    """The first row whose order key is NULL or negative."""
    bad = column.values < 0
    if column.valid is not None:
        bad |= ~validity(column)
    return int(np.argmax(bad)) if bad.any() else None


def frame_matrix(frames: Sequence[Frame]) -> Bits:
    """The frames as the kernels want them."""
    matrix = np.zeros((len(frames), FRAME_FIELDS), np.int64)
    for row, frame in zip(matrix, frames, strict=True):
        holds_current = frame.end <= 0
        row[FrameField.IS_RANGE] = frame.unit == "range"
        row[FrameField.START] = -1 if frame.start is None else frame.start
        row[FrameField.END] = max(frame.end, 0)
        row[FrameField.EXCLUDE_TIME] = frame.exclude_current_time
        row[FrameField.INCLUDE] = holds_current and not frame.exclude_current_row
        row[FrameField.LIMIT] = -1
        if frame.maxsize is not None:
            # The current row is one of the rows that stay, unless it is dropped afterwards.
            row[FrameField.LIMIT] = frame.maxsize - int(row[FrameField.INCLUDE])
        if frame.start is not None and frame.start < frame.end:
            row[FrameField.LIMIT] = row[FrameField.INCLUDE] = row[FrameField.START] = 0
    return matrix


def all_bounds(timeline: Timeline, frames: Sequence[Frame]) -> Bounds:
    """The frames of every row of the main input, in the timeline's order."""
    matrix = frame_matrix(frames)
    low = np.empty((len(frames), len(timeline.main)), np.int64)
    high = np.empty_like(low)
    frame_bounds(timeline.order, timeline.first, timeline.position, timeline.time, matrix, low, high)
    return Bounds(low, high, matrix[:, FrameField.INCLUDE].copy())
