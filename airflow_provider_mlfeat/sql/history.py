"""What stored history a plan needs of each table: the keys to look rows up by, their order, and how far back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_mlfeat.sql.plan import (
    Aggregate,
    ColumnReference,
    Expression,
    Filter,
    Join,
    Limit,
    Plan,
    Project,
    Relation,
    Source,
    Stream,
    Union,
    Windows,
)

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def describe_offset(offset: int, duration: bool) -> str:
    """A number of rows, or of units of the order column; whole seconds and more get their unit."""
    if not duration or offset <= 0:
        return str(offset)
    return next((f"{offset // size}{unit}" for size, unit in _UNITS if offset % size == 0), f"{offset}ms")


@dataclass(frozen=True, slots=True)
class Need:
    """History of one table.

    :param table: ``database.table``.
    :param keys: the columns that rows are found by; None for a computed key.
    :param order: the column that orders them; None is arrival.
    :param rows: how many of the newest rows are enough; None is all.
    :param time: how far back rows are needed, in units of the order column; None is without end.
    """

    table: str
    keys: tuple[str | None, ...]
    order: str | None
    rows: int | None
    time: int | None

    def __str__(self) -> str:
        keys = ", ".join(key or "(computed)" for key in self.keys) or "no key"
        limits = []
        if self.rows is not None:
            limits.append("the newest row" if self.rows == 1 else f"the newest {self.rows} rows")
        if self.time is not None:
            limits.append(f"the last {describe_offset(self.time, duration=True)}")
        return (
            f"{self.table} by {keys}, ordered by {self.order or 'arrival'}: {', at most '.join(limits) or 'all rows'}"
        )


def required_history(plan: Plan) -> list[Need]:
    """The needs of every window and join of a plan, each once."""
    return list(dict.fromkeys(_needs(plan.root, plan.request_source)))


def _needs(relation: Relation, request: tuple[str, str] | None) -> Iterator[Need]:
    match relation:
        case Windows():
            for stream in relation.streams:
                yield from _stream_needs(relation.input, stream)
                for source in stream.unions:
                    yield from _needs(source, request)
            yield from _needs(relation.input, request)
        case Join():
            yield from _join_needs(relation, request)
            yield from _needs(relation.left, request)
            yield from _needs(relation.right, request)
        case Project() | Filter() | Aggregate() | Limit():
            yield from _needs(relation.input, request)
        case Union():
            for branch in relation.inputs:
                yield from _needs(branch, request)


def _stream_needs(main: Relation, stream: Stream) -> Iterator[Need]:
    sources = [*([] if stream.instance_not_in_window else [main]), *stream.unions]
    for source in sources:
        for frame in stream.frames:
            keys = [_origin(source, key) for key in stream.partition]
            order = _origin(source, stream.order) if stream.order is not None else None
            table = next((found[0] for found in (*keys, order) if found is not None), None)
            if table is None:
                continue
            rows = frame.maxsize
            if frame.unit == "rows" and frame.start is not None and not frame.exclude_current_time:
                rows = frame.start
            elif frame.end > 0 or frame.exclude_current_time:
                # The newest rows of the frame are not the newest of the table.
                rows = None
            rows = rows if _keeps_rows(source, table) else None
            time = frame.start if frame.unit == "range" else None
            yield Need(table, tuple(key and key[1] for key in keys), order and order[1], rows, time)


def _join_needs(join: Join, request: tuple[str, str] | None) -> Iterator[Need]:
    keys = [_origin_of(key, join.right) for key in join.right_keys]
    order = _origin(join.right, join.order) if join.order is not None else None
    table = next((found[0] for found in (*keys, order) if found is not None), None)
    if table is None or (request is not None and table == ".".join(filter(None, request))):
        return
    enough = join.how == "last" and join.condition is None and not join.descending
    rows = 1 if enough and _keeps_rows(join.right, table) else None
    yield Need(table, tuple(key and key[1] for key in keys), order and order[1], rows, None)


def _keeps_rows(relation: Relation, table: str) -> bool:
    """Whether each row of the stored table is one row of the relation, so that numbers of rows mean the table's."""
    while isinstance(relation, Project | Windows) or (isinstance(relation, Join) and relation.how == "last"):
        relation = relation.left if isinstance(relation, Join) else relation.input
    return isinstance(relation, Source) and _name(relation) == table


def _name(source: Source) -> str:
    return ".".join(filter(None, (source.database, source.table)))


def _origin_of(expression: Expression, relation: Relation) -> tuple[str, str] | None:
    return _origin(relation, expression.index) if isinstance(expression, ColumnReference) else None


def _origin(relation: Relation, column: int) -> tuple[str, str] | None:
    """Table and column that a column is a plain copy of."""
    match relation:
        case Source():
            return _name(relation), relation.schema[column].name
        case Filter() | Limit():
            return _origin(relation.input, column)
        case Project():
            return _origin_of(relation.expressions[column], relation.input)
        case Windows() if column < len(relation.input.schema):
            return _origin(relation.input, column)
        case Join():
            width = len(relation.left.schema)
            left = column < width
            return _origin(relation.left, column) if left else _origin(relation.right, column - width)
    return None
