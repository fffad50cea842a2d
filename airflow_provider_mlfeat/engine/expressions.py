"""Scalar expressions, compiled once and evaluated over whole columns.

A compiled expression is a function of the columns of a relation and the number of rows. Constants are computed while
compiling. The same code runs over a million rows and over the one row of a request, so every path is short for one
row. Functions never raise on data, hence both branches of a CASE may be evaluated.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, all_valid, numpy_type, one_row_maker
from airflow_provider_mlfeat.engine.distinct import distinct_rows
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.zones import zone_of
from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.registry import Form, NullRule, ScalarFunction, load_implementation
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference, Expression, Literal, Parameter
from airflow_provider_mlfeat.sql.types import DataType, Kind

Evaluator = Callable[[Sequence[Column], int], Column]
RowFunction = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """What the expressions of a plan know besides their columns.

    :param time_zone: the plan's zone.
    :param parameters: values of the ``?`` parameters, as Python values of their types.
    """

    time_zone: str = "+08:00"
    parameters: tuple[Any, ...] = ()


def compile_expression(expression: Expression, context: EvaluationContext) -> Evaluator:
    """The evaluator of `expression`."""
    if isinstance(expression, ColumnReference):
        return _reference(expression.index)
    if isinstance(expression, Literal):
        return _constant(Column.constant(literal_value(expression), expression.type, 1))
    if isinstance(expression, Parameter):
        return _constant(Column.constant(context.parameters[expression.index], expression.type, 1))
    if isinstance(expression, Call):
        evaluate = _compile_call(expression, context)
        return _constant(evaluate((), 1)) if is_constant(expression) else evaluate
    raise TypeError(f"a {type(expression).__name__} is no scalar expression; its window evaluates it")


def is_constant(expression: Expression) -> bool:
    """Whether no column and no frame is needed to evaluate `expression`."""
    if isinstance(expression, Call):
        return all(map(is_constant, expression.arguments))
    return isinstance(expression, Literal | Parameter)


def literal_value(literal: Literal) -> Any:
    """The Python value of a literal, whose date is text in the plan."""
    if literal.type.kind is Kind.DATE and literal.value is not None:
        return datetime.date.fromisoformat(str(literal.value))
    return literal.value


def _reference(index: int) -> Evaluator:
    return lambda columns, length: columns[index]


def _constant(column: Column) -> Evaluator:
    def evaluate(columns: Sequence[Column], length: int) -> Column:
        return column if length == 1 else column.take(np.zeros(length, np.intp))

    return evaluate


def _compile_call(call: Call, context: EvaluationContext) -> Evaluator:
    function = CATALOGUE.scalars[call.function]
    if _form(call, function) is Form.VALUE:
        return _compile_rows(call, context)
    implementation = load_implementation(function.implementation)
    arguments = [compile_expression(argument, context) for argument in call.arguments]
    propagates = function.null_rule is NullRule.PROPAGATE
    call_context = _call_context(call, context)
    # What depends on the types alone is decided now.
    specialize = getattr(implementation, "specialize", None)
    if specialize is not None:
        implementation = specialize(call_context)
    compiler = _compile_array if function.form is Form.ARRAY else _compile_columns
    return compiler(implementation, call_context, arguments, propagates)


def _form(call: Call, function: ScalarFunction) -> Form:
    """The form of a call: a cast of lists or maps converts Python values, whatever casts of columns do."""
    if function.name == "cast" and call.type.is_nested:
        return Form.VALUE
    return function.form


def _call_context(call: Call, context: EvaluationContext) -> CallContext:
    types = tuple(argument.type for argument in call.arguments)
    return CallContext(zone_of(context.time_zone), types, call.type)


def _compile_array(
    function: Callable[..., Any], context: CallContext, arguments: list[Evaluator], propagates: bool
) -> Evaluator:
    """A function of numpy arrays, which gives values or (values, which of them are valid)."""
    result, dtype = context.result, numpy_type(context.result)

    def evaluate(columns: Sequence[Column], length: int) -> Column:
        given = [argument(columns, length) for argument in arguments]
        values = function(context, *[column.values for column in given])
        valid = all_valid(given) if propagates else None
        if type(values) is tuple:
            values, computed = values
            valid = computed if valid is None else valid & computed
        if values.dtype != dtype:
            values = _narrow(values, dtype)
        return Column(result, values, valid)

    return evaluate


@np.errstate(over="ignore")
def _narrow(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rounded to the width of the result's type; what is too large becomes infinite."""
    return values.astype(dtype)


def _compile_columns(
    function: Callable[..., Column], context: CallContext, arguments: list[Evaluator], propagates: bool
) -> Evaluator:
    """A function of columns; where NULL propagates it need not look at the validity of its arguments."""
    if not propagates:
        return lambda columns, length: function(context, *[argument(columns, length) for argument in arguments])

    def evaluate(columns: Sequence[Column], length: int) -> Column:
        given = [argument(columns, length) for argument in arguments]
        result = function(context, *given)
        valid = all_valid(given)
        if valid is None:
            return result
        if result.valid is not None:
            valid = valid & result.valid
        return Column(result.type, result.values, valid, result.dictionary)

    return evaluate


def _compile_rows(call: Call, context: EvaluationContext) -> Evaluator:
    """A function of Python values, called once per distinct row of arguments."""
    leaves, function = _row_function(call, context)
    arguments = [compile_expression(leaf, context) for leaf in leaves]
    result: DataType = call.type
    make_one = one_row_maker(result)

    def evaluate(columns: Sequence[Column], length: int) -> Column:
        given = [argument(columns, length) for argument in arguments]
        if length == 1:
            return make_one(function([column.value(0) for column in given]))
        if not given:
            return Column.constant(function(()), result, length)
        codes, rows = distinct_rows(given)
        return Column.from_values([function(row) for row in rows], result).take(codes)

    return evaluate


def _row_function(call: Call, context: EvaluationContext) -> tuple[list[Expression], RowFunction]:
    """The expressions that a call of value form starts from, and the call as a function of their values.

    Calls whose results are lists, maps or signed features are taken into the function: such values have no codes, so
    that only the columns they come from tell which rows are alike.
    """
    function = CATALOGUE.scalars[call.function]
    implementation = load_implementation(_row_implementation(call, function))
    call_context = _call_context(call, context)
    leaves: list[Expression] = []
    parts: list[tuple[slice, RowFunction | None]] = []
    for argument in call.arguments:
        start = len(leaves)
        inner = None
        if argument.type.is_nested and isinstance(argument, Call) and _has_value_form(argument):
            inner_leaves, inner = _row_function(argument, context)
            leaves.extend(inner_leaves)
        else:
            leaves.append(argument)
        parts.append((slice(start, len(leaves)), inner))
    propagates = function.null_rule is NullRule.PROPAGATE
    direct = all(inner is None for _, inner in parts)

    def evaluate(values: Sequence[Any]) -> Any:
        if not direct:
            values = [values[place.start] if inner is None else inner(values[place]) for place, inner in parts]
        if propagates and any(value is None for value in values):
            return None
        return implementation(call_context, *values)

    return leaves, evaluate


def _has_value_form(call: Call) -> bool:
    return _form(call, CATALOGUE.scalars[call.function]) is Form.VALUE


def _row_implementation(call: Call, function: ScalarFunction) -> Any:
    if function.name == "cast":
        return "airflow_provider_mlfeat.engine.functions.casts:cast_value"
    return function.implementation
