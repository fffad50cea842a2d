"""Leaving out what nobody asks for: a relation narrowed to the columns and features that its reader needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from airflow_provider_mlfeat.sql import plan


def references(*expressions: plan.Expression | None) -> set[int]:
    """The columns that expressions read."""
    found: set[int] = set()
    for expression in expressions:
        if isinstance(expression, plan.ColumnReference):
            found.add(expression.index)
        elif isinstance(expression, plan.Call | plan.FrameCall):
            found |= references(*expression.arguments)
    return found


def renumber(expression: plan.Expression, number: Callable[[int], int]) -> plan.Expression:
    """The expression with every column number replaced."""
    if isinstance(expression, plan.ColumnReference):
        return replace(expression, index=number(expression.index))
    if isinstance(expression, plan.Call | plan.FrameCall):
        return replace(expression, arguments=tuple(renumber(argument, number) for argument in expression.arguments))
    return expression


def select(relation: plan.Relation, columns: Sequence[int]) -> plan.Relation:
    """The relation's columns of these numbers, in this order."""
    if list(columns) == list(range(len(relation.schema))):
        return relation
    schema = tuple(relation.schema[column] for column in columns)
    picked = tuple(plan.ColumnReference(column, relation.schema[column].type) for column in columns)
    if isinstance(relation, plan.Project):
        return plan.Project(relation.input, tuple(relation.expressions[column] for column in columns), schema)
    return plan.Project(relation, picked, schema)


def prune(relation: plan.Relation, needed: Iterable[int]) -> plan.Relation:
    """The relation with the columns `needed` alone, in ascending order; rows and their order stay the same.

    A stored table becomes a projection of itself, and only the columns of that projection are ever read.
    """
    kept = sorted(set(needed))
    match relation:
        case plan.Project():
            expressions = tuple(relation.expressions[column] for column in kept)
            below = sorted(references(*expressions))
            moved = tuple(renumber(expression, below.index) for expression in expressions)
            return plan.Project(prune(relation.input, below), moved, _schema(relation, kept))
        case plan.Filter():
            below = sorted({*kept, *references(relation.condition)})
            pruned = prune(relation.input, below)
            condition = renumber(relation.condition, below.index)
            return select(plan.Filter(pruned, condition, pruned.schema), _places(kept, below))
        case plan.Join():
            return _join(relation, kept)
        case plan.Windows():
            return _windows(relation, kept)
        case plan.Aggregate():
            return _aggregate(relation, kept)
        case plan.Union() if not relation.distinct:
            inputs = tuple(prune(part, kept) for part in relation.inputs)
            return plan.Union(inputs, False, _schema(relation, kept))
        case plan.Limit():
            return plan.Limit(prune(relation.input, kept), relation.count, _schema(relation, kept))
        case _:
            # All columns of a distinct union decide which rows there are.
            return select(_everything(relation), kept)


def _schema(relation: plan.Relation, kept: Sequence[int]) -> plan.Schema:
    return tuple(relation.schema[column] for column in kept)


def _places(columns: Iterable[int], among: Sequence[int]) -> list[int]:
    place = {column: number for number, column in enumerate(among)}
    return [place[column] for column in columns]


def _everything(relation: plan.Relation) -> plan.Relation:
    if isinstance(relation, plan.Union):
        return replace(relation, inputs=tuple(prune(part, range(len(part.schema))) for part in relation.inputs))
    return relation


def _join(relation: plan.Join, kept: Sequence[int]) -> plan.Relation:
    width = len(relation.left.schema)
    used = {*kept, *references(relation.condition)}
    left = sorted({*(column for column in used if column < width), *references(*relation.left_keys)})
    order = () if relation.order is None else (relation.order,)
    right = sorted({*(column - width for column in used if column >= width), *references(*relation.right_keys), *order})
    place = {column: number for number, column in enumerate([*left, *(column + width for column in right)])}
    pruned_left, pruned_right = prune(relation.left, left), prune(relation.right, right)
    joined = replace(
        relation,
        left=pruned_left,
        right=pruned_right,
        left_keys=tuple(renumber(key, left.index) for key in relation.left_keys),
        right_keys=tuple(renumber(key, right.index) for key in relation.right_keys),
        order=None if relation.order is None else right.index(relation.order),
        condition=None if relation.condition is None else renumber(relation.condition, place.__getitem__),
        schema=pruned_left.schema + pruned_right.schema,
    )
    return select(joined, [place[column] for column in kept])


def _windows(relation: plan.Windows, kept: Sequence[int]) -> plan.Relation:
    width = len(relation.input.schema)
    features = [relation.features[column - width] for column in kept if column >= width]
    used = sorted({feature.stream for feature in features})
    seen = references(*(argument for feature in features for argument in feature.arguments))
    for stream in (relation.streams[number] for number in used):
        seen |= {*stream.partition, *(() if stream.order is None else (stream.order,))}
    below = sorted({*seen, *(column for column in kept if column < width)})
    streams = tuple(_stream(relation.streams[number], relation.input, below, seen) for number in used)
    moved = tuple(
        replace(
            feature,
            stream=used.index(feature.stream),
            arguments=tuple(renumber(argument, below.index) for argument in feature.arguments),
        )
        for feature in features
    )
    pruned = prune(relation.input, below)
    names = tuple(relation.schema[column] for column in kept if column >= width)
    if not moved:
        return select(pruned, _places(kept, below))
    windows = plan.Windows(pruned, streams, moved, pruned.schema + names)
    passed = [column for column in kept if column < width]
    return select(windows, [*_places(passed, below), *range(len(below), len(below) + len(moved))])


def _stream(stream: plan.Stream, main: plan.Relation, below: Sequence[int], seen: set[int]) -> plan.Stream:
    place: Mapping[int, int] = {column: number for number, column in enumerate(below)}
    schema = _schema(main, below)
    unions = []
    for union in stream.unions:
        read = sorted(seen)
        source = prune(union, read)
        # Columns that only pass through are no business of a union's rows.
        expressions = tuple(
            plan.ColumnReference(read.index(column), main.schema[column].type)
            if column in seen
            else plan.Literal(None, main.schema[column].type)
            for column in below
        )
        unions.append(plan.Project(source, expressions, schema) if read != list(below) else source)
    return replace(
        stream,
        unions=tuple(unions),
        partition=tuple(place[column] for column in stream.partition),
        order=None if stream.order is None else place[stream.order],
    )


def _aggregate(relation: plan.Aggregate, kept: Sequence[int]) -> plan.Relation:
    width = len(relation.keys)
    calls = [relation.calls[column - width] for column in kept if column >= width]
    below = sorted({*relation.keys, *references(*(argument for call in calls for argument in call.arguments))})
    pruned = prune(relation.input, below)
    moved = tuple(
        replace(call, arguments=tuple(renumber(argument, below.index) for argument in call.arguments)) for call in calls
    )
    schema = relation.schema[:width] + tuple(relation.schema[column] for column in kept if column >= width)
    aggregate = plan.Aggregate(pruned, tuple(_places(relation.keys, below)), moved, schema)
    keys = [column for column in kept if column < width]
    return select(aggregate, [*keys, *range(width, width + len(calls))])
