"""The general way to answer a request: the batch executor, with the request row in its place.

Every reference to the request table in FROM or JOIN is the request row; as the input of windows it is the current row,
with the stored rows as its history; as a union source it is the stored rows and the request row, which arrived last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from airflow_provider_mlfeat.engine.column import Column, concatenate
from airflow_provider_mlfeat.engine.features import FramedRows, Settings
from airflow_provider_mlfeat.engine.frames import Timeline, all_bounds, build_timeline, group_codes
from airflow_provider_mlfeat.engine.history import HistoryStore, Lookup, SeriesKey, block_rows
from airflow_provider_mlfeat.engine.lineage import is_over, is_plain, name_of, origin_of, reads, sources_of
from airflow_provider_mlfeat.engine.relations import Executor, check_order_key, framed_call
from airflow_provider_mlfeat.engine.rows import Rows, stack
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError


class RequestExecutor(Executor):
    """Executes relations for one request row.

    :param request: (database, table) of the request table; None where the plan reads none.
    :param row: the request row.
    :param store: the stored rows.
    :param settings: how expressions and features are evaluated.
    :param null_join_keys: ``match`` or ``never``.
    :param cache: stored rows that were turned into columns already.
    """

    def __init__(
        self, store: HistoryStore, settings: Settings, null_join_keys: str, request: tuple[str, str] | None,
        cache: StoredRows,
    ) -> None:  # fmt: skip
        super().__init__(self._request_or_stored, settings, null_join_keys)
        self.store, self.request, self.cache = store, request, cache
        self.row = Rows(0, ())

    def set_row(self, schema: plan.Schema, row: Sequence[Any]) -> None:
        """Take up the next request."""
        self.row = rows_of_values(row, schema)

    def rows(self, relation: plan.Relation) -> Rows:
        """The rows of a relation; those that do not depend on the request are kept."""
        if not isinstance(relation, plan.Source) and not reads(relation, self.request):
            return self.cache.rows(relation)
        return super().rows(relation)

    def windows(self, relation: plan.Windows) -> Rows:
        """The features of the request row, or of stored rows that windows on the right of a join run over."""
        if not is_over(relation.input, self.request):
            return super().windows(relation)
        current = self.rows(relation.input)
        columns: dict[int, Column] = {}
        for number in range(len(relation.streams)):
            members = [place for place, feature in enumerate(relation.features) if feature.stream == number]
            columns.update(zip(members, self.features(relation, number, current), strict=True))
        ordered = (columns[place] for place in range(len(relation.features)))
        return Rows(current.length, (*current.columns, *ordered))

    def features(self, relation: plan.Windows, number: int, current: Rows) -> list[Column]:
        """The features of one stream for rows of its input that are the newest arrivals."""
        stream = relation.streams[number]
        calls = [framed_call(feature) for feature in relation.features if feature.stream == number]
        if not current.length:
            return [Column.from_values([], framed.call.type) for framed in calls]
        if stream.instance_not_in_window:
            main, before = current, 0
        else:
            history = self._history(relation.input, stream, current)
            main, before = stack([history, current]), history.length
        unions = [self._union_history(union, stream, current) for union in stream.unions]
        parts = (main, *unions)
        total = sum(part.length for part in parts)
        groups, count = group_codes(
            [concatenate([part.columns[column] for part in parts]) for column in stream.partition], total
        )
        order = np.zeros(total, np.int64)
        if stream.order is not None:
            for part, source in zip(parts, (relation.input, *stream.unions), strict=True):
                check_order_key(part.columns[stream.order], source, stream.order)
            order = np.concatenate([part.columns[stream.order].values for part in parts]).astype(np.int64)
        timeline = build_timeline(groups, count, order, [part.length for part in parts], stream.instance_not_in_window)
        asked = np.flatnonzero(timeline.main >= before)
        timeline = Timeline(
            timeline.history, timeline.order, timeline.main[asked], timeline.first[asked], timeline.position[asked],
            timeline.time[asked], timeline.holds_main,
        )  # fmt: skip
        bounds = all_bounds(timeline, stream.frames)
        framed = FramedRows(parts, timeline, bounds, self.settings, targets=timeline.main - before)
        return framed.evaluate(calls)

    def _request_or_stored(self, source: plan.Source) -> Rows:
        if name_of(source) == self.request:
            return self.row
        return self.cache.source(source)

    def _history(self, relation: plan.Relation, stream: plan.Stream, current: Rows) -> Rows:
        """The stored rows of a window's main input, of one partition where the store can tell."""
        cut = self._cut(relation, stream, current)
        return self.cache.rows(relation) if cut is None else cut

    def _union_history(self, relation: plan.Relation, stream: plan.Stream, current: Rows) -> Rows:
        """The rows of a union source; the request row is one of the request table's, the newest."""
        if not reads(relation, self.request):
            return self._history(relation, stream, current)
        executor = Executor(self._inserted, self.settings, self.null_join_keys)
        return executor.rows(relation)

    def _inserted(self, source: plan.Source) -> Rows:
        stored = self.cache.source(source)
        return stack([stored, self.row]) if name_of(source) == self.request else stored

    def _cut(self, relation: plan.Relation, stream: plan.Stream, current: Rows) -> Rows | None:
        """The rows of the current row's partition, read from a series; None where there can be none."""
        series = series_of(relation, stream)
        if series is None or current.length != 1:
            return None
        source = next(sources_of(relation))
        self.store.prepare(series, source.schema, ())
        key = tuple(current.columns[column].value(0) for column in stream.partition)
        block = self.store.fetch([Lookup(series, key)])[0]
        check_block(block, source, series)
        rows = block_rows(block, source.schema, self.store.strings)
        return Executor(lambda _: rows, self.settings, self.null_join_keys).rows(relation)


class StoredRows:
    """Rows of relations over stored tables alone, kept until a table changes.

    :param store: the store.
    :param settings: how to evaluate.
    :param null_join_keys: ``match`` or ``never``.
    """

    def __init__(self, store: HistoryStore, settings: Settings, null_join_keys: str) -> None:
        self._store = store
        self._executor = Executor(self.source, settings, null_join_keys)
        self._known: dict[plan.Relation, tuple[tuple[int, ...], Rows]] = {}

    def source(self, source: plan.Source) -> Rows:
        """All rows of a table."""
        return self._store.rows(name_of(source), source.schema)

    def rows(self, relation: plan.Relation) -> Rows:
        """All rows of a relation, in batch meaning."""
        versions = tuple(self._store.version(name_of(source)) for source in sources_of(relation))
        known = self._known.get(relation)
        if known is None or known[0] != versions:
            known = self._known[relation] = (versions, self._executor.rows(relation))
        return known[1]


def rows_of_values(row: Sequence[Any], schema: plan.Schema) -> Rows:
    """One row of Python values as columns."""
    return Rows(1, [Column.from_values((value,), column.type) for value, column in zip(row, schema, strict=True)])


def series_of(relation: plan.Relation, stream: plan.Stream) -> SeriesKey | None:
    """The series that holds the rows of a stream's source, if it is a stored table cut by plain columns."""
    if not is_plain(relation):
        return None
    keys = [origin_of(relation, column, through_filters=True) for column in stream.partition]
    order = None if stream.order is None else origin_of(relation, stream.order, through_filters=True)
    if any(key is None for key in keys) or (stream.order is not None and order is None):
        return None
    source = next(sources_of(relation))
    return SeriesKey(name_of(source), tuple(key.column for key in keys if key), order.column if order else None)


def check_block(block: Any, source: plan.Source, series: SeriesKey) -> None:
    """A partition that holds a row without a usable order key cannot be read."""
    if block is not None and block.broken is not None and series.order is not None:
        raise DataRuleError(
            "a window's order key must not be NULL or negative",
            ".".join(filter(None, name_of(source))),
            source.schema[series.order].name,
            block.broken,
        )
