"""The logical plan: what a query means, as plain data.

Every driver runs this and nothing else. A plan is a tree of relations whose expressions refer to columns by position,
so that no name is looked up after binding. It becomes canonical JSON (sorted keys, no blanks), and the SHA-256 of that
text is the ``plan_id`` that feature sets, models and deployments carry. This module knows no SQL text and imports no
parser: executors and servers load plans through it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from airflow_provider_mlfeat.sql.types import DataType, parse_type

PLAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class Column:
    """A named, typed column of a relation.

    :param name: the name as written; duplicates are legal in a query's output.
    :param type: its type.
    """

    name: str
    type: DataType


Schema = tuple[Column, ...]


# ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Expression:
    """A typed scalar expression over the columns of one relation."""

    type: DataType
    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class ColumnReference(Expression):
    """Column number `index` of the relation that the expression belongs to."""

    kind: ClassVar[str] = "column"
    index: int
    type: DataType


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """A constant. Its value is None, bool, int, float or str: a date is ``yyyy-mm-dd``, a timestamp is milliseconds."""

    kind: ClassVar[str] = "literal"
    value: bool | int | float | str | None
    type: DataType


@dataclass(frozen=True, slots=True)
class Parameter(Expression):
    """Parameter number `index` of the query (``?``), given by the caller at run time."""

    kind: ClassVar[str] = "parameter"
    index: int
    type: DataType


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A scalar function, operator or cast on arguments; `function` is a name of the function registry.

    Operators are functions too (``add``, ``less``, ``and``, ``case`` …) and a cast is the function ``cast``, whose
    target is the call's type. Arguments already have the types that the function takes: the binder inserted casts.
    """

    kind: ClassVar[str] = "call"
    function: str
    arguments: tuple[Expression, ...]
    type: DataType


@dataclass(frozen=True, slots=True)
class FrameCall(Expression):
    """An aggregate inside the argument of another one: evaluated once over the frame, the same for each of its rows.

    ``count_where(x, x = at(x, 0)) OVER w`` holds ``at(x, 0)`` as a FrameCall in the condition.
    """

    kind: ClassVar[str] = "frame_call"
    function: str
    arguments: tuple[Expression, ...]
    type: DataType


# ── windows ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Frame:
    """Which of the earlier rows a feature sees, with the current row at position 0.

    OPEN bounds are already folded into the offsets, and units into those of the order column. A frame with
    ``start < end`` is empty.

    :param unit: ``rows`` or ``range``.
    :param start: the farthest offset back; None is unbounded.
    :param end: the nearest offset back; 0 is the current row.
    :param maxsize: how many of the newest rows stay; None is no limit.
    :param exclude_current_row: drop the current row at the end.
    :param exclude_current_time: drop rows of the current row's time, except itself, at the beginning.
    """

    unit: str
    start: int | None
    end: int
    maxsize: int | None = None
    exclude_current_row: bool = False
    exclude_current_time: bool = False


@dataclass(frozen=True, slots=True)
class Feature:
    """An aggregate over a frame.

    :param stream: number of the stream in the ``Windows`` relation.
    :param frame: number of the frame in that stream.
    :param function: a name of the function registry.
    :param arguments: expressions over a row of the stream; ``count(*)`` has none.
    :param type: the result's type.
    """

    stream: int
    frame: int
    function: str
    arguments: tuple[Expression, ...]
    type: DataType


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows in one partitioning and one total order, shared by frames.

    The order is (order column, source rank, arrival): the main input has rank 0, union source number i (from 0) has
    rank -1-i, so that at equal time a later listed source is older. Partition columns compare NULL equal to NULL.

    :param unions: relations with the main input's column types.
    :param partition: column numbers.
    :param order: column number, or None for arrival order.
    :param instance_not_in_window: only union rows and the current row are seen.
    :param frames: the frames that features refer to.
    """

    unions: tuple[Relation, ...]
    partition: tuple[int, ...]
    order: int | None
    instance_not_in_window: bool
    frames: tuple[Frame, ...]


# ── relations ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Relation:
    """An ordered bag of rows; the order is the arrival order and every relation below preserves it."""

    schema: Schema
    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Source(Relation):
    """A stored table, all its columns, in arrival order.

    :param database: the database; '' is the session's default.
    :param table: the table.
    :param schema: its columns.
    """

    kind: ClassVar[str] = "source"
    database: str
    table: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class SingleRow(Relation):
    """One row without columns: the FROM of a query that has none."""

    kind: ClassVar[str] = "single_row"
    schema: Schema = ()


@dataclass(frozen=True, slots=True)
class Project(Relation):
    """One row of `expressions` per input row."""

    kind: ClassVar[str] = "project"
    input: Relation
    expressions: tuple[Expression, ...]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Filter(Relation):
    """The input rows for which `condition` is true."""

    kind: ClassVar[str] = "filter"
    input: Relation
    condition: Expression
    schema: Schema


@dataclass(frozen=True, slots=True)
class Join(Relation):
    """LAST JOIN (exactly one output row per left row) or LEFT JOIN; columns of the left, then of the right.

    A candidate is a right row with equal keys and a true `condition`. LAST takes the candidate with the largest order
    value (smallest when `descending`), ties by the last arrival, NULL lowest; without `order` the last arrival.

    :param how: ``last`` or ``left``.
    :param left: the left side.
    :param right: the right side.
    :param left_keys: expressions over the left schema.
    :param right_keys: expressions over the right schema, of the same types.
    :param order: column number of the right side, or None.
    :param descending: whether the smallest order value wins.
    :param condition: what is left of ON, over the left columns followed by the right ones; None is true.
    """

    kind: ClassVar[str] = "join"
    how: str
    left: Relation
    right: Relation
    left_keys: tuple[Expression, ...]
    right_keys: tuple[Expression, ...]
    order: int | None
    descending: bool
    condition: Expression | None
    schema: Schema


@dataclass(frozen=True, slots=True)
class Windows(Relation):
    """The input's columns followed by one column per feature."""

    kind: ClassVar[str] = "windows"
    input: Relation
    streams: tuple[Stream, ...]
    features: tuple[Feature, ...]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Aggregate(Relation):
    """GROUP BY: key columns, then one column per call; without keys exactly one row.

    Each call is a Feature with stream and frame 0: the group's rows are its frame, the last arrival the newest.
    """

    kind: ClassVar[str] = "aggregate"
    input: Relation
    keys: tuple[int, ...]
    calls: tuple[Feature, ...]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Union(Relation):
    """All rows of the inputs, in their order; distinct keeps the first of equal rows."""

    kind: ClassVar[str] = "union"
    inputs: tuple[Relation, ...]
    distinct: bool
    schema: Schema


@dataclass(frozen=True, slots=True)
class Limit(Relation):
    """The `count` most recent arrivals of the input, in arrival order."""

    kind: ClassVar[str] = "limit"
    input: Relation
    count: int
    schema: Schema


@dataclass(frozen=True, slots=True)
class LongWindow:
    """A window of a deployment that may be computed from buckets of rows instead of every row.

    The plan has one ``Windows`` relation then, straight over a stored table; every feature of the frame is a plain
    aggregate of a column, with or without a condition that compares a column to a constant.

    :param name: the window's name.
    :param bucket: length of a bucket in milliseconds of the order column.
    :param stream: number of the stream in the ``Windows`` relation.
    :param frame: number of the frame in that stream.
    """

    name: str
    bucket: int
    stream: int
    frame: int


# ── the plan ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Plan:
    """A bound query, ready to run in any driver.

    :param root: the relation whose rows are the answer.
    :param time_zone: the session's zone for date parts, casts and text (IANA name or ``+08:00``).
    :param null_join_keys: ``match`` or ``never``.
    :param request_source: (database, table) of the leftmost stored table, or None for a query without one.
    :param parameters: types of the ``?`` parameters.
    :param request_rows: request rows given inside the SQL text (``CONFIG (values=…)``), in the request table's columns.
    :param warnings: what the planner wants its user to know, for instance a join without a time condition; no part of
        the identity.
    :param long_windows: the windows that a deployment's LONG_WINDOWS names and a feature uses. They change how an
        answer is computed and never what it is, so they are no part of the identity, nor of the text.
    """

    root: Relation
    time_zone: str = "+08:00"
    null_join_keys: str = "match"
    request_source: tuple[str, str] | None = None
    parameters: tuple[DataType, ...] = ()
    request_rows: tuple[tuple[Any, ...], ...] | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)
    long_windows: tuple[LongWindow, ...] = field(default=(), compare=False)

    @property
    def schema(self) -> Schema:
        """The output columns."""
        return self.root.schema

    def to_json(self) -> str:
        """The canonical text: equal plans have equal texts."""
        return json.dumps(
            {"version": PLAN_VERSION, "plan": _encode(self)}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )

    @property
    def plan_id(self) -> str:
        """SHA-256 of the canonical text, in hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan of a canonical text; raises ``ValueError`` for a text of another plan version."""
        document = json.loads(text)
        if document.get("version") != PLAN_VERSION:
            raise ValueError(f"plan version {document.get('version')!r} is not {PLAN_VERSION}; plan the SQL again")
        plan = _decode(document["plan"])
        assert isinstance(plan, cls)
        return plan


def expression_to_text(expression: Expression) -> str:
    """The canonical text of an expression alone: equal ones have equal texts."""
    return json.dumps(_encode(expression), sort_keys=True, separators=(",", ":"), allow_nan=False)


def expression_of_text(text: str) -> Expression:
    """The expression of a canonical text."""
    expression = _decode(json.loads(text))
    assert isinstance(expression, Expression)
    return expression


_NODES: dict[str, type] = {
    node.kind: node
    for node in (
        *(ColumnReference, Literal, Parameter, Call, FrameCall),
        *(Source, SingleRow, Project, Filter, Join, Windows, Aggregate, Union, Limit),
    )
} | {"plan": Plan, "stream": Stream, "frame": Frame, "feature": Feature, "named": Column}
_KIND_OF = {node: kind for kind, node in _NODES.items()}


def _encode(value: Any) -> Any:
    if isinstance(value, DataType):
        return {"type": str(value)}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, float):
        # Shortest text that reads back as the same number; JSON has no NaN, and 1.0 must not become 1.
        return {"double": repr(value)}
    kind = _KIND_OF.get(type(value))
    if kind is None:
        return value
    encoded = {item.name: _encode(getattr(value, item.name)) for item in fields(value) if item.compare}
    return {"node": kind, **encoded}


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "node" not in value:
        return float(value["double"]) if "double" in value else parse_type(value["type"])
    arguments = {name: _decode(item) for name, item in value.items() if name != "node"}
    return _NODES[value["node"]](**arguments)
