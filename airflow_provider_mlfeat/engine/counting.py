"""Features that count the values of frames: how many there are, the commonest one's share, the most frequent ones.

Where a column has few values, or its frames are long, values are counted from frame to frame and not frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, concatenate, merge_dictionaries
from airflow_provider_mlfeat.engine.encoding import Bits, Encoding, encode
from airflow_provider_mlfeat.engine.kernels.aggregates import AGGREGATES, AggregateKernel
from airflow_provider_mlfeat.engine.kernels.counting import count_frames, fill_codes
from airflow_provider_mlfeat.engine.kernels.ordering import factorize
from airflow_provider_mlfeat.engine.kernels.walk import Field, Operation
from airflow_provider_mlfeat.engine.program import FeatureProgram, FramedCall, Mask
from airflow_provider_mlfeat.engine.texts import padded_text_column
from airflow_provider_mlfeat.sql.plan import Literal
from airflow_provider_mlfeat.sql.types import BIGINT, DOUBLE, STRING

if TYPE_CHECKING:
    from airflow_provider_mlfeat.engine.features import FramedRows

Codes = NDArray[np.int32]

_COUNTING = (Operation.DISTINCT_COUNT, Operation.TOP1_RATIO, Operation.TOP_FREQUENCY)
_FEW_VALUES = 1 << 13
_LONG_FRAME = 64  # rows of a frame, on average, from which numbering many values pays
_MOST_WANTED = 1024  # entries of a text
_ROWS_PER_THREAD = 20_000  # fewer are not worth a thread
_TEXT_ENTRIES = 1 << 23  # how many entries of texts a range of rows may have, unless one row alone has more
_NO_BITS, _NO_REALS = np.empty(0, np.int64), np.empty(0, np.float64)
_NO_CODES, _NO_COMBINATIONS = np.empty(0, np.int32), np.empty((0, 0), np.int32)
_NO_MASK = np.empty(0, np.uint8)


def is_counted(source: FramedRows, framed: FramedCall) -> bool:
    """Whether a direct call is best evaluated here."""
    kernel = AGGREGATES[framed.call.function]
    if not isinstance(kernel, AggregateKernel) or kernel.operation not in _COUNTING:
        return False
    if kernel.parameter is not None and not isinstance(framed.call.arguments[kernel.parameter], Literal):
        return False
    assert kernel.value is not None
    return source.values_of(framed.call.arguments[kernel.value]) is not None or is_long(source, framed.frame)


def is_long(source: FramedRows, frame: int) -> bool:
    """Whether rows stay in a frame for so long that moving its ends is far cheaper than going through it."""
    low, high = source.bounds.low[frame], source.bounds.high[frame]
    read = int((high - low).sum())
    if read < _LONG_FRAME * len(low):
        return False
    return read > 8 * int(np.abs(np.diff(low)).sum() + np.abs(np.diff(high)).sum())


# ── codes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Values:
    """The values of an expression as codes that order as they do.

    :param encoding: what patterns mean.
    :param patterns: per code the pattern of its value.
    :param numbers: per part of the rows a number per row.
    :param meanings: per part of the rows the code that a number stands for; empty where numbers are codes.
    """

    encoding: Encoding
    patterns: Bits
    numbers: Sequence[Codes]
    meanings: Sequence[Codes]

    @property
    def zero(self) -> int:
        """The code as which a NULL counts; negative if it is no value of the column."""
        found = np.flatnonzero(self.patterns == self.encoding.zero)
        return int(found[0]) if len(found) else -1


def few_values(columns: Sequence[Column]) -> Values | None:
    """The values of a column, given part by part, if there are few of them; else None."""
    first = columns[0]
    if first.dictionary is not None:
        dictionaries = [column.dictionary for column in columns if column.dictionary is not None]
        if sum(len(column) for column in columns) + _FEW_VALUES < max(map(len, dictionaries)):
            return None
        mappings, merged = merge_dictionaries(dictionaries)
        meanings = [merged.ranks if mapping is None else merged.ranks[mapping] for mapping in mappings]
        patterns = np.arange(len(merged))
        return Values(Encoding(STRING, merged), patterns, [column.values for column in columns], meanings)
    if first.values.dtype.kind not in "ib":
        return None
    low = min(int(column.values.min(initial=0)) for column in columns)
    high = max(int(column.values.max(initial=0)) for column in columns)
    if high - low >= _FEW_VALUES:
        return None
    numbers = [(column.values.astype(np.int64) - low).astype(np.int32) for column in columns]
    return Values(Encoding(first.type), np.arange(low, high + 1), numbers, [_NO_CODES] * len(columns))


def many_values(columns: Sequence[Column]) -> Values:
    """The values of a column of any kind."""
    bits, encoding = encode(concatenate(columns))
    numbers, count = factorize(bits)
    patterns = np.empty(count, np.int64)
    patterns[numbers] = bits
    order = np.argsort(_sort_keys(patterns, encoding))
    code_of = np.empty(count, np.int32)
    code_of[order] = np.arange(count, dtype=np.int32)
    ends = np.cumsum([len(column) for column in columns])
    return Values(encoding, patterns[order], np.split(code_of[numbers], ends[:-1]), [_NO_CODES] * len(columns))


def _sort_keys(patterns: Bits, encoding: Encoding) -> Bits:
    """Numbers that order as the values do; the bits of negative doubles grow with their magnitude."""
    if not encoding.type.is_floating:
        return patterns
    return patterns ^ ((patterns >> 63) & np.iinfo(np.int64).max)


def _codes(source: FramedRows, values: Values, kept: Sequence[NDArray[np.uint8]]) -> tuple[Codes, Codes]:
    """The codes of the history's places and of current rows; the number of codes where a row does not count."""
    timeline, nothing = source.timeline, len(values.patterns)
    past = np.empty(len(timeline.history), np.int32)
    first = 0
    for place, part in enumerate(source.parts):
        if part.length and (place > 0 or timeline.holds_main):
            numbers, meaning = values.numbers[place], values.meanings[place]
            fill_codes(timeline.history, first, first + part.length, numbers, meaning, kept[place], nothing, past)
        first += part.length
    if timeline.holds_main:
        return past, past
    now = np.empty(source.parts[0].length, np.int32)
    fill_codes(np.arange(len(now)), 0, len(now), values.numbers[0], values.meanings[0], kept[0], nothing, now)
    return past, now


def _kept(source: FramedRows, program: FeatureProgram, mask: Mask) -> list[NDArray[np.uint8]]:
    """Per part of the rows which of them count; empty where all do."""
    kept: list[NDArray[np.bool_] | None] = [None] * len(source.parts)
    for number, is_condition in mask:
        for place, column in enumerate(source.part_columns(program.expressions[number])):
            terms = [] if column.valid is None else [column.valid]
            if is_condition:
                terms.append(column.values.astype(np.bool_))
            for term in terms:
                before = kept[place]
                kept[place] = term if before is None else before & term
    return [_NO_MASK if rows is None else rows.view(np.uint8) for rows in kept]


# ── counting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Pass:
    """Features of one column and frame that one pass over the rows answers, by operation.

    :param frame: the frame.
    :param places: per operation the number of the feature.
    :param wanted: how many of the most frequent values are asked for.
    """

    frame: int
    places: dict[int, int] = field(default_factory=dict)
    wanted: int = 0


def count_calls(source: FramedRows, calls: Sequence[FramedCall]) -> list[Column]:
    """The results of calls that are counted, one row per row of the main input, in its order."""
    if not calls:
        return []
    program = FeatureProgram(calls)
    features = program.bound(program.masks.index)
    results: dict[int, Column] = {}
    ranges = _ranges(source)

    def column_and_mask(place: int) -> tuple[int, int]:
        return int(features[place, Field.COLUMN]), int(features[place, Field.MASK])

    with ThreadPoolExecutor(max(1, len(ranges))) as pool:
        for (column, mask), places in groupby(sorted(range(len(features)), key=column_and_mask), column_and_mask):
            expression = program.expressions[column]
            values = source.values_of(expression) or many_values(source.part_columns(expression))
            past, now = _codes(source, values, _kept(source, program, program.masks[mask]))
            for one in _passes(features, places):
                for place, result in _run(source, one, values, past, now, ranges, pool).items():
                    results[program.instructions[place].result] = result
    return [results[number] for number in range(len(calls))]


def _passes(features: Bits, places: Iterable[int]) -> list[_Pass]:
    passes: list[_Pass] = []
    for place in places:
        operation, frame = int(features[place, Field.OPERATION]), int(features[place, Field.FRAME])
        free = (one for one in passes if one.frame == frame and operation not in one.places)
        one = next(free, None)
        if one is None:
            one = _Pass(frame)
            passes.append(one)
        one.places[operation] = place
        if operation == Operation.TOP_FREQUENCY:
            wanted = int(features[place, Field.PARAMETER])
            one.wanted = wanted if 0 <= wanted <= _MOST_WANTED else _MOST_WANTED
    return passes


def _ranges(source: FramedRows) -> list[tuple[int, int]]:
    """Ranges of rows, one per thread."""
    parts = max(1, min(source.settings.threads, source.length // _ROWS_PER_THREAD))
    cuts = [source.length * part // parts for part in range(parts + 1)]
    return list(pairwise(cuts))


def _run(
    source: FramedRows, one: _Pass, values: Values, past: Codes, now: Codes, ranges: Sequence[tuple[int, int]],
    pool: Executor,
) -> dict[int, Column]:  # fmt: skip
    """One pass over the rows → the columns of its features."""
    bounds, count = source.bounds, source.length
    distinct = np.empty(count, np.int64) if Operation.DISTINCT_COUNT in one.places else _NO_BITS
    ratios = np.empty(count, np.float64) if Operation.TOP1_RATIO in one.places else _NO_REALS
    has_texts = Operation.TOP_FREQUENCY in one.places
    numbers = np.empty(count, np.int32) if has_texts else _NO_CODES

    def run(rows: tuple[int, int]) -> list[tuple[tuple[int, int], Codes]]:
        step = max(1, _TEXT_ENTRIES // max(1, one.wanted)) if has_texts else max(1, rows[1] - rows[0])
        answers = []
        for begin in range(rows[0], max(rows[1], rows[0] + 1), step):
            end = min(begin + step, rows[1])
            combinations = np.empty((end - begin, one.wanted), np.int32) if has_texts else _NO_COMBINATIONS
            found = count_frames(
                bounds.low[one.frame], bounds.high[one.frame], int(bounds.include[one.frame]), begin, end,
                source.targets, source.currents, past, now, len(values.patterns), values.zero, distinct, ratios,
                numbers, combinations,
            )  # fmt: skip
            answers.append(((begin, end), combinations[:found].copy()))
        return answers

    runs = list(pool.map(run, ranges)) if len(ranges) > 1 else [run(rows) for rows in ranges]
    columns: dict[int, Column] = {}
    for operation, place in one.places.items():
        if operation == Operation.DISTINCT_COUNT:
            columns[place] = Column(BIGINT, distinct)
        elif operation == Operation.TOP1_RATIO:
            columns[place] = Column(DOUBLE, ratios)
        else:
            columns[place] = _texts(source, values, numbers, [answer for answers in runs for answer in answers])
    return columns


def _texts(
    source: FramedRows, values: Values, numbers: Codes, answers: Sequence[tuple[tuple[int, int], Codes]]
) -> Column:
    """The texts of the most frequent values: per row of the main input that of its combination."""
    first = 0
    for (begin, end), combinations in answers:
        if first:
            targets = source.targets[begin:end]
            numbers[targets] += np.where(numbers[targets] < 0, 0, first).astype(np.int32)
        first += len(combinations)
    codes = np.concatenate([combinations for _, combinations in answers])
    # A frame without rows has no entry at all: the last one of the texts.
    numbers[numbers < 0] = first
    stops = np.append(np.arange(1, first + 1) * codes.shape[1], first * codes.shape[1])
    starts = np.append(np.arange(first) * codes.shape[1], first * codes.shape[1])
    is_key = codes.ravel() >= 0
    keys = values.patterns[np.maximum(codes.ravel(), 0)]
    bounds = np.ascontiguousarray(np.stack([starts, stops], axis=1))
    texts = padded_text_column(bounds, keys, values.encoding, is_key.astype(np.int64), source.settings.context)
    return texts.take(numbers)
