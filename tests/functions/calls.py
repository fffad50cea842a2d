"""Calls of the catalogue's functions, bound and evaluated without SQL text."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, compile_expression
from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.casts import check_cast
from airflow_provider_mlfeat.sql.functions.registry import Argument
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference, Expression, Literal
from airflow_provider_mlfeat.sql.types import BIGINT, BOOL, DOUBLE, INT, NULL, STRING, DataType, parse_type


def literal(value: Any) -> Literal:
    """A literal with the type that SQL gives it."""
    if value is None:
        return Literal(None, NULL)
    if isinstance(value, bool):
        return Literal(value, BOOL)
    if isinstance(value, int):
        return Literal(value, INT if -(2**31) <= value < 2**31 else BIGINT)
    return Literal(value, DOUBLE if isinstance(value, float) else STRING)


def typed(value: Any, type_name: str) -> Literal:
    """A literal of a given type."""
    return Literal(value.isoformat() if isinstance(value, datetime.date) else value, parse_type(type_name))


def cast(expression: Expression, target: DataType) -> Expression:
    """The expression as another type, as the binder casts arguments."""
    if expression.type == target:
        return expression
    if isinstance(expression, Literal) and expression.value is None:
        return Literal(None, target)
    check_cast(expression.type, target)
    return Call("cast", (expression,), target)


def call(name: str, *arguments: Any) -> Call:
    """A bound call; Python values become literals."""
    expressions = [value if isinstance(value, Expression) else literal(value) for value in arguments]
    function = CATALOGUE.scalars[name]
    resolved = function.resolve(
        [
            Argument(expression.type, isinstance(expression, Literal), getattr(expression, "value", None))
            for expression in expressions
        ]
    )
    casts = tuple(map(cast, expressions, resolved.arguments))
    return Call(function.name, casts, resolved.result)


def value_of(expression: Expression, time_zone: str = "+08:00") -> Any:
    """The value of a constant expression."""
    return compile_expression(expression, EvaluationContext(time_zone))((), 1).value(0)


def evaluate(name: str, *arguments: Any, time_zone: str = "+08:00") -> Any:
    """The value of a call with constant arguments."""
    return value_of(call(name, *arguments), time_zone)


def over_columns(
    name: str, types: Sequence[DataType], rows: Sequence[Sequence[Any]], time_zone: str = "+08:00"
) -> tuple[list[Any], DataType]:
    """The values of a call whose arguments are columns, evaluated over all rows at once."""
    bound = call(name, *[ColumnReference(place, data_type) for place, data_type in enumerate(types)])
    columns = [Column.from_values([row[place] for row in rows], data_type) for place, data_type in enumerate(types)]
    evaluator = compile_expression(bound, EvaluationContext(time_zone))
    result = evaluator(columns, len(rows))
    assert len(result) == len(rows)
    assert result.type == bound.type
    alone = [evaluator([column.slice(row, row + 1) for column in columns], 1).value(0) for row in range(len(rows))]
    together = result.to_values()
    assert list(map(repr, alone)) == list(map(repr, together)), "one row alone gives something else"
    return together, result.type
