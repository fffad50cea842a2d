"""The value of a scalar expression on one row."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.types import Kind

# Importing a module of functions registers them.
from tests.oracle import dates, lists, mathematics, operators, patterns, signatures, strings
from tests.oracle.scalars import Invocation, apply
from tests.oracle.values import fit

FUNCTION_MODULES = (dates, lists, mathematics, operators, patterns, signatures, strings)

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Session:
    """What an evaluation depends on besides rows.

    :param time_zone: the session's zone.
    :param parameters: values of the ``?`` parameters.
    """

    time_zone: str
    parameters: tuple[Any, ...] = ()


def evaluate(
    expression: plan.Expression,
    row: Row,
    session: Session,
    frame_calls: Mapping[plan.FrameCall, Any] | None = None,
) -> Any:
    """The value of `expression` on `row`; `frame_calls` holds the aggregates inside it."""
    if isinstance(expression, plan.ColumnReference):
        return row[expression.index]
    if isinstance(expression, plan.Parameter):
        return session.parameters[expression.index]
    if isinstance(expression, plan.FrameCall):
        assert frame_calls is not None, "an aggregate stands outside a frame"
        return frame_calls[expression]
    if isinstance(expression, plan.Literal):
        if expression.type.kind is Kind.DATE and isinstance(expression.value, str):
            return datetime.date.fromisoformat(expression.value)
        return fit(expression.value, expression.type)
    assert isinstance(expression, plan.Call), expression
    values = [evaluate(argument, row, session, frame_calls) for argument in expression.arguments]
    types = tuple(argument.type for argument in expression.arguments)
    return apply(expression.function, Invocation(types, expression.type, session.time_zone), values)


def inner_frame_calls(expression: plan.Expression) -> list[plan.FrameCall]:
    """The outermost aggregates inside an expression."""
    if isinstance(expression, plan.FrameCall):
        return [expression]
    if isinstance(expression, plan.Call):
        return [found for argument in expression.arguments for found in inner_frame_calls(argument)]
    return []
