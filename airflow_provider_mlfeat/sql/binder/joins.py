"""LAST JOIN and LEFT JOIN: equality terms become keys, the rest a condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from airflow_provider_mlfeat.sql.binder import calls
from airflow_provider_mlfeat.sql.binder.expressions import ExpressionBinder, terms
from airflow_provider_mlfeat.sql.binder.implicit_order import implicit_order
from airflow_provider_mlfeat.sql.binder.scope import Bound, Scope, schema_of
from airflow_provider_mlfeat.sql.binder.session import Session
from airflow_provider_mlfeat.sql.binder.windows import is_order_type
from airflow_provider_mlfeat.sql.dialect.nodes import LastJoin
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlTypeError
from airflow_provider_mlfeat.sql.plan import (
    Call,
    ColumnReference,
    Expression,
    Filter,
    FrameCall,
    Join,
    Project,
    Relation,
    Source,
)
from airflow_provider_mlfeat.sql.types import BOOL, TIMESTAMP

_COMPARISONS = ("less", "less_equal", "greater", "greater_equal")


@dataclass(slots=True)
class _Condition:
    """ON, split into its parts.

    :param left_keys: left sides of equality terms.
    :param right_keys: right sides, over the right relation's own columns.
    :param key_columns: right columns that an equality term compares plainly.
    :param others: all other terms, over left and right columns.
    :param ordered: whether a term compares the left row's time with the right one's.
    """

    left_keys: list[Expression] = field(default_factory=list)
    right_keys: list[Expression] = field(default_factory=list)
    key_columns: set[int] = field(default_factory=set)
    others: list[Expression] = field(default_factory=list)
    ordered: bool = False


def bind_join(session: Session, left: Bound, right: Bound, node: exp.Join, first: tuple[str, str] | None) -> Bound:
    """The join of two bound relations.

    :param session: what holds for the whole query.
    :param left: the left side.
    :param right: the right side.
    :param node: the JOIN.
    :param first: database and table of the leftmost stored table, for the warning about time conditions.
    """
    last = isinstance(node, LastJoin)
    if not last and not session.inside_last_join:
        session.refuse_in_request("LEFT JOIN outside the right side of a LAST JOIN", node)
    fields = (*left.fields, *right.fields)
    order = _explicit_order(session, right, node) if last else None
    condition = _split(session, Scope(fields, session.database), len(left.fields), node.args["on"], order)
    relation = right.relation
    if last and order is None:
        ordered = implicit_order(relation, frozenset(condition.key_columns), session.catalog)
        if ordered is not None:
            relation, order = ordered
    hidden = relation.schema[len(right.fields) :]
    join = Join(
        "last" if last else "left",
        left.relation,
        relation,
        tuple(condition.left_keys),
        tuple(condition.right_keys),
        order,
        bool(node.args.get("descending")),
        _conjunction(condition.others),
        (*schema_of(fields), *hidden),
    )
    _warn_about_time(session, right, condition, node, first)
    return Bound(_without_hidden(join, len(fields)) if hidden else join, fields)


def _without_hidden(join: Join, width: int) -> Relation:
    shown = join.schema[:width]
    return Project(join, tuple(ColumnReference(n, column.type) for n, column in enumerate(shown)), shown)


def _explicit_order(session: Session, right: Bound, node: exp.Join) -> int | None:
    column = node.args.get("order")
    if column is None:
        return None
    reference = Scope(right.fields, session.database).resolve(column)
    if not is_order_type(reference.type):
        raise SqlTypeError(
            f"cannot order a LAST JOIN by '{column.name}' of type {reference.type}",
            position_of(column),
            "Order by a column of type smallint, int, bigint or timestamp.",
        )
    return reference.index


# ── the condition ───────────────────────────────────────────────────────────────────────────────────────────────────


def _split(session: Session, scope: Scope, width: int, on: exp.Expr, order: int | None) -> _Condition:
    binder = ExpressionBinder(session, scope, "ON")
    condition = _Condition()
    for node in terms(on, exp.And):
        term = node.unnest() if isinstance(node, exp.Paren) else node
        if isinstance(term, exp.EQ) and _add_keys(condition, binder, term, width):
            continue
        bound = binder.condition(term)
        condition.others.append(bound)
        condition.ordered |= _compares_time(bound, width, order)
    return condition


def _add_keys(condition: _Condition, binder: ExpressionBinder, term: exp.EQ, width: int) -> bool:
    """Take `term` as a pair of keys, if one of its sides is of the left row and the other of the right one."""
    one, other = binder.bind(term.this), binder.bind(term.expression)
    if _sides(one, width) == {"right"} and _sides(other, width) == {"left"}:
        one, other = other, one
    elif _sides(one, width) != {"left"} or _sides(other, width) != {"right"}:
        return False
    if isinstance(other, ColumnReference):
        condition.key_columns.add(other.index - width)
        condition.ordered |= other.type == TIMESTAMP
    equal = binder.session.functions.scalars["equal"]
    (left, right), _ = calls.resolve(equal, (one, other), position_of(term))
    condition.left_keys.append(left)
    condition.right_keys.append(_shifted(right, width))
    return True


def _sides(expression: Expression, width: int) -> set[str]:
    return {"left" if column.index < width else "right" for column in columns_of(expression)}


def columns_of(expression: Expression) -> Iterator[ColumnReference]:
    """The columns in an expression."""
    if isinstance(expression, ColumnReference):
        yield expression
    elif isinstance(expression, Call | FrameCall):
        for argument in expression.arguments:
            yield from columns_of(argument)


def _shifted(expression: Expression, width: int) -> Expression:
    """The same expression over the right relation alone."""
    if isinstance(expression, ColumnReference):
        return ColumnReference(expression.index - width, expression.type)
    if isinstance(expression, Call):
        arguments = tuple(_shifted(argument, width) for argument in expression.arguments)
        return Call(expression.function, arguments, expression.type)
    return expression


def _conjunction(conditions: list[Expression]) -> Expression | None:
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else Call("and", tuple(conditions), BOOL)


# ── the warning about time ──────────────────────────────────────────────────────────────────────────────────────────


def _compares_time(term: Expression, width: int, order: int | None) -> bool:
    """Whether a term compares the left row's time with the right one's: a timestamp, or what orders the right rows."""
    if not isinstance(term, Call) or term.function not in _COMPARISONS:
        return False
    sides = [_sides(argument, width) for argument in term.arguments]
    times = (column.type == TIMESTAMP or column.index - width == order for column in columns_of(term))
    return {"left"} in sides and {"right"} in sides and any(times)


def _warn_about_time(
    session: Session, right: Bound, condition: _Condition, node: exp.Join, first: tuple[str, str] | None
) -> None:
    table = right.relation
    while isinstance(table, Project | Filter):
        table = table.input
    if not isinstance(table, Source) or (table.database, table.table) == first or condition.ordered:
        return
    times = [column.name for column in right.fields if column.type == TIMESTAMP]
    if times:
        session.warn(
            f"the join with '{table.table}' has no condition on time: it may pick a row that is later than the left "
            f"one; compare '{times[0]}' with the left row's time in ON",
            node,
        )
