"""Windows: streams, frames and the features that are computed over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from airflow_provider_mlfeat.sql.binder.scope import Bound, Field, Scope
from airflow_provider_mlfeat.sql.dialect.nodes import FrameBound, WindowDefinition
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlNameError, SqlSyntaxError, SqlTypeError, SqlUnsupportedError
from airflow_provider_mlfeat.sql.plan import (
    Column,
    ColumnReference,
    Expression,
    Feature,
    Frame,
    Relation,
    Stream,
    Windows,
)
from airflow_provider_mlfeat.sql.types import BOOL, DATE, INTEGER_KINDS, STRING, TIMESTAMP, DataType

_FARTHEST = 2**63 - 1
_MILLISECONDS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def is_order_type(type_: DataType) -> bool:
    """Whether windows and LAST JOIN can order by a column of the type."""
    return type_.kind in INTEGER_KINDS or type_ == TIMESTAMP


def is_partition_type(type_: DataType) -> bool:
    """Whether a window can be partitioned by a column of the type."""
    return type_.is_integer or type_ in (BOOL, STRING, DATE, TIMESTAMP)


@dataclass(frozen=True, slots=True)
class BoundWindow:
    """A window definition: the stream of rows and the frame in it.

    :param stream: the rows and their order; it has no frames of its own yet.
    :param frame: the frame.
    """

    stream: Stream
    frame: Frame

    def at_offset(self, rows: int) -> BoundWindow:
        """The window that holds the row `rows` before the current one as its oldest: what ``lag`` looks at."""
        return replace(self, frame=Frame("rows", rows, 0, exclude_current_time=self.frame.exclude_current_time))


class WindowBinder:
    """Binds window definitions over one relation.

    :param relation: the main input.
    :param leftmost: how many of its columns belong to the leftmost table of its joins.
    :param database: the current database.
    :param bind_source: binds a union source.
    """

    def __init__(self, relation: Bound, leftmost: int, database: str, bind_source: Callable[[exp.Expr], Bound]) -> None:
        self._relation = relation
        self._leftmost = leftmost
        self._scope = Scope(relation.fields, database)
        self._bind_source = bind_source

    def bind(self, node: WindowDefinition) -> BoundWindow:
        """The stream and the frame of a definition."""
        arguments = node.args
        partition = tuple(self._partition_column(column) for column in arguments["partition"])
        order_node = arguments.get("order")
        order = self._order_column(order_node) if order_node is not None else None
        frame = bind_frame(node)
        if order is None:
            _check_without_order(node, frame)
        unions = tuple(self._union(source) for source in arguments["unions"])
        stream = Stream(unions, partition, order, bool(arguments.get("instance_not_in_window")), ())
        return BoundWindow(stream, frame)

    def _column(self, node: exp.Column, clause: str) -> ColumnReference:
        column = self._scope.resolve(node)
        if column.index >= self._leftmost:
            raise SqlUnsupportedError(
                f"{clause} column '{node.name}' belongs to a joined table",
                position_of(node),
                "A window's columns come from the first table of FROM; put the join into a sub-query.",
            )
        return column

    def _partition_column(self, node: exp.Column) -> int:
        column = self._column(node, "PARTITION BY")
        if not is_partition_type(column.type):
            raise SqlTypeError(f"cannot partition by '{node.name}' of type {column.type}", position_of(node))
        return column.index

    def _order_column(self, node: exp.Column) -> int:
        column = self._column(node, "ORDER BY")
        if not is_order_type(column.type):
            raise SqlTypeError(
                f"cannot order a window by '{node.name}' of type {column.type}",
                position_of(node),
                "Order by a column of type smallint, int, bigint or timestamp.",
            )
        return column.index

    def _union(self, node: exp.Expr) -> Relation:
        source = self._bind_source(node)
        check_same_schema(self._relation.fields, source.fields, "a window's UNION source", "the main input", node)
        return source.relation


def check_same_schema(wanted: Sequence[Field], found: Sequence[Field], what: str, like: str, node: exp.Expr) -> None:
    """Raise SqlTypeError when two relations differ in number, names or types of columns.

    :param wanted: columns of the relation that sets the example.
    :param found: columns of the relation that `node` is.
    :param what: how messages call the relation.
    :param like: how messages call the example.
    :param node: the relation's place.
    """
    if len(wanted) != len(found):
        columns = "column" if len(wanted) == 1 else "columns"
        message = f"{what} needs {len(wanted)} {columns} like {like}, found {len(found)}"
        raise SqlTypeError(message, position_of(node))
    for number, (left, right) in enumerate(zip(wanted, found, strict=True), 1):
        if left.name.lower() != right.name.lower() or left.type != right.type:
            raise SqlTypeError(
                f"{what} needs column {number} to be '{left.name} {left.type}' like {like}, "
                f"found '{right.name} {right.type}'",
                position_of(node),
            )


# ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bind_frame(node: WindowDefinition) -> Frame:
    """The frame, with units and OPEN folded into the offsets."""
    arguments = node.args
    unit = arguments["unit"]
    far, near = arguments["start"], arguments["end"]
    start, end = _distance(far, unit), _distance(near, unit)
    if end is None:
        raise SqlSyntaxError("a frame cannot end at UNBOUNDED PRECEDING", position_of(near))
    end = max(end, 0)
    if start is not None and start < end:
        raise SqlSyntaxError("a frame cannot start nearer to the current row than it ends", position_of(far))
    maxsize = arguments.get("maxsize")
    if maxsize is not None:
        if unit == "rows":
            raise SqlSyntaxError("MAXSIZE stands in ROWS_RANGE frames only", position_of(maxsize))
        if int(maxsize.name) < 1:
            raise SqlSyntaxError("MAXSIZE must be at least 1", position_of(maxsize))
    if start is not None and far.args.get("open"):
        start -= 1
    return Frame(
        unit,
        # What reaches back farther than any number of the order column does not end.
        start if start is None or start < _FARTHEST else None,
        min(end + 1 if near.args.get("open") else end, _FARTHEST),
        min(int(maxsize.name), _FARTHEST) if maxsize is not None else None,
        bool(arguments.get("exclude_current_row")),
        bool(arguments.get("exclude_current_time")),
    )


def _distance(bound: FrameBound, unit: str) -> int | None:
    """How far back a bound is, before OPEN; None is unbounded."""
    kind, time_unit = bound.args["kind"], bound.args.get("unit")
    if kind == "unbounded":
        return None
    if kind == "current":
        return 0
    if time_unit is not None and unit == "rows":
        raise SqlSyntaxError("a ROWS frame counts rows and takes no time unit", position_of(bound), "Use ROWS_RANGE.")
    return int(bound.args["offset"]) * (_MILLISECONDS[time_unit] if time_unit else 1)


def _check_without_order(node: WindowDefinition, frame: Frame) -> None:
    if frame.exclude_current_time:
        raise SqlSyntaxError("a window with EXCLUDE CURRENT_TIME needs ORDER BY", position_of(node))
    if frame.unit == "range" and (frame.start is not None or frame.end != 0):
        message = "a window without ORDER BY takes ROWS, or ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        raise SqlSyntaxError(message, position_of(node))


# ── features ────────────────────────────────────────────────────────────────────────────────────────────────────────


class NamedWindows:
    """The windows of a WINDOW clause, by name.

    :param windows: pairs of a name and its window.
    """

    def __init__(self, windows: Sequence[tuple[exp.Identifier, BoundWindow]]) -> None:
        self._windows: dict[str, BoundWindow] = {}
        self.names: list[str] = []
        for name, window in windows:
            if name.name.lower() in self._windows:
                raise SqlNameError(f"window '{name.name}' is defined twice", position_of(name))
            self._windows[name.name.lower()] = window
            self.names.append(name.name)

    def find(self, name: str) -> BoundWindow | None:
        """The window of that name."""
        return self._windows.get(name.lower())


class FeatureCollector:
    """Collects the features of a SELECT list; equal ones are computed once, equal streams are walked once.

    :param relation: the main input.
    """

    def __init__(self, relation: Bound) -> None:
        self._relation = relation
        self._streams: dict[Stream, list[Frame]] = {}
        self._features: dict[Feature, int] = {}

    def add(self, window: BoundWindow, function: str, arguments: tuple[Expression, ...], type_: DataType) -> Expression:
        """The column that will hold an aggregate over a window."""
        frames = self._streams.setdefault(window.stream, [])
        if window.frame not in frames:
            frames.append(window.frame)
        stream = list(self._streams).index(window.stream)
        feature = Feature(stream, frames.index(window.frame), function, arguments, type_)
        number = self._features.setdefault(feature, len(self._features))
        return ColumnReference(len(self._relation.fields) + number, type_)

    def place(self, window: BoundWindow) -> tuple[int, int] | None:
        """Numbers of the window's stream and frame; None when no feature uses it."""
        frames = self._streams.get(window.stream, [])
        if window.frame not in frames:
            return None
        return list(self._streams).index(window.stream), frames.index(window.frame)

    def relation(self) -> Relation:
        """The main input with a column for each feature."""
        source = self._relation.relation
        if not self._features:
            return source
        streams = tuple(replace(stream, frames=tuple(frames)) for stream, frames in self._streams.items())
        # A feature's name is its number: names of plan columns carry no meaning below the output.
        columns = tuple(Column(f"feature_{number}", feature.type) for feature, number in self._features.items())
        return Windows(source, streams, tuple(self._features), (*source.schema, *columns))
