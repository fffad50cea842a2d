"""The rows of a relation, in batch and in request mode.

In request mode every stored table that is the request table stands for the request row. Only as the input of windows
the stored rows matter: they are the history of the request row, which counts as the newest arrival (reference 1.6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.types import Kind

# Importing the categories registers them.
from tests.oracle import categories
from tests.oracle.aggregates import AGGREGATES, Frame
from tests.oracle.expressions import Row, Session, evaluate, inner_frame_calls
from tests.oracle.frames import candidates, check_order, frame_rows, stream_rows
from tests.oracle.operators import truth
from tests.oracle.values import identity_key, sort_key

AGGREGATE_MODULES = (categories,)

Tables = Mapping[tuple[str, str], Sequence[Row]]


@dataclass(frozen=True)
class World:
    """The data that a plan runs on.

    :param tables: rows of the stored tables in arrival order.
    :param session: zone and parameters.
    :param null_join_keys: ``match`` or ``never``.
    :param request_source: the request table, in request mode.
    :param request_row: the request row, in request mode.
    """

    tables: Tables
    session: Session
    null_join_keys: str
    request_source: tuple[str, str] | None = None
    request_row: Row | None = None

    def stored(self) -> World:
        """The same data in batch meaning, without the request row."""
        return replace(self, request_source=None, request_row=None)

    def inserted(self) -> World:
        """The same data in batch meaning, with the request row as the newest arrival."""
        if self.request_source is None:
            return self
        assert self.request_row is not None
        rows = [*self.tables.get(self.request_source, ()), self.request_row]
        return replace(self.stored(), tables={**self.tables, self.request_source: rows})


def rows_of(relation: plan.Relation, world: World) -> list[Row]:
    """The rows of a relation, in arrival order."""
    return _EVALUATORS[type(relation)](relation, world)


def _source(relation: plan.Source, world: World) -> list[Row]:
    name = (relation.database, relation.table)
    if name == world.request_source:
        assert world.request_row is not None
        return [world.request_row]
    return [tuple(row) for row in world.tables[name]]


def _single_row(relation: plan.SingleRow, world: World) -> list[Row]:
    return [()]


def _project(relation: plan.Project, world: World) -> list[Row]:
    return [
        tuple(evaluate(expression, row, world.session) for expression in relation.expressions)
        for row in rows_of(relation.input, world)
    ]


def _filter(relation: plan.Filter, world: World) -> list[Row]:
    return [row for row in rows_of(relation.input, world) if truth(evaluate(relation.condition, row, world.session))]


# ── joins ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _join(relation: plan.Join, world: World) -> list[Row]:
    right_rows = rows_of(relation.right, world)
    nothing = (None,) * len(relation.right.schema)
    joined: list[Row] = []
    for left in rows_of(relation.left, world):
        matching = [right for right in right_rows if _matches(relation, left, right, world)]
        if relation.how == "last" and matching:
            matching = [_last(relation, matching)]
        joined.extend(left + right for right in matching or [nothing])
    return joined


def _matches(relation: plan.Join, left: Row, right: Row, world: World) -> bool:
    for left_key, right_key in zip(relation.left_keys, relation.right_keys, strict=True):
        left_value = evaluate(left_key, left, world.session)
        right_value = evaluate(right_key, right, world.session)
        if left_value is None and right_value is None and world.null_join_keys == "never":
            return False
        if identity_key(left_value) != identity_key(right_value):
            return False
    return relation.condition is None or bool(truth(evaluate(relation.condition, left + right, world.session)))


def _last(relation: plan.Join, matching: list[Row]) -> Row:
    """The right row that LAST JOIN picks; `matching` is in arrival order and not empty."""
    order = relation.order
    if order is None:
        return matching[-1]
    ordered = [row for row in matching if row[order] is not None]
    if not ordered:
        return matching[-1]
    best = (min if relation.descending else max)(sort_key(row[order]) for row in ordered)
    return [row for row in ordered if sort_key(row[order]) == best][-1]


# ── windows and groups ──────────────────────────────────────────────────────────────────────────────────────────────


def _leftmost(relation: plan.Relation) -> plan.Relation:
    """The relation that the rows of `relation` come from, one to one or filtered."""
    if isinstance(relation, plan.Join):
        return _leftmost(relation.left)
    if isinstance(relation, plan.Project | plan.Filter | plan.Windows | plan.Limit | plan.Aggregate):
        return _leftmost(relation.input)
    return relation


def _windows(relation: plan.Windows, world: World) -> list[Row]:
    current_rows = rows_of(relation.input, world)
    origin = _leftmost(relation.input)
    on_request = isinstance(origin, plan.Source) and (origin.database, origin.table) == world.request_source
    history = rows_of(relation.input, world.stored()) if on_request else []
    answers = [list(row) for row in current_rows]
    columns: list[list[Any]] = [[None] * len(relation.features) for _ in current_rows]
    for number, stream in enumerate(relation.streams):
        unions = [rows_of(union, world.inserted()) for union in stream.unions]
        rows = stream_rows([*history, *current_rows], unions)
        check_order(stream, rows, relation.input.schema)
        for position, row in enumerate(rows[len(history) : len(history) + len(current_rows)]):
            seen = candidates(stream, row, rows)
            frames = [frame_rows(stream, frame, seen) for frame in stream.frames]
            for place, feature in enumerate(relation.features):
                if feature.stream == number:
                    columns[position][place] = feature_value(feature, frames[feature.frame], row.row, world.session)
    return [tuple(answer + features) for answer, features in zip(answers, columns, strict=True)]


def feature_value(call: plan.Feature | plan.FrameCall, rows: list[Row], current: Row | None, session: Session) -> Any:
    """An aggregate over `rows`, newest first; settings such as the n of a top-n are read from any row."""
    nested = [found for argument in call.arguments for found in inner_frame_calls(argument)]
    inner = {found: feature_value(found, rows, current, session) for found in nested}
    sample = current if current is not None else rows[0] if rows else ()
    columns, types, constants = [], [], []
    for argument in call.arguments:
        kind = argument.type
        if kind.kind in (Kind.LIST, Kind.ARRAY):
            # A list is one value for the whole frame: the aggregate runs over its elements.
            values = list(evaluate(argument, sample, session, inner) or ())
            kind = kind.element
        else:
            values = [evaluate(argument, row, session, inner) for row in rows]
        columns.append(values)
        types.append(kind)
        constants.append(None if _reads_columns(argument) else evaluate(argument, sample, session, inner))
    size = len(columns[0]) if columns else len(rows)
    return AGGREGATES[call.function](
        Frame(tuple(columns), tuple(types), tuple(constants), call.type, session.time_zone, size)
    )


def _reads_columns(expression: plan.Expression) -> bool:
    if isinstance(expression, plan.ColumnReference):
        return True
    return isinstance(expression, plan.Call) and any(_reads_columns(argument) for argument in expression.arguments)


def _aggregate(relation: plan.Aggregate, world: World) -> list[Row]:
    groups: dict[Any, list[Row]] = {}
    for row in rows_of(relation.input, world):
        key = tuple(identity_key(row[column]) for column in relation.keys)
        # Groups stand in the order in which they were met first.
        groups.setdefault(key, []).append(row)
    if not relation.keys and not groups:
        groups[()] = []
    return [
        tuple(rows[0][column] for column in relation.keys)
        + tuple(feature_value(call, rows[::-1], None, world.session) for call in relation.calls)
        for rows in groups.values()
    ]


# ── bags ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _union(relation: plan.Union, world: World) -> list[Row]:
    rows = [row for part in relation.inputs for row in rows_of(part, world)]
    if not relation.distinct:
        return rows
    first: dict[Any, Row] = {}
    for row in rows:
        first.setdefault(identity_key(row), row)
    return list(first.values())


def _limit(relation: plan.Limit, world: World) -> list[Row]:
    rows = rows_of(relation.input, world)
    return rows[max(0, len(rows) - relation.count) :]


_EVALUATORS: dict[type, Callable[[Any, World], list[Row]]] = {
    plan.Source: _source,
    plan.SingleRow: _single_row,
    plan.Project: _project,
    plan.Filter: _filter,
    plan.Join: _join,
    plan.Windows: _windows,
    plan.Aggregate: _aggregate,
    plan.Union: _union,
    plan.Limit: _limit,
}
