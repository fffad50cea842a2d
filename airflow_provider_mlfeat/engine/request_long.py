"""Long windows over one request row: partial aggregates that the store keeps, and rows where the windows end.

This is for windows that a deployment's LONG_WINDOWS names. The answer is that of the rows: what cannot be put together
exactly is computed from rows as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from airflow_provider_mlfeat.engine.blocks import Block, block_column
from airflow_provider_mlfeat.engine.history import Lookup, SeriesKey
from airflow_provider_mlfeat.engine.lineage import origins_of
from airflow_provider_mlfeat.engine.partials import (
    Partials,
    Summary,
    join_partials,
    mean_of,
    merged,
    parts_of,
    why_without_parts,
)
from airflow_provider_mlfeat.engine.pruning import renumber
from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.types import DOUBLE


class Summarized(NamedTuple):
    """The rows of a span of time, some of them as partial aggregates.

    :param rows: those that are not in the partial aggregates; None where there are none.
    :param partials: the others.
    """

    rows: Block | None
    partials: Partials | None


@runtime_checkable
class SummarizedStore(Protocol):
    """A store that keeps partial aggregates of its series.

    :param strings: what the codes of strings in blocks mean.
    """

    strings: StringPool

    def prepare_partials(
        self, series: SeriesKey, schema: plan.Schema, parts: Sequence[plan.FrameCall]
    ) -> Sequence[int] | None:
        """Be ready to hand out partial aggregates of a series → where these parts are; None where it keeps them not.

        :param series: the series.
        :param schema: the columns of its table.
        :param parts: aggregates over the table's columns.
        """

    def fetch_partials(self, lookup: Lookup, first: int, last: int, places: Sequence[int]) -> Summarized:
        """The rows of a key whose order values are from `first` to `last`; the parts are those at `places`."""


@dataclass(frozen=True, slots=True)
class LongFrame:
    """A frame that a deployment wants to be computed from partial aggregates.

    :param series: where its rows lie.
    :param schema: the columns of their table.
    :param frame: the frame.
    :param bucket: the span of one partial aggregate, in units of the order column.
    :param features: what is computed over it, the arguments being columns of the table.
    """

    series: SeriesKey
    schema: plan.Schema
    frame: plan.Frame
    bucket: int
    features: tuple[plan.Feature, ...]

    def parts(self) -> tuple[plan.FrameCall, ...]:
        """The parts of all features that have some, each once."""
        found = (part for feature in self.summarized() for part in parts_of(feature))
        return tuple(dict.fromkeys(found))

    def summarized(self) -> Iterator[plan.Feature]:
        """The features that have parts."""
        return (feature for feature in self.features if not why_without_parts(feature, self.frame))

    def from_rows(self) -> Iterator[str]:
        """The features that have none, with the reason."""
        for feature in self.features:
            reason = why_without_parts(feature, self.frame)
            if reason:
                names = [
                    self.schema[one.index].name for one in feature.arguments if isinstance(one, plan.ColumnReference)
                ]
                yield f"{feature.function}({', '.join(names)}): {reason}"


def long_frames(query: plan.Plan) -> list[LongFrame]:
    """The long windows of a plan."""
    found = []
    for window in query.long_windows:
        relation = _windows_over_table(query.root)
        stream = relation.streams[window.stream]
        assert isinstance(relation.input, plan.Source), "a long window stands over a table"
        series = SeriesKey((relation.input.database, relation.input.table), stream.partition, stream.order)
        features = tuple(
            feature for feature in relation.features if (feature.stream, feature.frame) == (window.stream, window.frame)
        )
        frame = stream.frames[window.frame]
        found.append(LongFrame(series, relation.input.schema, frame, window.bucket, features))
    return found


def _windows_over_table(relation: plan.Relation) -> plan.Windows:
    if isinstance(relation, plan.Windows) and isinstance(relation.input, plan.Source):
        return relation
    return next(_windows_over_table(below) for below in inputs_of(relation))


class LongStream:
    """The features of a long window that have parts.

    :param relation: the windows, their input being the request table or columns of it.
    :param number: the stream's number.
    :param frame: the frame's number.
    :param members: places of the features that are computed here.
    :param long: the window as the deployment knows it.
    :param store: the stored rows.
    """

    def __init__(
        self, relation: plan.Windows, number: int, frame: int, members: Sequence[int], long: LongFrame,
        store: SummarizedStore,
    ) -> None:  # fmt: skip
        stream = relation.streams[number]
        assert stream.order is not None, "a long window has an order"
        self.members, self._series, self._store = members, long.series, store
        self._partition, self._order = stream.partition, stream.order
        self._order_name = relation.input.schema[stream.order].name
        self._frame = stream.frames[frame]
        # An inverted frame holds nothing, the current row included.
        is_empty = self._frame.start is not None and self._frame.start < self._frame.end
        self._includes = self._frame.end <= 0 and not self._frame.exclude_current_row and not is_empty
        origins = origins_of(relation.input, list(range(len(relation.input.schema))))
        assert origins is not None, "a long window stands over a table"
        places = [origin.column for origin in origins]
        features = [relation.features[member] for member in members]
        stored = [_over_table(feature, places) for feature in features]
        self.parts = tuple(dict.fromkeys(part for feature in stored for part in parts_of(feature)))
        self._recipes = [(feature.type, [self.parts.index(part) for part in parts_of(feature)]) for feature in stored]
        self._summary = Summary(self.parts, long.schema)
        # The columns that are read, and where they stand in a row of the stream's input.
        self._read = [(column, places.index(column)) for column in self._summary.columns]
        self._nothing = Partials(np.empty((len(self.parts), 0), np.int64), np.empty((len(self.parts), 0), np.uint8))
        found = store.prepare_partials(long.series, long.schema, self.parts)
        # Whether the store keeps what is needed.
        self.is_kept = found is not None
        self._places = found or ()

    def key(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The key of a row of the stream's input."""
        return tuple(values[column] for column in self._partition)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """The features of a row of the stream's input; raises NotExactError where only all rows tell."""
        time, frame = values[self._order], self._frame
        if time is None or time < 0:
            raise DataRuleError(
                f"a window's order key must not be NULL or negative, but is {time}", None, self._order_name, 0
            )
        first = 0 if frame.start is None else max(0, time - frame.start)
        last = time - max(frame.end, int(frame.exclude_current_time), 0)
        found = Summarized(None, None)
        if first <= last:
            found = self._store.fetch_partials(Lookup(self._series, self.key(values)), first, last, self._places)
        pieces = [] if found.partials is None else [found.partials]
        if found.rows is not None:
            block = found.rows
            pieces.append(self._summary.of(block.bits, block.kept, block.count, self._store.strings))
        if self._includes:
            pieces.append(self._summary.of_row({column: values[place] for column, place in self._read}))
        partials = join_partials(pieces) if pieces else self._nothing
        merge = [merged(part, partials, place) for place, part in enumerate(self.parts)]
        return [_value(type_, [merge[place] for place in places]) for type_, places in self._recipes]


def _over_table(feature: plan.Feature, places: Sequence[int]) -> plan.Feature:
    arguments = tuple(renumber(argument, places.__getitem__) for argument in feature.arguments)
    return plan.Feature(0, 0, feature.function, arguments, feature.type)


def _value(type_: Any, parts: list[int | None]) -> Any:
    if len(parts) == 4:
        assert type_ == DOUBLE, "a mean is a double"
        return mean_of(*parts)
    (bits,) = parts
    if bits is None:
        return None
    # The pool is for strings, which no part is.
    return block_column(np.array([bits], np.int64), None, type_, StringPool()).value(0)


def long_members(
    relation: plan.Windows, frames: Sequence[LongFrame], request: tuple[str, str] | None
) -> Iterator[tuple[int, int, list[int], LongFrame]]:
    """Stream, frame and places of the features that can be put together from parts, per long frame.

    :param relation: the windows, narrowed to what is needed.
    :param frames: the long windows.
    :param request: the request table.
    """
    origins = origins_of(relation.input, list(range(len(relation.input.schema))))
    if not origins:
        return
    table = (origins[0].source.database, origins[0].source.table)
    for number, stream in enumerate(relation.streams):
        if stream.unions or stream.order is None or table != request:
            continue
        series = SeriesKey(
            table, tuple(origins[column].column for column in stream.partition), origins[stream.order].column
        )
        for place, frame in enumerate(stream.frames):
            long = next((one for one in frames if (one.series, one.frame) == (series, frame)), None)
            members = [
                member
                for member, feature in enumerate(relation.features)
                if (feature.stream, feature.frame) == (number, place) and not why_without_parts(feature, frame)
            ]
            if long is not None and members:
                yield number, place, members, long
