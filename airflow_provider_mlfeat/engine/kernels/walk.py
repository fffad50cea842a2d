"""The walk: every feature of a stream for a range of rows, in one pass.

Features arrive as rows of a matrix of numbers (`Field`), so that one compiled function serves every query: for each
row it gathers a feature's values from the frame, newest first and without NULLs, and applies the feature's operation.
Features that follow one another and gather the same values share the gathering and the counting of distinct values.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from airflow_provider_mlfeat.engine.kernels.categories import largest_values, measure_categories
from airflow_provider_mlfeat.engine.kernels.compilation import kernel
from airflow_provider_mlfeat.engine.kernels.frames import bounds_of_row, first_after
from airflow_provider_mlfeat.engine.kernels.histogram import (
    count_dense_values,
    count_values,
    entropy,
    highest_count,
    most_frequent,
)
from airflow_provider_mlfeat.engine.kernels.statistics import (
    Family,
    drawdown,
    extreme,
    mean,
    median,
    squared_deviation,
    sum_of_integers,
    sum_of_reals,
    weighted_mean,
)


class Operation(IntEnum):
    """What a feature computes. The result is a value of the argument's family unless a comment says more."""

    COUNT = 0  # integer
    SUM = 1
    MINIMUM = 2
    MAXIMUM = 3
    DISTINCT_COUNT = 4  # integer
    AVERAGE = 5  # double, as all up to ENTROPY
    VARIANCE = 6
    VARIANCE_SAMPLE = 7
    DEVIATION = 8
    DEVIATION_SAMPLE = 9
    MEDIAN = 10
    WEIGHTED_MEAN = 11
    DRAWDOWN = 12
    TOP1_RATIO = 13
    ENTROPY = 14
    AT = 15  # the value itself, as up to NTH
    FIRST = 16
    LAST = 17
    NTH = 18
    COUNT_NEWEST = 19  # integer: rows that equal the newest one
    TOP_FREQUENCY = 20  # keys, and as values whether there is one: padding has none
    LARGEST = 21  # keys
    CATEGORIES = 22  # keys and values


class Field(IntEnum):
    """The columns of the feature matrix. Columns and masks are numbers of rows in the data matrices."""

    OPERATION = 0
    FRAME = 1
    COLUMN = 2  # the argument
    MASK = 3  # which rows count: mask 0 is all rows
    FAMILY = 4
    KEY = 5  # the category key
    KEY_FAMILY = 6
    PARAMETER = 7  # n or an index
    PARAMETER_COLUMN = 8  # where the newest row of the frame says the parameter; negative: PARAMETER does
    VALID = 9  # mask of the argument itself, for operations that return a NULL
    FLAG = 10  # mask of the condition of a ratio
    MEASURE = 11
    RANKING = 12
    SHARED = 13  # whether the feature before gathers the same values
    TEXT = 14  # number among the features that give keys; negative for others
    RESULT = 15  # where the result goes
    ZERO = 16  # the pattern as which a NULL counts in distinct counts
    BASE = 17  # the smallest value of the column, and
    SPREAD = 18  # how many there can be, where these are few; else 0


FIELDS = len(Field)

_OPERATION = int(Field.OPERATION)
_FRAME = int(Field.FRAME)
_COLUMN = int(Field.COLUMN)
_MASK = int(Field.MASK)
_FAMILY = int(Field.FAMILY)
_KEY = int(Field.KEY)
_KEY_FAMILY = int(Field.KEY_FAMILY)
_PARAMETER = int(Field.PARAMETER)
_PARAMETER_COLUMN = int(Field.PARAMETER_COLUMN)
_VALID = int(Field.VALID)
_FLAG = int(Field.FLAG)
_MEASURE = int(Field.MEASURE)
_RANKING = int(Field.RANKING)
_SHARED = int(Field.SHARED)
_TEXT = int(Field.TEXT)
_RESULT = int(Field.RESULT)
_ZERO = int(Field.ZERO)
_BASE = int(Field.BASE)
_SPREAD = int(Field.SPREAD)

_COUNT = int(Operation.COUNT)
_SUM = int(Operation.SUM)
_MINIMUM = int(Operation.MINIMUM)
_MAXIMUM = int(Operation.MAXIMUM)
_DISTINCT_COUNT = int(Operation.DISTINCT_COUNT)
_AVERAGE = int(Operation.AVERAGE)
_VARIANCE = int(Operation.VARIANCE)
_VARIANCE_SAMPLE = int(Operation.VARIANCE_SAMPLE)
_DEVIATION = int(Operation.DEVIATION)
_DEVIATION_SAMPLE = int(Operation.DEVIATION_SAMPLE)
_MEDIAN = int(Operation.MEDIAN)
_WEIGHTED_MEAN = int(Operation.WEIGHTED_MEAN)
_DRAWDOWN = int(Operation.DRAWDOWN)
_TOP1_RATIO = int(Operation.TOP1_RATIO)
_ENTROPY = int(Operation.ENTROPY)
_AT = int(Operation.AT)
_FIRST = int(Operation.FIRST)
_LAST = int(Operation.LAST)
_NTH = int(Operation.NTH)
_COUNT_NEWEST = int(Operation.COUNT_NEWEST)
_TOP_FREQUENCY = int(Operation.TOP_FREQUENCY)
_LARGEST = int(Operation.LARGEST)
_CATEGORIES = int(Operation.CATEGORIES)
_INTEGER = int(Family.INTEGER)
_DOUBLE = int(Family.DOUBLE)
_FLOAT = int(Family.FLOAT)


@kernel()
def _gather(past, column, kept, mask, now, now_kept, low, high, include, buffer):  # type: ignore[no-untyped-def]
    """The kept values of a frame, newest first → how many."""
    count = 0
    if include and now_kept:
        buffer[0] = now
        count = 1
    if mask == 0:
        for place in range(high - 1, low - 1, -1):
            buffer[count] = past[column, place]
            count += 1
    else:
        for place in range(high - 1, low - 1, -1):
            buffer[count] = past[column, place]
            count += kept[mask, place]
    return count


@kernel()
def _nth_kept(kept, mask, now_kept, low, high, include, index):  # type: ignore[no-untyped-def]
    """Place of the index-th kept row from the oldest (index > 0) or newest (< 0); -1 the current row, -2 none."""
    if index > 0:
        for place in range(low, high):
            index -= kept[mask, place]
            if index == 0 and kept[mask, place]:
                return place
        return -1 if include and now_kept and index == 1 else -2
    if index == 0:
        return -2
    if include and now_kept:
        index += 1
        if index == 0:
            return -1
    for place in range(high - 1, low - 1, -1):
        index += kept[mask, place]
        if index == 0 and kept[mask, place]:
            return place
    return -2


@kernel()
def _place_of(operation, kept, mask, now_kept, low, high, include, index):  # type: ignore[no-untyped-def]
    """Place of the row that a positional function returns; -1 the current row, -2 none."""
    if operation == _AT:
        if index < 0 or index >= high - low + include:
            return -2
        return high - 1 - (index - include) if index >= include else -1
    if operation == _FIRST:
        if mask == 0:
            return low if high > low else (-1 if include else -2)
        index = 1
    elif operation == _LAST:
        if mask == 0:
            return -1 if include else (high - 1 if high > low else -2)
        index = -1
    return _nth_kept(kept, mask, now_kept, low, high, include, index)


@kernel()
def _count_newest(past, column, kept, mask, valid, now, now_kept, now_valid, low, high, include):  # type: ignore[no-untyped-def]
    """How many kept rows equal the newest row of the frame; none when that is NULL."""
    if include:
        if not now_valid:
            return 0
        newest, total = now, np.int64(now_kept)
    else:
        if high == low or not kept[valid, high - 1]:
            return 0
        newest, total = past[column, high - 1], np.int64(0)
    for place in range(low, high):
        if past[column, place] == newest:
            total += kept[mask, place] & kept[valid, place]
    return total


@kernel()
def _longest(features, lows, highs, begin, end):  # type: ignore[no-untyped-def]
    """The number of history rows in the longest frame of any feature."""
    longest = 0
    for number_of in range(len(features)):
        frame = features[number_of, _FRAME]
        for row in range(begin, end):
            longest = max(longest, highs[frame, row] - lows[frame, row])
    return longest


_INTS = "int64[::1]"
_INT_MATRIX = "int64[:, ::1]"
_REAL_MATRIX = "float64[:, ::1]"
_MASK_MATRIX = "uint8[:, ::1]"


@kernel(
    f"void({_INT_MATRIX}, float64[::1], {_INT_MATRIX}, {_INT_MATRIX}, {_INTS}, int64, int64, {_INTS}, {_INTS}, "
    f"{_INT_MATRIX}, {_REAL_MATRIX}, {_MASK_MATRIX}, {_INT_MATRIX}, {_REAL_MATRIX}, {_MASK_MATRIX}, {_INTS}, "
    f"{_INT_MATRIX}, {_REAL_MATRIX}, {_MASK_MATRIX}, int64[:, :, ::1], {_INTS}, {_INTS}, float64[::1])"
)
def walk(  # type: ignore[no-untyped-def]
    features, numbers, lows, highs, includes, begin, end, targets, currents, past, past_reals, past_kept, now,
    now_reals, now_kept, labels, out_bits, out_reals, out_valid, texts, text_keys, text_bits, text_reals,
):  # fmt: skip
    """Compute features for rows [begin, end).

    :param features: one row per feature, see `Field`.
    :param numbers: per feature its floating parameter.
    :param lows, highs: history slices [frame, row]; `includes` says per frame whether the current row is in it.
    :param targets, currents: per row where its results go and which column of `now` it is.
    :param past, past_kept: history [column, place], and masks of it; `past_reals` is the same memory as doubles.
    :param now, now_kept: current rows [column, row], and masks.
    :param labels: order of the codes of strings, for `Family.CODE`.
    :param out_bits, out_valid: results [result, target]; `out_reals` is the same memory as doubles.
    :param texts: start and stop in the text arrays [text feature, row - begin]; the caller makes these long enough for
        every category or value of every frame; `text_reals` is `text_bits` as doubles.
    """
    longest = _longest(features, lows, highs, begin, end) + 1
    bits = 5
    while (1 << bits) < 2 * longest:
        bits += 1
    room = np.int64(1) << bits
    for feature_number in range(len(features)):
        room = max(room, features[feature_number, _SPREAD])
    slots = np.full(room, -1, np.int64)
    keys = np.empty(longest, np.int64)
    counts = np.empty(longest, np.int64)
    # The cell behind the last row is written, but never read, while a masked frame is gathered.
    buffer = np.empty(longest + 1, np.int64)
    buffer_reals = buffer.view(np.float64)
    key_buffer = np.empty(longest + 1, np.int64)
    groups = np.empty(max(longest, 1024), np.int64)
    text_place = np.int64(0)
    for row in range(begin, end):
        target, current = targets[row], currents[row]
        gathered, found = 0, -1
        for feature_number in range(len(features)):
            operation = features[feature_number, _OPERATION]
            result_number = features[feature_number, _RESULT]
            frame = features[feature_number, _FRAME]
            low, high, include = lows[frame, row], highs[frame, row], includes[frame]
            column, mask = features[feature_number, _COLUMN], features[feature_number, _MASK]
            family, valid_mask = features[feature_number, _FAMILY], features[feature_number, _VALID]
            kept_now = now_kept[mask, current]
            parameter, smoothing = features[feature_number, _PARAMETER], numbers[feature_number]
            if features[feature_number, _PARAMETER_COLUMN] >= 0:
                parameter, smoothing = 0, 0.0
                source = features[feature_number, _PARAMETER_COLUMN]
                if include:
                    parameter, smoothing = now[source, current], now_reals[source, current]
                elif high > low:
                    parameter, smoothing = past[source, high - 1], past_reals[source, high - 1]

            if operation == _COUNT and mask == 0:
                out_bits[result_number, target] = high - low + include
                out_valid[result_number, target] = 1
                continue
            if operation == _COUNT_NEWEST:
                out_bits[result_number, target] = _count_newest(
                    past, column, past_kept, mask, valid_mask, now[column, current], kept_now,
                    now_kept[valid_mask, current], low, high, include,
                )  # fmt: skip
                out_valid[result_number, target] = 1
                continue
            if _AT <= operation <= _NTH:
                place = _place_of(operation, past_kept, mask, kept_now, low, high, include, parameter)
                if place >= 0:
                    out_bits[result_number, target] = past[column, place]
                    out_valid[result_number, target] = past_kept[valid_mask, place]
                elif place == -1:
                    out_bits[result_number, target] = now[column, current]
                    out_valid[result_number, target] = now_kept[valid_mask, current]
                continue

            if not features[feature_number, _SHARED]:
                found = -1
                gathered = _gather(
                    past, column, past_kept, mask, now[column, current], kept_now, low, high, include, buffer
                )
            count = gathered
            counts_values = operation == _DISTINCT_COUNT or _TOP1_RATIO <= operation <= _ENTROPY
            if found < 0 and (counts_values or operation == _TOP_FREQUENCY):
                if features[feature_number, _SPREAD] > 0:
                    base = features[feature_number, _BASE]
                    found = count_dense_values(buffer, count, base, slots, keys, counts)
                else:
                    found = count_values(buffer, count, slots, keys, counts)
            if operation >= _TOP_FREQUENCY:
                text = features[feature_number, _TEXT]
                written = 0
                if operation == _TOP_FREQUENCY:
                    wanted = parameter if 0 <= parameter <= 1024 else 1024
                    if high - low + include > 0:
                        chosen = most_frequent(keys, counts, found, wanted, family, labels, groups)
                        for place in range(wanted):
                            is_key = place < chosen
                            text_keys[text_place + place] = keys[groups[place]] if is_key else 0
                            text_bits[text_place + place] = is_key
                        written = wanted
                elif operation == _LARGEST:
                    written = largest_values(buffer, count, family, labels, parameter, text_keys, text_place)
                else:
                    key = features[feature_number, _KEY]
                    _gather(past, key, past_kept, mask, now[key, current], kept_now, low, high, include, key_buffer)
                    flags = slots
                    if features[feature_number, _FLAG] >= 0:
                        flags = counts
                        rows = 0
                        flag = features[feature_number, _FLAG]
                        if include and kept_now:
                            flags[0] = now_kept[flag, current]
                            rows = 1
                        for place in range(high - 1, low - 1, -1):
                            flags[rows] = past_kept[flag, place]
                            rows += past_kept[mask, place]
                    written = measure_categories(
                        features[feature_number, _MEASURE], features[feature_number, _RANKING], parameter, count,
                        buffer, buffer_reals, family, labels, key_buffer, features[feature_number, _KEY_FAMILY],
                        flags, slots, keys, groups, text_keys, text_bits, text_reals, text_place,
                    )  # fmt: skip
                    # The categories were counted in the space of the distinct values.
                    found = -1
                texts[text, row - begin, 0] = text_place
                text_place += written
                texts[text, row - begin, 1] = text_place
                out_valid[result_number, target] = 1
                continue

            if operation == _COUNT:
                out_bits[result_number, target] = count
                out_valid[result_number, target] = 1
                continue
            if operation == _DISTINCT_COUNT:
                # The frame's NULLs were not gathered; together they are one value, unless it is among the others.
                if high - low + include > count:
                    found_zero = False
                    for entry in range(found):
                        found_zero |= keys[entry] == features[feature_number, _ZERO]
                    out_bits[result_number, target] = found + (not found_zero)
                else:
                    out_bits[result_number, target] = found
                out_valid[result_number, target] = 1
                continue
            if count == 0:
                # The ratio of nothing is 0 by definition; the others have no value.
                if operation == _TOP1_RATIO:
                    out_reals[result_number, target] = 0.0
                    out_valid[result_number, target] = 1
                continue
            valid = True
            if operation == _SUM and family == _INTEGER:
                out_bits[result_number, target] = sum_of_integers(buffer, count)
            elif operation == _MINIMUM or operation == _MAXIMUM:
                out_bits[result_number, target] = extreme(buffer, count, family, labels, operation == _MAXIMUM)
            else:
                result = 0.0
                if operation == _SUM:
                    result = sum_of_reals(buffer_reals, count, family)
                elif operation == _AVERAGE:
                    result = mean(buffer, buffer_reals, count, family)
                elif operation == _VARIANCE or operation == _DEVIATION:
                    result = squared_deviation(buffer, buffer_reals, count, family) / count
                elif operation == _VARIANCE_SAMPLE or operation == _DEVIATION_SAMPLE:
                    valid = count > 1
                    if valid:
                        result = squared_deviation(buffer, buffer_reals, count, family) / (count - 1)
                elif operation == _MEDIAN:
                    result = median(buffer, buffer_reals, count, family, labels)
                elif operation == _WEIGHTED_MEAN:
                    if smoothing == 0.0 or np.isnan(smoothing):
                        result = mean(buffer, buffer_reals, count, family)
                    else:
                        result = weighted_mean(buffer, buffer_reals, count, family, smoothing)
                elif operation == _DRAWDOWN:
                    result, valid = drawdown(buffer, buffer_reals, count, family)
                elif operation == _TOP1_RATIO:
                    result = highest_count(counts, found) / count
                else:
                    result = entropy(counts, found, count)
                if operation == _DEVIATION or operation == _DEVIATION_SAMPLE:
                    result = np.sqrt(result)
                out_reals[result_number, target] = result
            out_valid[result_number, target] = valid


@kernel(
    f"void({_INTS}, int64, int64, {_INT_MATRIX}, {_INT_MATRIX}, float64[::1], {_INTS}, "
    f"{_INT_MATRIX}, {_REAL_MATRIX}, {_MASK_MATRIX}, {_INT_MATRIX}, {_REAL_MATRIX}, {_MASK_MATRIX}, {_INTS}, "
    f"{_INT_MATRIX}, {_REAL_MATRIX}, {_MASK_MATRIX}, int64[:, :, ::1], {_INTS}, {_INTS}, float64[::1])"
)
def walk_one(  # type: ignore[no-untyped-def]
    order, count, time, frames, features, numbers, includes, past, past_reals, past_kept, now, now_reals, now_kept,
    labels, out_bits, out_reals, out_valid, texts, text_keys, text_bits, text_reals,
):  # fmt: skip
    """Bounds and features of a single row that is newer than all of its history at the same time.

    :param order, count: the order values of the history, and how many of them there are.
    :param time: the row's order value; the other parameters are those of ``walk``.
    """
    out_valid[:] = 0
    position = first_after(order, count, time)
    lows = np.empty((len(frames), 1), np.int64)
    highs = np.empty((len(frames), 1), np.int64)
    for frame in range(len(frames)):
        bounds = bounds_of_row(order, 0, position, time, frames[frame], 0)
        lows[frame, 0] = bounds[0]
        highs[frame, 0] = bounds[1]
    row = np.zeros(1, np.int64)
    walk(
        features, numbers, lows, highs, includes, 0, 1, row, row, past, past_reals, past_kept, now, now_reals,
        now_kept, labels, out_bits, out_reals, out_valid, texts, text_keys, text_bits, text_reals,
    )  # fmt: skip
