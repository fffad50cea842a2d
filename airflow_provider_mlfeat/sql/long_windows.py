"""LONG_WINDOWS of a deployment: whether buckets of rows can stand for the rows of a window.

A bucket holds one number for each feature, so a feature has to be an aggregate that can be put together from parts:
of a column as it is stored, all of its rows or those for which a column compares to a constant. And the rows have to
be those of one stored table, in the order of its time.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from airflow_provider_mlfeat.sql.constants import constant
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlTypeError, SqlUnsupportedError
from airflow_provider_mlfeat.sql.plan import Expression, Relation, Source, Stream
from airflow_provider_mlfeat.sql.types import DATE, TIMESTAMP

PLAIN = ("sum", "avg", "count", "min", "max")
CONDITIONAL = tuple(f"{name}_where" for name in PLAIN)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def check_call(name: str, call: exp.Anonymous, function: str, bind: Callable[[exp.Expr], Expression]) -> None:
    """Raise unless a call over the long window `name` can be put together from buckets.

    :param name: the window.
    :param call: the call, whose arguments have the types that its function takes.
    :param function: the function's own name.
    :param bind: binds an expression over the window's rows.
    """
    if function not in (*PLAIN, *CONDITIONAL):
        raise SqlUnsupportedError(
            f"'{call.name}' over the long window '{name}' cannot be put together from buckets",
            position_of(call),
            f"LONG_WINDOWS takes {', '.join(PLAIN)} and their _where; leave '{name}' out of it.",
        )
    argument = call.expressions[0]
    if not isinstance(argument, exp.Column | exp.Star):
        raise SqlUnsupportedError(
            f"the long window '{name}' aggregates columns, not expressions",
            position_of(argument),
            "Compute it from the column, or leave the window out of LONG_WINDOWS.",
        )
    if function in CONDITIONAL:
        _check_condition(name, call.expressions[1], bind)


def _check_condition(name: str, node: exp.Expr, bind: Callable[[exp.Expr], Expression]) -> None:
    node = node.unnest()
    sides = [node.this, node.expression] if isinstance(node, _COMPARISONS) else []
    columns = [side for side in sides if isinstance(side, exp.Column)]
    if len(columns) != 1 or not any(isinstance(side, exp.Null) or constant(side) is not None for side in sides):
        raise SqlUnsupportedError(
            f"a condition in the long window '{name}' compares one column with one constant",
            position_of(node),
            "Leave the window out of LONG_WINDOWS.",
        )
    type_ = bind(columns[0]).type
    if type_ in (DATE, TIMESTAMP):
        raise SqlTypeError(
            f"a condition in the long window '{name}' cannot be about '{columns[0].name}' of type {type_}",
            position_of(columns[0]),
            "Leave the window out of LONG_WINDOWS.",
        )


def check_rows(name: exp.Identifier, stream: Stream, source: Relation) -> None:
    """Raise unless the rows of a long window are those of one stored table, in time.

    :param name: the window, where it is defined.
    :param stream: its rows and their order.
    :param source: the relation that it stands over.
    """
    if not isinstance(source, Source):
        reason = "stands over a join, a condition or a sub-query"
    elif stream.unions or stream.instance_not_in_window:
        reason = "has rows of other tables"
    elif stream.order is None:
        reason = "has no ORDER BY"
    else:
        return
    raise SqlUnsupportedError(
        f"the long window '{name.name}' {reason}",
        position_of(name),
        "LONG_WINDOWS takes windows over the rows of one table by time.",
    )
