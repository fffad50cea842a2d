"""Relations of a request plan, compiled into functions from the request row to one row of Python values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, is_constant
from airflow_provider_mlfeat.engine.features import Settings
from airflow_provider_mlfeat.engine.history import HistoryStore, Lookup, Reach, SeriesKey, block_rows, widest
from airflow_provider_mlfeat.engine.joins import join_rows
from airflow_provider_mlfeat.engine.lineage import is_over, is_plain, name_of, origin_of, origins_of, reads, sources_of
from airflow_provider_mlfeat.engine.partials import NotExactError
from airflow_provider_mlfeat.engine.relations import Executor
from airflow_provider_mlfeat.engine.request_long import LongFrame, LongStream, SummarizedStore, long_members
from airflow_provider_mlfeat.engine.request_relations import RequestExecutor, StoredRows, rows_of_values
from airflow_provider_mlfeat.engine.request_windows import FastStream, fast_stream
from airflow_provider_mlfeat.engine.row_expressions import RowExpressions
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.stored_values import value_reader
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.types import Kind

Values = Sequence[Any]


class Request:
    """One request while it is answered.

    :param row: the request row.
    :param blocks: the blocks that were fetched beforehand.
    """

    __slots__ = ("blocks", "row")

    def __init__(self, row: Values, blocks: Sequence[Block | None]) -> None:
        self.row, self.blocks = row, blocks


Node = Callable[[Request], Values | None]
# What computes features of a row, and which features of the relation these are.
Stream = tuple[Callable[[Request, Values], list[Any]], Sequence[int]]


class Prefetch:
    """A look-up whose key stands in the request row.

    :param series: the series.
    :param places: where the key stands.
    :param time: where the time that is looked back from stands; None where it does not.
    :param reach: see ``Lookup``.
    """

    def __init__(self, series: SeriesKey, places: tuple[int, ...], time: int | None, reach: tuple[Reach, ...]) -> None:
        self.series, self.places, self.time = series, places, time
        self.reach = reach
        key = itemgetter(*places)
        self._key = key if len(places) > 1 else (lambda row: (key(row),))

    def lookup(self, row: Values) -> Lookup:
        """What is looked up for a request row."""
        time = self.time
        return Lookup(self.series, self._key(row), None if time is None else row[time], self.reach)


class Compiler:
    """Compiles the relations of one plan.

    :param store: the stored rows.
    :param request: (database, table) of the request table.
    :param settings: how expressions and features are evaluated.
    :param null_join_keys: ``match`` or ``never``.
    :param request_schema: the columns of the request table.
    :param long_frames: windows that are computed from partial aggregates where the store keeps them.
    """

    def __init__(
        self, store: HistoryStore, request: tuple[str, str] | None, settings: Settings, null_join_keys: str,
        request_schema: plan.Schema, long_frames: Sequence[LongFrame] = (),
    ) -> None:  # fmt: skip
        self.store, self.request, self.settings, self.long_frames = store, request, settings, long_frames
        self.null_join_keys, self.request_schema = null_join_keys, request_schema
        self.stored = StoredRows(store, settings, null_join_keys)
        self.executor = RequestExecutor(store, settings, null_join_keys, request, self.stored)
        # Series whose key stands in the request row itself: these are fetched together, before anything else.
        self.prefetches: list[Prefetch] = []

    @property
    def context(self) -> EvaluationContext:
        """What expressions depend on."""
        return self.settings.context

    def compile(self, relation: plan.Relation) -> Node:
        """A relation of at most one row."""
        match relation:
            case plan.Source() if name_of(relation) == self.request:
                return lambda request: request.row
            case plan.SingleRow():
                return lambda request: ()
            case plan.Project() if is_over(relation, self.request) or isinstance(relation.input, plan.SingleRow):
                return self._project(relation)
            case plan.Filter() if is_over(relation, self.request):
                return self._filter(relation)
            case plan.Join() if relation.how == "last" and is_over(relation, self.request):
                return self._join(relation)
            case plan.Windows() if is_over(relation, self.request):
                return self._windows(relation)
            case plan.Limit() if is_over(relation, self.request):
                return self.compile(relation.input) if relation.count else (lambda request: None)
        return self._general(relation)

    def is_single(self, relation: plan.Relation) -> bool:
        """Whether a relation has at most one row, whatever is stored."""
        match relation:
            case plan.SingleRow():
                return True
            case plan.Source():
                return name_of(relation) == self.request
            case plan.Project() | plan.Filter() | plan.Windows() | plan.Limit():
                return self.is_single(relation.input)
            case plan.Join():
                return relation.how == "last" and self.is_single(relation.left)
        return False

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _general(self, relation: plan.Relation) -> Node:
        executor, schema = self.executor, self.request_schema

        def run(request: Request) -> Values | None:
            executor.set_row(schema, request.row)
            rows = executor.rows(relation)
            return [column.value(0) for column in rows.columns] if rows.length else None

        return run

    def _project(self, relation: plan.Project) -> Node:
        below = self.compile(relation.input)
        evaluate = RowExpressions(relation.expressions, len(relation.input.schema), self.context)

        def run(request: Request) -> Values | None:
            row = below(request)
            return None if row is None else evaluate(row)

        return run

    def _filter(self, relation: plan.Filter) -> Node:
        below = self.compile(relation.input)
        condition = RowExpressions((relation.condition,), len(relation.input.schema), self.context)

        def run(request: Request) -> Values | None:
            row = below(request)
            return row if row is not None and condition(row)[0] else None

        return run

    # ── windows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _windows(self, relation: plan.Windows) -> Node:
        below = self.compile(relation.input)
        width = len(relation.input.schema)
        streams = self._streams(relation)
        members = [place for _, places in streams for place in places]
        evaluators = [evaluate for evaluate, _ in streams]
        order = [members.index(place) + width for place in range(len(relation.features))]
        in_order = order == list(range(width, width + len(order)))

        def run(request: Request) -> Values | None:
            row = below(request)
            if row is None:
                return None
            values = list(row)
            for evaluate in evaluators:
                values += evaluate(request, row)
            return values if in_order else values[:width] + [values[place] for place in order]

        return run

    def _streams(self, relation: plan.Windows) -> list[Stream]:
        """What computes the features: of long windows from partial aggregates, of the others stream by stream."""
        long = self._long_streams(relation)
        taken = {member for _, members in long for member in members}
        rest = [place for place in range(len(relation.features)) if place not in taken]
        others = _only(relation, rest)
        used = {feature.stream for feature in others.features}
        streams = [self._stream(others, number) for number in range(len(relation.streams)) if number in used]
        return [*long, *((evaluate, [rest[place] for place in members]) for evaluate, members in streams)]

    def _long_streams(self, relation: plan.Windows) -> list[Stream]:
        streams: list[Stream] = []
        store = self.store
        if not self.long_frames or not isinstance(store, SummarizedStore):
            return streams
        for number, frame, members, long in long_members(relation, self.long_frames, self.request):
            stream = LongStream(relation, number, frame, members, long, store)
            if not stream.is_kept:
                continue
            by_row, _ = self._general_stream(_only(relation, members), number)
            streams.append((_exact(stream, by_row), members))
        return streams

    def _stream(self, relation: plan.Windows, number: int) -> Stream:
        fast = fast_stream(relation, number, self.request, self.store, self.context)
        if fast is None:
            return self._general_stream(relation, number)
        window = relation.streams[number]
        slot = self._prefetched(relation.input, window.partition, fast.series, window.order, fast.reach)
        store = self.store
        stream: FastStream = fast
        if slot is not None:
            return (lambda request, row: stream(row, request.blocks[slot])), stream.members

        def run(request: Request, row: Values) -> list[Any]:
            return stream(row, store.fetch([Lookup(stream.series, stream.key(row))])[0])

        return run, stream.members

    def _general_stream(self, relation: plan.Windows, number: int) -> Stream:
        executor, schema, request_schema = self.executor, relation.input.schema, self.request_schema

        def run(request: Request, row: Values) -> list[Any]:
            executor.set_row(request_schema, request.row)
            columns = executor.features(relation, number, rows_of_values(row, schema))
            return [column.value(0) for column in columns]

        return run, [place for place, feature in enumerate(relation.features) if feature.stream == number]

    def _prefetched(
        self, relation: plan.Relation, columns: Sequence[int], series: SeriesKey, order: int | None = None,
        reach: tuple[Reach, ...] = (),
    ) -> int | None:  # fmt: skip
        """Have a series fetched beforehand, if its key stands in the request row → where its block will be.

        :param relation: what the key's columns are of.
        :param columns: the key.
        :param series: the series.
        :param order: the column of the time that is looked back from.
        :param reach: how far; none is without limit.
        """
        origins = origins_of(relation, [*columns, *(() if order is None else (order,))])
        time = None
        if origins is not None and order is not None:
            *origins, ordering = origins
            time = ordering.column
        elif order is not None:
            # The key may stand there without the time.
            origins, reach = origins_of(relation, list(columns)), ()
        if not origins or name_of(origins[0].source) != self.request:
            return None
        places = tuple(origin.column for origin in origins)
        for slot, known in enumerate(self.prefetches):
            if (known.series, known.places, known.time) == (series, places, time):
                known.reach = widest([*known.reach, *reach]) if known.reach and reach else ()
                return slot
        self.prefetches.append(Prefetch(series, places, time, reach))
        return len(self.prefetches) - 1

    # ── joins ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _join(self, relation: plan.Join) -> Node:
        left = self.compile(relation.left)
        if self.is_single(relation.right):
            return self._join_single(relation, left)
        return self._look_up(relation, left) or self._join_general(relation, left)

    def _join_single(self, relation: plan.Join, left: Node) -> Node:
        """Both sides are at most one row."""
        right = self.compile(relation.right)
        nothing = [None] * len(relation.right.schema)
        left_keys = RowExpressions(relation.left_keys, len(relation.left.schema), self.context)
        right_keys = RowExpressions(relation.right_keys, len(relation.right.schema), self.context)
        condition = None
        if relation.condition is not None:
            condition = RowExpressions((relation.condition,), len(relation.schema), self.context)
        null_matches = self.null_join_keys == "match"

        def run(request: Request) -> Values | None:
            row = left(request)
            if row is None:
                return None
            other = right(request)
            if other is None:
                return [*row, *nothing]
            for key, other_key in zip(left_keys(row), right_keys(other), strict=True):
                if key is other_key and key is not None:
                    continue
                # NaN is a value like another one here.
                if key != other_key and (key == key or other_key == other_key):
                    return [*row, *nothing]
                if key is None and not null_matches:
                    return [*row, *nothing]
            joined = [*row, *other]
            if condition is None or condition(joined)[0]:
                return joined
            return [*row, *nothing]

        return run

    def _look_up(self, relation: plan.Join, left: Node) -> Node | None:
        """The right side is a stored table as it is: one row of a block; None where this does not hold."""
        columns = list(range(len(relation.right.schema)))
        origins = origins_of(relation.right, columns)
        keys = _plain_keys(relation)
        if not origins or keys is None or relation.condition is not None or not is_plain(relation.right):
            return None
        source = origins[0].source
        series = SeriesKey(name_of(source), tuple(origins[key].column for key in keys), None)
        wanted = [origin.column for origin in origins]
        self.store.prepare(series, source.schema, (), wanted)
        read = value_reader(source.schema, wanted, self.store.strings)
        place_of = _last_place if relation.order is None else _best_place(wanted[relation.order], relation.descending)
        nothing = [None] * len(wanted)
        store, null_matches = self.store, self.null_join_keys == "match"
        plain = [key.index for key in relation.left_keys if isinstance(key, plan.ColumnReference)]
        slot = None
        if len(plain) == len(relation.left_keys):
            slot = self._prefetched(relation.left, plain, series)
        left_keys = RowExpressions(relation.left_keys, len(relation.left.schema), self.context)

        def run(request: Request) -> Values | None:
            row = left(request)
            if row is None:
                return None
            if slot is not None and null_matches:
                block = request.blocks[slot]
            else:
                key = tuple(left_keys(row))
                block = None
                if null_matches or None not in key:
                    block = store.fetch([Lookup(series, key)])[0]
            if block is None:
                return [*row, *nothing]
            return [*row, *read(block, place_of(block))]

        return run

    def _join_general(self, relation: plan.Join, left: Node) -> Node:
        """The batch executor's join of one left row; the right side is cut by its key where it is a stored table."""
        executor, schema, request_schema = self.executor, relation.left.schema, self.request_schema
        cut = self._cut_right(relation)

        def run(request: Request) -> Values | None:
            row = left(request)
            if row is None:
                return None
            left_rows = rows_of_values(row, schema)
            if cut is not None:
                right_rows = cut(row)
            else:
                executor.set_row(request_schema, request.row)
                right_rows = executor.rows(relation.right)
            joined = join_rows(relation, left_rows, right_rows, self.context, self.null_join_keys)
            return [column.value(0) for column in joined.columns]

        return run

    def _cut_right(self, relation: plan.Join) -> Callable[[Values], Rows] | None:
        """The right rows with the key of a left row, if a series holds them."""
        keys = _plain_keys(relation)
        if keys is None or not is_plain(relation.right) or reads(relation.right, self.request):
            return None
        origins = [origin_of(relation.right, key, through_filters=True) for key in keys]
        if any(origin is None for origin in origins):
            return None
        source = next(sources_of(relation.right))
        series = SeriesKey(name_of(source), tuple(origin.column for origin in origins if origin), None)
        self.store.prepare(series, source.schema, ())
        left_keys = RowExpressions(relation.left_keys, len(relation.left.schema), self.context)

        def right_rows(row: Values) -> Rows:
            block = self.store.fetch([Lookup(series, tuple(left_keys(row)))])[0]
            rows = block_rows(block, source.schema, self.store.strings)
            return Executor(lambda _: rows, self.settings, self.null_join_keys).rows(relation.right)

        return right_rows


def _only(relation: plan.Windows, features: Sequence[int]) -> plan.Windows:
    """The relation with these features alone; streams keep their numbers."""
    if len(features) == len(relation.features):
        return relation
    width = len(relation.input.schema)
    schema = relation.schema[:width] + tuple(relation.schema[width + place] for place in features)
    return replace(relation, features=tuple(relation.features[place] for place in features), schema=schema)


def _exact(
    stream: LongStream, by_row: Callable[[Request, Values], list[Any]]
) -> Callable[[Request, Values], list[Any]]:
    def run(request: Request, row: Values) -> list[Any]:
        try:
            return stream(row)
        except NotExactError:
            return by_row(request, row)

    return run


def _plain_keys(relation: plan.Join) -> list[int] | None:
    """The right key columns, if the keys are columns that a series can have."""
    keys = [
        key.index
        for key in relation.right_keys
        if isinstance(key, plan.ColumnReference) and not key.type.is_floating and key.type.kind is not Kind.NULL
    ]
    if not keys or len(keys) != len(relation.right_keys) or any(is_constant(key) for key in relation.left_keys):
        return None
    return keys


def _last_place(block: Block) -> int:
    return block.count - 1


def _best_place(column: int, descending: bool) -> Callable[[Block], int]:
    """The row that LAST JOIN … ORDER BY picks: the last of those with the best value, NULL being worse than any."""

    def place(block: Block) -> int:
        count = block.count
        values = block.bits[column, :count]
        kept = block.kept[1 + column, :count].astype(np.bool_)
        if not kept.any():
            return count - 1
        best = values[kept].min() if descending else values[kept].max()
        return int(np.flatnonzero(kept & (values == best))[-1])

    return place
