"""Looking at and changing relations while a plan is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from airflow_provider_mlfeat.engine.pruning import references, renumber
from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.engine.spark_ports import PORT, Reach
from airflow_provider_mlfeat.sql import plan


def narrowed(relation: plan.Relation) -> plan.Relation:
    """A pruned relation whose stored tables have only the columns that are read."""
    if isinstance(relation, plan.Project) and isinstance(relation.input, plan.Source):
        columns = sorted(references(*relation.expressions))
        schema = tuple(relation.input.schema[column] for column in columns)
        expressions = tuple(renumber(expression, columns.index) for expression in relation.expressions)
        return replace(relation, input=replace(relation.input, schema=schema), expressions=expressions)
    return map_inputs(relation, narrowed)


def map_sources(relation: plan.Relation, change: Callable[[plan.Source], plan.Relation]) -> plan.Relation:
    if isinstance(relation, plan.Source):
        return change(relation)
    return map_inputs(relation, lambda part: map_sources(part, change))


def map_inputs(relation: plan.Relation, change: Callable[[plan.Relation], plan.Relation]) -> plan.Relation:
    """The relation over changed inputs."""
    match relation:
        case plan.Project() | plan.Filter() | plan.Aggregate() | plan.Limit():
            return replace(relation, input=change(relation.input))
        case plan.Join():
            return replace(relation, left=change(relation.left), right=change(relation.right))
        case plan.Windows():
            streams = tuple(
                replace(stream, unions=tuple(change(union) for union in stream.unions)) for stream in relation.streams
            )
            return replace(relation, input=change(relation.input), streams=streams)
        case plan.Union():
            return replace(relation, inputs=tuple(change(part) for part in relation.inputs))
        case _:
            return relation


def references_to(schema: plan.Schema, columns: Sequence[int]) -> tuple[plan.Expression, ...]:
    return tuple(plan.ColumnReference(column, schema[column].type) for column in columns)


def moved_key(key: tuple[int, ...], expressions: Sequence[plan.Expression]) -> tuple[int, ...] | None:
    """Where the key's columns are after a projection; None when one is gone."""
    place = {
        expression.index: number
        for number, expression in reversed(list(enumerate(expressions)))
        if isinstance(expression, plan.ColumnReference)
    }
    return tuple(place[column] for column in key) if all(column in place for column in key) else None


def has_filter(relation: plan.Relation) -> bool:
    return isinstance(relation, plan.Filter) or any(has_filter(part) for part in inputs_of(relation))


def trace(relation: plan.Relation, column: int) -> dict[int, int] | None:
    """Per port the column that `column` is a copy of; None when it is computed somewhere."""
    match relation:
        case plan.Source():
            return {int(relation.table): column} if relation.database == PORT else None
        case plan.Project():
            expression = relation.expressions[column]
            return trace(relation.input, expression.index) if isinstance(expression, plan.ColumnReference) else None
        case plan.Filter():
            return trace(relation.input, column)
        case plan.Join():
            return trace(relation.left, column) if column < len(relation.left.schema) else None
        case plan.Union():
            traced = [trace(part, column) for part in relation.inputs]
            if any(places is None for places in traced):
                return None
            return {port: place for places in traced if places is not None for port, place in places.items()}
        case _:
            return None


def reach_of(streams: Sequence[plan.Stream]) -> Reach | None:
    """How far back the frames look; None when one of them sees everything, or nothing orders its rows in time."""
    if any(stream.order is None for stream in streams) or len({stream.order for stream in streams}) != 1:
        return None
    span: int | None = None
    span_rows: int | None = 0
    rows = 0
    for frame in (frame for stream in streams for frame in stream.frames):
        if frame.unit == "rows":
            if frame.start is None:
                return None
            rows = max(rows, frame.start)
        elif frame.start is None:
            return None
        else:
            span = max(span or 0, frame.start)
            if frame.maxsize is None or frame.end > 0:
                # A frame that ends before the current row keeps its newest rows, not those of the whole span.
                span_rows = None
            elif span_rows is not None:
                span_rows = max(span_rows, frame.maxsize)
    return Reach(span, span_rows if span is not None else 0, rows)
