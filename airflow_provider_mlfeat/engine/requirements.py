"""What a deployed plan needs to have stored: which tables, by which keys, in which order, and how far back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_provider_mlfeat.engine.lineage import is_over, is_plain, name_of, origin_of, reads, sources_of
from airflow_provider_mlfeat.engine.pruning import prune
from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.engine.request_relations import series_of
from airflow_provider_mlfeat.sql import plan

TableName = tuple[str, str]


class Use(StrEnum):
    """What a table is needed for: the history of windows, the last row of a key, or all of its rows."""

    HISTORY = "history"
    LAST = "last"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a plan needs of a stored table.

    :param table: (database, table).
    :param use: what for.
    :param keys: names of the key columns; none for a whole table.
    :param order: name of the time column; None is the order of arrival.
    :param rows: how many rows per key have to be kept; None is all of them, or as many as `time` says.
    :param time: how far back rows have to be kept, in units of the time column; None is without limit.
    :param descending: of the last row of a key: whether the smallest time wins.
    """

    table: TableName
    use: Use
    keys: tuple[str, ...] = ()
    order: str | None = None
    rows: int | None = None
    time: int | None = None
    descending: bool = False


def table_schemas(relation: plan.Relation) -> dict[TableName, plan.Schema]:
    """The columns of every stored table below a relation."""
    return {name_of(source): source.schema for source in sources_of(relation)}


def requirements_of(query: plan.Plan) -> tuple[Requirement, ...]:
    """What a plan needs, each thing once."""
    root = prune(query.root, range(len(query.schema)))
    found: dict[tuple[TableName, Use, tuple[str, ...], str | None, bool], Requirement] = {}
    for requirement in _requirements(root, query.request_source):
        key = (requirement.table, requirement.use, requirement.keys, requirement.order, requirement.descending)
        found[key] = _wider(found[key], requirement) if key in found else requirement
    return tuple(sorted(found.values(), key=lambda requirement: (requirement.table, requirement.use, requirement.keys)))


def _wider(one: Requirement, other: Requirement) -> Requirement:
    """What meets both needs: a row is kept when either bound of either need keeps it."""
    if one.rows is one.time is None or other.rows is other.time is None:
        return replace(one, rows=None, time=None)
    rows = [value for value in (one.rows, other.rows) if value is not None]
    times = [value for value in (one.time, other.time) if value is not None]
    return replace(one, rows=max(rows, default=None), time=max(times, default=None))


def _requirements(relation: plan.Relation, request: TableName | None) -> Iterator[Requirement]:
    if isinstance(relation, plan.Windows) and is_over(relation.input, request):
        yield from _requirements(relation.input, request)
        for stream in relation.streams:
            sources = stream.unions if stream.instance_not_in_window else (relation.input, *stream.unions)
            for source in sources:
                yield from _history(source, stream, request)
    elif isinstance(relation, plan.Join) and relation.how == "last":
        yield from _requirements(relation.left, request)
        yield from _joined(relation, request)
    elif isinstance(relation, plan.Source):
        if name_of(relation) != request:
            yield Requirement(name_of(relation), Use.FULL)
    else:
        for below in inputs_of(relation):
            yield from _requirements(below, request)


def _history(relation: plan.Relation, stream: plan.Stream, request: TableName | None) -> Iterator[Requirement]:
    series = series_of(relation, stream)
    keys = [origin_of(relation, column, through_filters=True) for column in stream.partition]
    order = None if stream.order is None else origin_of(relation, stream.order, through_filters=True)
    if any(key is None for key in keys) or (stream.order is not None and order is None):
        yield from (Requirement(name_of(source), Use.FULL) for source in sources_of(relation))
        return
    source = next(key.source for key in keys if key is not None)
    names = tuple(source.schema[key.column].name for key in keys if key is not None)
    requirement = Requirement(
        name_of(source), Use.HISTORY, names, None if order is None else source.schema[order.column].name
    )
    # A filter takes rows away before they are counted, and an excluded time may be any number of rows.
    counts_rows = series is not None and not _filters(relation)
    for frame in stream.frames:
        rows, time = _reach(frame, counts_rows and not frame.exclude_current_time)
        yield replace(requirement, rows=rows, time=time)
    for other in sources_of(relation):
        if name_of(other) not in (name_of(source), request):
            yield Requirement(name_of(other), Use.FULL)


def _reach(frame: plan.Frame, counts_rows: bool) -> tuple[int | None, int | None]:
    """How far back a frame looks, in rows before the current one and in time; None is no bound of that kind."""
    if frame.unit == "range":
        rows = frame.maxsize if counts_rows and frame.end <= 0 else None
        if rows is not None and frame.start is None:
            return rows, None
        return None, frame.start
    return (frame.start if counts_rows else None), None


def _filters(relation: plan.Relation) -> bool:
    return isinstance(relation, plan.Filter) or any(_filters(below) for below in inputs_of(relation))


def _joined(relation: plan.Join, request: TableName | None) -> Iterator[Requirement]:
    keys = [key.index for key in relation.right_keys if isinstance(key, plan.ColumnReference)]
    origins = [origin_of(relation.right, key) for key in keys]
    if is_over(relation.right, request):
        yield from _requirements(relation.right, request)
    elif (
        relation.condition is None
        and is_plain(relation.right)
        and keys
        and len(keys) == len(relation.right_keys)
        and all(origins)
    ):
        source = next(sources_of(relation.right))
        order = None if relation.order is None else origin_of(relation.right, relation.order)
        yield Requirement(
            name_of(source),
            Use.LAST,
            tuple(source.schema[origin.column].name for origin in origins if origin),
            None if order is None else source.schema[order.column].name,
            rows=1,
            descending=relation.descending,
        )
    elif reads(relation.right, request):
        yield from _requirements(relation.right, request)
    else:
        yield from (Requirement(name_of(source), Use.FULL) for source in sources_of(relation.right))
