"""Windows over one request row: the features of a stream in one call of the compiled walk.

This holds for streams whose history is one stored table as it lies in a series' blocks. The other streams go the
general way, see ``request_relations``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.encoding import Bits, family_of, zero_bits
from airflow_provider_mlfeat.engine.expressions import EvaluationContext
from airflow_provider_mlfeat.engine.features import is_direct
from airflow_provider_mlfeat.engine.frames import frame_matrix
from airflow_provider_mlfeat.engine.history import HistoryStore, Reach, SeriesKey, widest
from airflow_provider_mlfeat.engine.kernels.aggregates import AGGREGATES, AggregateKernel
from airflow_provider_mlfeat.engine.kernels.frames import FrameField
from airflow_provider_mlfeat.engine.kernels.statistics import Family
from airflow_provider_mlfeat.engine.kernels.walk import Field, Operation, walk_one
from airflow_provider_mlfeat.engine.lineage import Origin, origins_of
from airflow_provider_mlfeat.engine.program import FeatureProgram, Instruction, Mask
from airflow_provider_mlfeat.engine.relations import framed_call
from airflow_provider_mlfeat.engine.request_relations import check_block
from airflow_provider_mlfeat.engine.texts import entry_formatter
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.types import BIGINT, DataType, Kind

_EPOCH = datetime.date(1970, 1, 1)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_ORDERING = (Operation.MINIMUM, Operation.MAXIMUM, Operation.TOP_FREQUENCY, Operation.LARGEST, Operation.CATEGORIES)

Decoder = Callable[[list[int], list[float]], Any]


class FastStream:
    """The features of one stream, compiled for single rows.

    :param relation: the windows.
    :param number: the stream's number.
    :param series: where the history lies.
    :param origins: per column that the features read the stored column.
    :param source: the stored table of the history.
    :param store: the stored rows.
    :param context: time zone and parameters.
    """

    def __init__(
        self, relation: plan.Windows, number: int, series: SeriesKey, origins: dict[int, Origin],
        source: plan.Source, store: HistoryStore, context: EvaluationContext,
    ) -> None:  # fmt: skip
        stream = relation.streams[number]
        self.series, self.source = series, source
        self.members = [place for place, feature in enumerate(relation.features) if feature.stream == number]
        self._pool = store.strings
        self._partition = stream.partition
        self._order = stream.order
        self._order_name = "" if stream.order is None else relation.input.schema[stream.order].name
        program = FeatureProgram([framed_call(relation.features[place]) for place in self.members])
        read = [expression.index for expression in program.expressions if isinstance(expression, plan.ColumnReference)]
        columns = np.array([origins[column].column for column in read], np.int64)
        width = len(source.schema)
        # Masks of more than one column, and conditions, are made for every request behind those of the block.
        self._made: list[Mask] = []

        def mask_number(mask: Mask) -> int:
            if not mask:
                return 0
            if len(mask) == 1 and not mask[0][1]:
                return 1 + int(columns[mask[0][0]])
            if mask not in self._made:
                self._made.append(mask)
            return 1 + width + self._made.index(mask)

        def family(expression: int) -> int:
            # count(*) has no column and does not care.
            data_type = program.expressions[expression].type if program.expressions else BIGINT
            return int(Family.CODE if data_type.kind is Kind.STRING else family_of(data_type))

        matrix = program.bound(mask_number, family)
        self._made = [tuple((int(columns[column]), is_true) for column, is_true in mask) for mask in self._made]
        if len(columns):
            for field in (Field.COLUMN, Field.KEY):
                matrix[:, field] = columns[matrix[:, field]]
            settings = matrix[:, Field.PARAMETER_COLUMN]
            matrix[:, Field.PARAMETER_COLUMN] = np.where(settings < 0, -1, columns[settings])
        self._features, self._numbers = matrix, program.numbers
        in_order = matrix[np.isin(matrix[:, Field.OPERATION], _ORDERING)]
        ordered = set(in_order[:, [Field.COLUMN, Field.KEY]].ravel().tolist())
        store.prepare(series, source.schema, sorted(ordered), columns.tolist())
        self._frames = frame_matrix(stream.frames)
        self.reach = widest([_reach(self._frames[frame]) for frame in sorted(set(matrix[:, Field.FRAME].tolist()))])
        self._includes = self._frames[:, FrameField.INCLUDE].copy()
        self._now = np.zeros((max(width, 1), 1), np.int64)
        self._now_reals = self._now.view(np.float64)
        self._now_kept = np.ones((1 + width + len(self._made), 1), np.uint8)
        self._setters = [
            self._setter(place, int(column), source.schema[column].type, int(column) in ordered)
            for place, column in zip(read, columns.tolist(), strict=True)
        ]
        self._nothing = Block(width)
        self._bits = np.zeros((len(matrix), 1), np.int64)
        self._out_reals = self._bits.view(np.float64)
        self._valid = np.zeros((len(matrix), 1), np.uint8)
        self._texts = np.zeros((len(program.texts), 1, 2), np.int64)
        self._fixed_room, self._texts_per_row = _text_room(matrix)
        self._reserve(16)
        self._unseen: dict[str, int] = {}
        decoders = [
            self._text_decoder(program, instruction, number, context)
            if instruction.is_text
            else self._decoder(instruction.type, place)
            for place, (instruction, number) in enumerate(
                zip(program.instructions, matrix[:, Field.TEXT].tolist(), strict=True)
            )
        ]
        positions = np.argsort([instruction.result for instruction in program.instructions])
        self._decoders = [(int(place), decoders[place]) for place in positions]
        key = itemgetter(*stream.partition)
        self.key = key if len(stream.partition) > 1 else (lambda values: (key(values),))

    def __call__(self, values: Sequence[Any], block: Block | None) -> list[Any]:
        """The features of the row `values` of the stream's input, `block` being its history."""
        time = 0
        if self._order is not None:
            time = values[self._order]
            if time is None or time < 0:
                raise DataRuleError(
                    f"a window's order key must not be NULL or negative, but is {time}", None, self._order_name, 0
                )
        if block is None:
            block = self._nothing
        elif block.broken is not None:
            check_block(block, self.source, self.series)
        if self._unseen:
            self._unseen.clear()
        for setter in self._setters:
            setter(values)
        if len(self._keys) < self._fixed_room + self._texts_per_row * (block.count + 1):
            self._reserve(2 * block.count)
        kept = self._made_masks(block) if self._made else block.kept
        walk_one(
            block.order, block.count, time, self._frames, self._features, self._numbers, self._includes, block.bits,
            block.reals, kept, self._now, self._now_reals, self._now_kept, self._pool.labels, self._bits,
            self._out_reals, self._valid, self._texts, self._keys, self._values, self._value_reals,
        )  # fmt: skip
        bits, reals = self._bits[:, 0].tolist(), self._out_reals[:, 0].tolist()
        valid = self._valid[:, 0].tolist()
        return [decode(bits, reals) if valid[place] else None for place, decode in self._decoders]

    # ── the current row ─────────────────────────────────────────────────────────────────────────────────────────────

    def _setter(self, place: int, column: int, data_type: DataType, ordered: bool) -> Callable[[Sequence[Any]], None]:
        """Writes a value of the current row as the patterns that blocks hold."""
        bits, kept = self._now[column], self._now_kept[1 + column]
        zero = zero_bits(data_type)
        if data_type.is_floating:
            reals = self._now_reals[column]

            def set_real(values: Sequence[Any]) -> None:
                value = values[place]
                kept[0] = value is not None
                reals[0] = 0.0 if value is None else np.nan if value != value else value + 0.0

            return set_real
        if data_type.kind is Kind.STRING:
            pool = self._pool

            def set_string(values: Sequence[Any]) -> None:
                value = values[place]
                kept[0] = value is not None
                code = 0 if value is None else pool.find(value)
                if code < 0:
                    code = self._unseen.setdefault(value, len(pool) + len(self._unseen))
                    if ordered:
                        pool.lend(value, code)
                elif ordered:
                    pool.order(code)
                bits[0] = code

            return set_string
        is_date = data_type.kind is Kind.DATE

        def set_integer(values: Sequence[Any]) -> None:
            value = values[place]
            kept[0] = value is not None
            if value is None:
                bits[0] = zero
            else:
                bits[0] = value.toordinal() - _EPOCH_ORDINAL if is_date else value

        return set_integer

    def _made_masks(self, block: Block) -> NDArray[np.uint8]:
        """The block's masks, followed by those that are combined; the current row's are filled in as well."""
        width = len(self._now_kept) - len(self._made)
        kept = np.empty((len(self._now_kept), block.kept.shape[1]), np.uint8)
        kept[:width] = block.kept
        for number, mask in enumerate(self._made):
            self._now_kept[width + number] = _combined(mask, self._now_kept, self._now)
            kept[width + number] = _combined(mask, block.kept, block.bits)
        return kept

    # ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _reserve(self, count: int) -> None:
        room = self._fixed_room + self._texts_per_row * (count + 1)
        self._keys, self._values = np.empty(room, np.int64), np.empty(room, np.int64)
        self._value_reals = self._values.view(np.float64)

    def _string(self, code: int) -> str:
        strings = self._pool.strings
        if code < len(strings):
            return strings[code]
        return next(string for string, unseen in self._unseen.items() if unseen == code)

    def _decoder(self, data_type: DataType, place: int) -> Decoder:
        if data_type.is_floating:
            return lambda bits, reals: reals[place]
        if data_type.kind is Kind.STRING:
            return lambda bits, reals: self._string(bits[place])
        if data_type.kind is Kind.DATE:
            return lambda bits, reals: datetime.date.fromordinal(bits[place] + _EPOCH_ORDINAL)
        if data_type.kind is Kind.BOOL:
            return lambda bits, reals: bool(bits[place])
        if data_type.kind in _WIDTHS:
            # Sums wrap at the width of their type.
            half = 1 << (_WIDTHS[data_type.kind] - 1)
            return lambda bits, reals: ((bits[place] + half) & (2 * half - 1)) - half
        return lambda bits, reals: bits[place]

    def _text_decoder(
        self, program: FeatureProgram, instruction: Instruction, number: int, context: EvaluationContext
    ) -> Decoder:
        assert instruction.key is not None
        bounds = self._texts[number, 0]
        key_type = program.expressions[instruction.key].type
        key_decoder = self._decoder(key_type, 0)
        format_key = entry_formatter(key_type, context)
        is_string = key_type.kind is Kind.STRING

        def key_text(key: int) -> str:
            if is_string:
                return self._string(key)
            return format_key(key_decoder([key], [_as_real(key)]))

        if self._features[self._features[:, Field.TEXT] == number][0, Field.OPERATION] == Operation.TOP_FREQUENCY:

            def decode_padded(bits: list[int], reals: list[float]) -> str:
                start, stop = bounds.tolist()
                entries = zip(self._keys[start:stop].tolist(), self._values[start:stop].tolist(), strict=True)
                return ",".join([key_text(key) if is_key else "NULL" for key, is_key in entries])

            return decode_padded
        if not instruction.with_values:

            def decode_keys(bits: list[int], reals: list[float]) -> str:
                start, stop = bounds.tolist()
                return ",".join([key_text(key) for key in self._keys[start:stop].tolist()])

            return decode_keys
        format_value = entry_formatter(instruction.value_type, context)
        is_real = instruction.value_type.is_floating
        value_decoder = self._decoder(instruction.value_type, 0)

        def decode_pairs(bits: list[int], reals: list[float]) -> str:
            start, stop = bounds.tolist()
            values = self._values[start:stop].tolist()
            numbers = self._value_reals[start:stop].tolist() if is_real else values
            return ",".join(
                [
                    f"{key_text(key)}:{format_value(value_decoder([value], [number]))}"
                    for key, value, number in zip(self._keys[start:stop].tolist(), values, numbers, strict=True)
                ]
            )

        return decode_pairs


def _text_room(features: Bits) -> tuple[int, int]:
    """How many entries of texts a row may need: in any case, and per row of its history."""
    fixed = per_row = 0
    for feature in features[features[:, Field.TEXT] >= 0].tolist():
        if feature[Field.OPERATION] != Operation.TOP_FREQUENCY:
            per_row += 1
        elif feature[Field.PARAMETER_COLUMN] < 0 and 0 <= feature[Field.PARAMETER] <= 1024:
            fixed += feature[Field.PARAMETER]
        else:
            fixed += 1024
    return fixed, per_row


def _reach(frame: Bits) -> Reach:
    """How far back a frame looks from the newest row that is not later than the request."""
    start, limit, end = (int(frame[field]) for field in (FrameField.START, FrameField.LIMIT, FrameField.END))
    if frame[FrameField.IS_RANGE]:
        # What is dropped before rows are counted may be any number of rows.
        counts = limit >= 0 and not end and not frame[FrameField.EXCLUDE_TIME]
        return Reach(limit if counts else None, start if start >= 0 else None)
    return Reach(None if start < 0 or frame[FrameField.EXCLUDE_TIME] else start, None)


_WIDTHS = {Kind.SMALLINT: 16, Kind.INT: 32}


def _as_real(bits: int) -> float:
    return float(np.array(bits, np.int64).view(np.float64))


def _combined(mask: Mask, kept: NDArray[np.uint8], bits: Bits) -> NDArray[np.bool_]:
    """Which places have values in all columns of a mask, and true ones where it wants that."""
    result: NDArray[np.bool_] = np.ones(bits.shape[1], np.bool_)
    for column, is_condition in mask:
        result &= kept[1 + column].astype(np.bool_)
        if is_condition:
            result &= bits[column] != 0
    return result


def fast_stream(
    relation: plan.Windows, number: int, request: tuple[str, str] | None, store: HistoryStore,
    context: EvaluationContext,
) -> FastStream | None:  # fmt: skip
    """The compiled stream, or None for one that goes the general way."""
    stream = relation.streams[number]
    calls = [feature for feature in relation.features if feature.stream == number]
    histories = [*stream.unions] if stream.instance_not_in_window else [relation.input, *stream.unions]
    if len(histories) != 1:
        return None
    history = histories[0]
    read: set[int] = set()
    for feature in calls:
        call = framed_call(feature).call
        if not is_direct(call):
            return None
        program = FeatureProgram([framed_call(feature)])
        for expression in program.expressions:
            if not isinstance(expression, plan.ColumnReference):
                return None
            read.add(expression.index)
        assert isinstance(AGGREGATES[feature.function], AggregateKernel)
    # The main input may be joined: what the features read has to come from its leftmost table all the same.
    needed = sorted({*read, *stream.partition, *(() if stream.order is None else (stream.order,))})
    origins = origins_of(history, needed)
    if origins is None or not origins:
        return None
    source = origins[0].source
    if history is not relation.input and (source.database, source.table) == request:
        return None
    by_column = dict(zip(needed, origins, strict=True))
    series = SeriesKey(
        (source.database, source.table),
        tuple(by_column[column].column for column in stream.partition),
        None if stream.order is None else by_column[stream.order].column,
    )
    return FastStream(relation, number, series, by_column, source, store, context)
