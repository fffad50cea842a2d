"""Executing relations in memory: from the rows of stored tables to the rows of a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from airflow_provider_mlfeat.engine.column import Column, concatenate
from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.features import FramedRows, Settings, segment_rows
from airflow_provider_mlfeat.engine.frames import all_bounds, build_timeline, first_bad_order_key, group_codes
from airflow_provider_mlfeat.engine.joins import join_rows
from airflow_provider_mlfeat.engine.kernels.ordering import group_rows
from airflow_provider_mlfeat.engine.program import FramedCall
from airflow_provider_mlfeat.engine.rows import Rows, evaluate, stack
from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError

TableSource = Callable[[plan.Source], Rows]


class Executor:
    """Executes the relations of one plan.

    :param source: gives the rows of a stored table.
    :param settings: how expressions and features are evaluated.
    :param null_join_keys: ``match`` or ``never``.
    :param timings: where the time of the stages is added up.
    """

    def __init__(
        self, source: TableSource, settings: Settings, null_join_keys: str = "match", timings: Timings | None = None
    ) -> None:
        self.source, self.settings = source, settings
        self.null_join_keys = null_join_keys
        self.timings = timings or Timings()

    def rows(self, relation: plan.Relation) -> Rows:
        """The rows of a relation, in arrival order."""
        match relation:
            case plan.Source():
                return self.source(relation)
            case plan.SingleRow():
                return Rows(1, ())
            case plan.Project():
                return self._project(relation)
            case plan.Filter():
                return self._filter(relation)
            case plan.Join():
                return self._join(relation)
            case plan.Windows():
                return self.windows(relation)
            case plan.Aggregate():
                return self._aggregate(relation)
            case plan.Union():
                return self._union(relation)
            case plan.Limit():
                rows = self.rows(relation.input)
                return rows.slice(max(0, rows.length - relation.count), rows.length)
        raise TypeError(f"a {type(relation).__name__} is no relation")

    def _evaluate(self, expression: plan.Expression, rows: Rows) -> Column:
        return evaluate(expression, rows, self.settings.context)

    def _project(self, relation: plan.Project) -> Rows:
        rows = self.rows(relation.input)
        return Rows(rows.length, tuple(self._evaluate(expression, rows) for expression in relation.expressions))

    def _filter(self, relation: plan.Filter) -> Rows:
        rows = self.rows(relation.input)
        condition = self._evaluate(relation.condition, rows)
        kept = condition.values if condition.valid is None else condition.values & condition.valid
        return rows if kept.all() else rows.filter(kept)

    def _join(self, relation: plan.Join) -> Rows:
        left, right = self.rows(relation.left), self.rows(relation.right)
        with self.timings.stage("join"):
            return join_rows(relation, left, right, self.settings.context, self.null_join_keys)

    # ── windows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def windows(self, relation: plan.Windows) -> Rows:
        """The input's columns and the features."""
        rows = self.rows(relation.input)
        features: dict[int, Column] = {}
        for number, stream in enumerate(relation.streams):
            members = [place for place, feature in enumerate(relation.features) if feature.stream == number]
            calls = [framed_call(relation.features[place]) for place in members]
            parts = (rows, *(self.rows(union) for union in stream.unions))
            framed = self.framed_rows(relation, stream, parts)
            with self.timings.stage("walk"):
                features.update(zip(members, framed.evaluate(calls), strict=True))
        ordered = tuple(features[place] for place in range(len(relation.features)))
        return Rows(rows.length, (*rows.columns, *ordered))

    def framed_rows(self, relation: plan.Windows, stream: plan.Stream, parts: Sequence[Rows]) -> FramedRows:
        """The rows of a stream in order, with the frames of the main input's rows."""
        total = sum(part.length for part in parts)
        with self.timings.stage("encode"):
            partition = [concatenate([part.columns[column] for part in parts]) for column in stream.partition]
            groups, count = group_codes(partition, total)
            order = np.zeros(total, np.int64)
            if stream.order is not None:
                for part, source in zip(parts, (relation.input, *stream.unions), strict=True):
                    check_order_key(part.columns[stream.order], source, stream.order)
                values = [part.columns[stream.order].values for part in parts]
                order = np.concatenate(values).astype(np.int64, copy=False)
        with self.timings.stage("sort"):
            lengths = [part.length for part in parts]
            timeline = build_timeline(groups, count, order, lengths, stream.instance_not_in_window)
            return FramedRows(parts, timeline, all_bounds(timeline, stream.frames), self.settings)

    # ── groups and bags ─────────────────────────────────────────────────────────────────────────────────────────────

    def _aggregate(self, relation: plan.Aggregate) -> Rows:
        rows = self.rows(relation.input)
        calls = [framed_call(feature) for feature in relation.calls]
        if not relation.keys:
            bounds, history = np.array([[0, rows.length]]), np.arange(rows.length)
        else:
            bounds, history = _groups(rows, relation.keys)
        newest = history[bounds[:, 1] - 1] if relation.keys else history[:0]
        with self.timings.stage("walk"):
            results = segment_rows(rows, bounds, self.settings, history).evaluate(calls)
        keys = (rows.columns[key].take(newest) for key in relation.keys)
        return Rows(len(bounds), (*keys, *results))

    def _union(self, relation: plan.Union) -> Rows:
        rows = stack([self.rows(part) for part in relation.inputs])
        if not relation.distinct:
            return rows
        codes, count = group_codes(rows.columns, rows.length)
        first = np.full(count, -1, np.int64)
        # The last of several assignments to one place stays: go through the rows backwards.
        first[codes[::-1]] = np.arange(rows.length - 1, -1, -1)
        return rows.take(np.sort(first[first >= 0]))


def framed_call(feature: plan.Feature) -> FramedCall:
    """A feature without its stream."""
    return FramedCall(feature.frame, plan.FrameCall(feature.function, feature.arguments, feature.type))


def _groups(rows: Rows, keys: Sequence[int]) -> tuple[Bits, Bits]:
    """Per group its segment, and the rows that the segments are made of; groups stand in the order they came up in."""
    codes, count = group_codes([rows.columns[key] for key in keys], rows.length)
    starts, history = group_rows(codes, count, 0)
    bounds = np.stack([starts[:-1], starts[1:]], axis=1)
    bounds = bounds[bounds[:, 1] > bounds[:, 0]]
    return np.ascontiguousarray(bounds[np.argsort(history[bounds[:, 0]])]), history


def check_order_key(column: Column, relation: plan.Relation, number: int) -> None:
    """An order key must be there and must not be negative."""
    row = first_bad_order_key(column)
    if row is not None:
        table, name = origin(relation, number)
        value = "NULL" if column.value(row) is None else column.value(row)
        raise DataRuleError(f"a window's order key must not be NULL or negative, but is {value}", table, name, row)


def origin(relation: plan.Relation, number: int) -> tuple[str | None, str]:
    """The stored table that a column comes from unchanged, and its name there; else no table and its own name."""
    name = relation.schema[number].name
    if isinstance(relation, plan.Source):
        return ".".join(filter(None, (relation.database, relation.table))), name
    if isinstance(relation, plan.Project):
        expression = relation.expressions[number]
        if isinstance(expression, plan.ColumnReference):
            return origin(relation.input, expression.index)
    elif isinstance(relation, plan.Filter | plan.Limit):
        return origin(relation.input, number)
    elif isinstance(relation, plan.Join):
        width = len(relation.left.schema)
        return origin(relation.left, number) if number < width else origin(relation.right, number - width)
    elif isinstance(relation, plan.Windows) and number < len(relation.input.schema):
        return origin(relation.input, number)
    return None, name
