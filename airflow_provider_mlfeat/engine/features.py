"""Evaluating aggregates over frames of rows in memory.

Most calls are compiled into one feature program and walked together. A call that holds another aggregate in an
argument is evaluated in two steps: the inner one per frame, the outer one over the rows of the frames written out. A
user's aggregate in Python gets lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, concatenate
from airflow_provider_mlfeat.engine.counting import Values, count_calls, few_values, is_counted, is_long
from airflow_provider_mlfeat.engine.encoding import Bits, Encoding, encode
from airflow_provider_mlfeat.engine.expressions import EvaluationContext
from airflow_provider_mlfeat.engine.frames import Bounds, Timeline
from airflow_provider_mlfeat.engine.kernels.aggregates import AGGREGATES, AggregateKernel, SplitKernel
from airflow_provider_mlfeat.engine.kernels.segments import flatten
from airflow_provider_mlfeat.engine.kernels.sliding import slide_extreme
from airflow_provider_mlfeat.engine.kernels.walk import Field, Operation, walk
from airflow_provider_mlfeat.engine.matrices import Matrices
from airflow_provider_mlfeat.engine.program import (
    FeatureProgram,
    FramedCall,
    Instruction,
    holds_frame_call,
    newest_comparison,
    share,
)
from airflow_provider_mlfeat.engine.rows import Rows, evaluate
from airflow_provider_mlfeat.engine.texts import key_text_column, padded_text_column, pair_text_column, valid_mask
from airflow_provider_mlfeat.sql.functions.registry import CATALOGUE, load_implementation
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference, Expression, FrameCall
from airflow_provider_mlfeat.sql.types import STRING, Kind

Implementation = AggregateKernel | SplitKernel | Callable[..., Any]

_TEXT_ENTRIES = 1 << 23  # how many entries of texts one chunk may hold, unless one row alone has more
_FLAT_ROWS = 1 << 21  # how many rows of frames are written out at a time
_ROWS_PER_THREAD = 20_000  # fewer are not worth a thread
_NO_LABELS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Settings:
    """How features are evaluated.

    :param context: what scalar functions depend on.
    :param threads: how many threads may walk at a time.
    :param slide: whether long frames may be evaluated incrementally.
    """

    context: EvaluationContext
    threads: int = 1
    slide: bool = True


class FramedRows:
    """The rows of a stream's sources with the frames over them.

    :param parts: the rows of the main input, then those of every union source.
    :param timeline: their order.
    :param bounds: the frames, per row of the timeline.
    :param settings: how to evaluate.
    :param samples: per row of the timeline the row that a setting is read from: the current one unless given.
    :param targets: per row of the timeline its number in the answer: that in the main input unless given.
    """

    def __init__(
        self, parts: Sequence[Rows], timeline: Timeline, bounds: Bounds, settings: Settings,
        samples: Bits | None = None, targets: Bits | None = None,
    ) -> None:  # fmt: skip
        self.parts, self.timeline, self.bounds, self.settings = parts, timeline, bounds, settings
        self.samples = timeline.main if samples is None else samples
        self.targets = timeline.main if targets is None else targets
        self._columns: dict[Expression, Column] = {}
        self._part_columns: dict[Expression, list[Column]] = {}
        self._values: dict[Expression, Values | None] = {}
        self._encoded: dict[Expression, tuple[Bits, Encoding]] = {}

    @property
    def length(self) -> int:
        """The number of rows that have frames."""
        return len(self.timeline.main)

    @cached_property
    def currents(self) -> Bits:
        """Per row of the timeline which column of the current matrices it is."""
        return self.timeline.position if self.timeline.holds_main else self.timeline.main

    def column(self, expression: Expression) -> Column:
        """An expression's values over the rows of all sources."""
        if expression not in self._columns:
            self._columns[expression] = concatenate(self.part_columns(expression))
        return self._columns[expression]

    def part_columns(self, expression: Expression) -> list[Column]:
        """The same, source by source."""
        if expression not in self._part_columns:
            context = self.settings.context
            self._part_columns[expression] = [evaluate(expression, part, context) for part in self.parts]
        return self._part_columns[expression]

    def values_of(self, expression: Expression) -> Values | None:
        """An expression's values as codes, if there are few values."""
        if expression not in self._values:
            self._values[expression] = few_values(self.part_columns(expression))
        return self._values[expression]

    def encoded(self, expression: Expression) -> tuple[Bits, Encoding]:
        """The same as patterns."""
        if expression not in self._encoded:
            self._encoded[expression] = encode(self.column(expression))
        return self._encoded[expression]

    # ── direct calls ────────────────────────────────────────────────────────────────────────────────────────────────

    def evaluate(self, calls: Sequence[FramedCall]) -> list[Column]:
        """The calls' results, one row per row of the main input, in its order."""
        counted, walked, others = [], [], []
        for place, framed in enumerate(calls):
            if not is_direct(framed.call):
                others.append(place)
            elif self.settings.slide and newest_comparison(framed.call) is None and is_counted(self, framed):
                counted.append(place)
            else:
                walked.append(place)
        results: dict[int, Column] = {}
        results.update(zip(counted, count_calls(self, [calls[place] for place in counted]), strict=True))
        results.update(zip(walked, self._walk([calls[place] for place in walked]), strict=True))
        results.update((place, self._evaluate_one(calls[place])) for place in others)
        return [results[place] for place in range(len(calls))]

    def _walk(self, calls: Sequence[FramedCall]) -> list[Column]:
        if not calls:
            return []
        program = FeatureProgram(calls)
        data = Matrices(self, program)
        features = program.bound(data.number_of, zero=data.zero_of)
        data.set_spread(features)
        count = self.length
        bits = np.zeros((len(features), count), np.int64)
        valid = np.zeros((len(features), count), np.uint8)
        columns: dict[int, Column] = {}
        slid: set[int] = set()
        if self.settings.slide:
            slid = {place for place, feature in enumerate(features) if self._is_slid(feature)}
        for place in slid:
            self._slide(features[place], data, bits[place], valid[place])
        walked = share(features[[place for place in range(len(features)) if place not in slid]])
        chunks = self._chunks(walked) if len(walked) else []

        def run(chunk: tuple[int, int]) -> dict[int, Column]:
            return self._walk_chunk(program, walked, data, chunk, bits, valid)

        workers = min(self.settings.threads, len(chunks))
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                texts = list(pool.map(run, chunks))
        else:
            texts = [run(chunk) for chunk in chunks]
        for place, instruction in enumerate(program.instructions):
            if instruction.is_text:
                text = concatenate([chunk[place] for chunk in texts])
                codes = np.empty_like(text.values)
                codes[self.targets] = text.values
                columns[instruction.result] = Column(STRING, codes, None, text.dictionary)
            else:
                columns[instruction.result] = self._decode(instruction, program, bits[place], valid[place])
        return [columns[number] for number in range(len(calls))]

    def _decode(
        self, instruction: Instruction, program: FeatureProgram, bits: Bits, valid: NDArray[np.uint8]
    ) -> Column:
        encoding = Encoding(instruction.type)
        if instruction.type.kind is Kind.STRING:
            assert instruction.value is not None
            encoding = self.encoded(program.expressions[instruction.value])[1]
        return encoding.decode(bits, valid_mask(valid))

    def _is_slid(self, feature: Bits) -> bool:
        """Whether a feature is an extreme of long frames."""
        return feature[Field.OPERATION] in _EXTREMES and is_long(self, int(feature[Field.FRAME]))

    def _slide(self, feature: Bits, data: Matrices, bits: Bits, valid: NDArray[np.uint8]) -> None:
        """Evaluate an extreme incrementally: fill in bits and valid."""
        frame, column, mask = (int(feature[field]) for field in (Field.FRAME, Field.COLUMN, Field.MASK))
        slide_extreme(
            self.bounds.low[frame], self.bounds.high[frame], int(self.bounds.include[frame]), self.targets,
            self.currents, data.past[column], data.past_kept[mask], data.now[column], data.now_kept[mask],
            int(feature[Field.FAMILY]), feature[Field.OPERATION] == Operation.MAXIMUM, _NO_LABELS, bits, valid,
        )  # fmt: skip

    def _chunks(self, features: Bits) -> list[tuple[int, int]]:
        """Ranges of rows, cut by the number of threads and the room for texts; one at least."""
        count = self.length
        parts = max(1, min(self.settings.threads, count // _ROWS_PER_THREAD))
        cuts = {count * part // parts for part in range(parts + 1)}
        texts = features[features[:, Field.TEXT] >= 0]
        if len(texts) and count:
            room = np.cumsum(self._text_room(texts, slice(None)))
            limits = range(_TEXT_ENTRIES, int(room[-1]), _TEXT_ENTRIES)
            cuts.update(np.searchsorted(room, limits).tolist())
        edges = sorted(cuts)
        return list(pairwise(edges)) or [(0, 0)]

    def _text_room(self, features: Bits, rows: slice) -> Bits:
        """Per row how many entries the texts may have at most."""
        room = np.zeros(len(self.targets[rows]), np.int64)
        for feature in features:
            frame = feature[Field.FRAME]
            wanted = int(feature[Field.PARAMETER])
            is_constant = feature[Field.PARAMETER_COLUMN] < 0
            if feature[Field.OPERATION] == Operation.TOP_FREQUENCY:
                room += wanted if is_constant and 0 <= wanted <= 1024 else 1024
                continue
            lengths = self.bounds.high[frame, rows] - self.bounds.low[frame, rows] + self.bounds.include[frame]
            room += np.minimum(lengths, wanted) if is_constant and wanted >= 0 else lengths
        return room

    def _walk_chunk(
        self, program: FeatureProgram, features: Bits, data: Matrices, chunk: tuple[int, int], bits: Bits,
        valid: NDArray[np.uint8],
    ) -> dict[int, Column]:  # fmt: skip
        """Walk a range of rows → the text columns of these rows, in the timeline's order."""
        begin, end = chunk
        with_text = features[features[:, Field.TEXT] >= 0]
        room = int(self._text_room(with_text, slice(begin, end)).sum())
        texts = np.zeros((len(program.texts), end - begin, 2), np.int64)
        keys, values = np.empty(room, np.int64), np.empty(room, np.int64)
        walk(
            features, program.numbers[features[:, Field.RESULT]], self.bounds.low, self.bounds.high,
            self.bounds.include, begin, end, self.targets, self.currents, data.past,
            data.past.view(np.float64), data.past_kept, data.now, data.now.view(np.float64), data.now_kept,
            _NO_LABELS, bits, bits.view(np.float64), valid, texts, keys, values, values.view(np.float64),
        )  # fmt: skip
        columns: dict[int, Column] = {}
        for feature in with_text:
            instruction = program.instructions[feature[Field.RESULT]]
            assert instruction.key is not None
            bounds, encoding = texts[feature[Field.TEXT]], self.encoded(program.expressions[instruction.key])[1]
            if feature[Field.OPERATION] == Operation.TOP_FREQUENCY:
                text = padded_text_column(bounds, keys, encoding, values, self.settings.context)
            elif instruction.with_values:
                value_encoding = Encoding(instruction.value_type)
                text = pair_text_column(bounds, keys, encoding, values, value_encoding, self.settings.context)
            else:
                text = key_text_column(bounds, keys, encoding, self.settings.context)
            columns[int(feature[Field.RESULT])] = text
        return columns

    # ── calls of other kinds ────────────────────────────────────────────────────────────────────────────────────────

    def _evaluate_one(self, framed: FramedCall) -> Column:
        """A call that the walk cannot evaluate by itself."""
        step = self._rows_at_a_time(framed.frame)
        order = self.targets
        pieces = [
            self._part(framed.frame, start, min(start + step, self.length)).evaluate_nested(framed.call)
            for start in range(0, max(self.length, 1), step)
        ]
        positions = np.empty(len(order), np.int64)
        positions[order] = np.arange(len(order))
        return concatenate(pieces).take(positions)

    def _rows_at_a_time(self, frame: int) -> int:
        lengths = self.bounds.lengths(frame)
        mean = int(lengths.sum()) // max(len(lengths), 1) + 1
        return max(1, _FLAT_ROWS // mean)

    def _part(self, frame: int, start: int, stop: int) -> _FlatFrames:
        low, high = self.bounds.low[frame, start:stop], self.bounds.high[frame, start:stop]
        return _FlatFrames(self, low, high, bool(self.bounds.include[frame]), slice(start, stop))


class _FlatFrames:
    """The frames of some rows written out: all rows of the first frame, oldest first, then those of the next one."""

    def __init__(self, source: FramedRows, low: Bits, high: Bits, include: bool, part: slice) -> None:
        self.source, self.samples = source, source.samples[part]
        self.lengths = high - low + include
        ends = np.cumsum(self.lengths)
        self.bounds = np.stack([ends - self.lengths, ends], axis=1)
        self.rows = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
        if include:
            last = np.zeros(len(self.rows), np.bool_)
            last[ends - 1] = True
            self.rows[last] = self.samples
            places = flatten(np.ascontiguousarray(np.stack([low, high], axis=1)))
            self.rows[~last] = source.timeline.history[places]
        else:
            self.rows[:] = source.timeline.history[flatten(np.ascontiguousarray(np.stack([low, high], axis=1)))]

    def evaluate_nested(self, call: FrameCall) -> Column:
        """The call's value for every frame."""
        implementation = implementation_of(call.function)
        if call.arguments and call.arguments[0].type.kind in (Kind.LIST, Kind.ARRAY):
            return self._over_elements(call)
        if isinstance(implementation, AggregateKernel):
            columns = [self._flat(argument) for argument in call.arguments]
            return _aggregate_segments(call, columns, self.bounds, self.source.settings)
        if isinstance(implementation, SplitKernel):
            return self._split(call, implementation)
        return self._call_python(call, implementation)

    def _per_frame(self, expression: Expression) -> tuple[Expression, list[Column]]:
        """Inner aggregates evaluated: the expression over columns of their results, and these columns."""
        found: list[FrameCall] = []
        rewritten = _lift(expression, found)
        return rewritten, [self.evaluate_nested(call) for call in found]

    def _flat(self, expression: Expression) -> Column:
        """An expression for every row of every frame."""
        if not holds_frame_call(expression):
            return self.source.column(expression).take(self.rows)
        rewritten, inner = self._per_frame(expression)
        owner = np.repeat(np.arange(len(self.samples)), self.lengths)
        return self._with_inputs(rewritten, self.rows, [column.take(owner) for column in inner])

    def _by_row(self, expression: Expression) -> Column:
        """An expression for every frame, its columns being those of the current row."""
        rewritten, inner = self._per_frame(expression)
        return self._with_inputs(rewritten, self.samples, inner)

    def _with_inputs(self, expression: Expression, rows: Bits, lifted: Sequence[Column]) -> Column:
        """The expression for some rows: lifted results come first, then the columns of the source that it reads."""
        columns = list(lifted)
        places: dict[int, int] = {}

        def place(reference: ColumnReference) -> int:
            # Lifted calls are numbered below zero.
            if reference.index < 0:
                return -1 - reference.index
            if reference.index not in places:
                places[reference.index] = len(columns)
                columns.append(self.source.column(reference).take(rows))
            return places[reference.index]

        renumbered = _renumbered(expression, place)
        return evaluate(renumbered, Rows(len(rows), columns), self.source.settings.context)

    def _over_elements(self, call: FrameCall) -> Column:
        """An aggregate of a list: the list's elements are the rows, the first one being the newest."""
        lists = self._by_row(call.arguments[0]).to_values()
        lengths = np.array([len(values or ()) for values in lists], np.int64)
        ends = np.cumsum(lengths)
        elements = [element for values in lists for element in reversed(values or ())]
        element_type = call.arguments[0].type.element
        columns = [Column.from_values(elements, element_type)]
        owner = np.repeat(np.arange(len(lists)), lengths)
        columns += [self._by_row(argument).take(owner) for argument in call.arguments[1:]]
        over = replace(call, arguments=(ColumnReference(0, element_type), *call.arguments[1:]))
        return _aggregate_segments(over, columns, np.stack([ends - lengths, ends], axis=1), self.source.settings)

    def _split(self, call: FrameCall, kernel: SplitKernel) -> Column:
        split = Call(kernel.function, call.arguments, call.type)
        column = self._flat(split)
        parts = column.to_values()
        values = [
            tuple(part for row in range(stop - 1, start - 1, -1) for part in parts[row] or ())
            for start, stop in self.bounds.tolist()
        ]
        return Column.from_values(values, call.type)

    def _call_python(self, call: FrameCall, function: Callable[..., Any]) -> Column:
        columns = [self._flat(argument).to_values() for argument in call.arguments]
        values = [function(*(column[start:stop][::-1] for column in columns)) for start, stop in self.bounds.tolist()]
        return Column.from_values(values, call.type)


_EXTREMES = (Operation.MINIMUM, Operation.MAXIMUM)


def _aggregate_segments(call: FrameCall, columns: Sequence[Column], bounds: Bits, settings: Settings) -> Column:
    """An aggregate over segments of rows, the last row of a segment being the newest."""
    total = len(columns[0]) if columns else int((bounds[:, 1] - bounds[:, 0]).sum())
    numbered = tuple(ColumnReference(number, column.type) for number, column in enumerate(columns))
    # A constant stays one: settings are read from it.
    arguments = tuple(
        argument if not _reads_rows(argument) else reference
        for argument, reference in zip(call.arguments, numbered, strict=True)
    )
    rows = segment_rows(Rows(total, columns), bounds, settings)
    return rows.evaluate([FramedCall(0, replace(call, arguments=arguments))])[0]


def segment_rows(rows: Rows, bounds: Bits, settings: Settings, history: Bits | None = None) -> FramedRows:
    """Rows that lie in segments of a history, each of which is the only frame of one result row."""
    count = len(bounds)
    if history is None:
        history = np.arange(rows.length)
    nothing = np.zeros(count, np.int64)
    # A segment is all history: the rows of the results themselves hold nothing.
    timeline = Timeline(history, np.zeros_like(history), np.arange(count), nothing, nothing, nothing, True)
    low, high = np.ascontiguousarray(bounds[:, :1].T), np.ascontiguousarray(bounds[:, 1:].T)
    newest = np.where(high[0] > low[0], np.append(history, -1)[high[0] - 1], -1)
    return FramedRows((rows,), timeline, Bounds(low, high, np.zeros(1, np.int64)), settings, newest)


def implementation_of(function: str) -> Implementation:
    """What evaluates an aggregate."""
    if function in AGGREGATES:
        return AGGREGATES[function]
    return load_implementation(CATALOGUE.aggregates[function].implementation)


def is_direct(call: FrameCall) -> bool:
    """Whether the walk can evaluate a call by itself."""
    if newest_comparison(call) is not None:
        return True
    return (
        isinstance(implementation_of(call.function), AggregateKernel)
        and not any(holds_frame_call(argument) for argument in call.arguments)
        and not (call.arguments and call.arguments[0].type.kind in (Kind.LIST, Kind.ARRAY))
    )


def _reads_rows(expression: Expression) -> bool:
    if isinstance(expression, Call | FrameCall):
        return isinstance(expression, FrameCall) or any(_reads_rows(argument) for argument in expression.arguments)
    return isinstance(expression, ColumnReference)


def _lift(expression: Expression, found: list[FrameCall]) -> Expression:
    """The expression with every outermost inner aggregate as a column numbered below zero."""
    if isinstance(expression, FrameCall):
        if expression not in found:
            found.append(expression)
        return ColumnReference(-1 - found.index(expression), expression.type)
    if isinstance(expression, Call):
        return replace(expression, arguments=tuple(_lift(argument, found) for argument in expression.arguments))
    return expression


def _renumbered(expression: Expression, place: Callable[[ColumnReference], int]) -> Expression:
    if isinstance(expression, ColumnReference):
        return replace(expression, index=place(expression))
    if isinstance(expression, Call):
        return replace(expression, arguments=tuple(_renumbered(argument, place) for argument in expression.arguments))
    return expression
