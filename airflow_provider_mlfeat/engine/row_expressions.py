"""Scalar expressions over one row of Python values.

The functions are those of ``expressions``, run on columns of length one. Every distinct call is evaluated once per
row, and what it gave for the same arguments before is remembered where that pays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, compile_expression, is_constant
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference, Expression
from airflow_provider_mlfeat.sql.types import DataType, Kind

Picker = Callable[[Sequence[Any]], Sequence[Any]]

_REMEMBERED = 4096
_TRIAL = 512
# Values of these types never become columns: the call that takes them is evaluated together with them.
_INNER = (Kind.ARRAY, Kind.LIST, Kind.MAP, Kind.FEATURE)


class RowExpressions:
    """Expressions of one relation's row.

    :param expressions: the expressions.
    :param width: how many columns the row has.
    :param context: time zone and parameters.
    """

    def __init__(self, expressions: Sequence[Expression], width: int, context: EvaluationContext) -> None:
        self._context = context
        self._width = width
        self._constants: list[Any] = []
        self._steps: list[_Step] = []
        self._places: dict[Expression, int] = {}
        # Constants stand behind the row's values, and results of calls behind these.
        constants = [expression for expression in expressions if is_constant(expression)]
        for number, expression in enumerate(constants):
            self._places.setdefault(expression, width + number)
            self._constants.append(compile_expression(expression, context)((), 1).value(0))
        # A call stands alone where its result is asked for more than once; others go together with what asks for them.
        asked = Counter(_asked_for(expressions))
        self._alone = {call for call, times in asked.items() if times > 1}
        places = [self._place(expression) for expression in expressions]
        self._is_picking = not self._steps and not self._constants
        self._is_identity = self._is_picking and places == list(range(width))
        self._pick: Picker = _picker(places)

    def __call__(self, row: Sequence[Any]) -> Sequence[Any]:
        """The values of the expressions."""
        if self._is_picking:
            return row if self._is_identity else self._pick(row)
        values = [*row, *self._constants]
        for step in self._steps:
            values.append(step(values))
        return self._pick(values)

    def _place(self, expression: Expression) -> int:
        if isinstance(expression, ColumnReference):
            return expression.index
        if expression not in self._places:
            assert isinstance(expression, Call), expression
            leaves: list[tuple[int, DataType]] = []
            call = self._rewrite(expression, leaves)
            self._places[expression] = self._width + len(self._constants) + len(self._steps)
            self._steps.append(_Step(call, leaves, self._context))
        return self._places[expression]

    def _rewrite(self, call: Call, leaves: list[tuple[int, DataType]]) -> Call:
        """The call over columns of its own, which stand for the places in `leaves`."""
        arguments: list[Expression] = []
        for argument in call.arguments:
            if is_constant(argument):
                arguments.append(argument)
            elif isinstance(argument, Call) and (argument.type.kind in _INNER or argument not in self._alone):
                arguments.append(self._rewrite(argument, leaves))
            else:
                leaf = (self._place(argument), argument.type)
                if leaf not in leaves:
                    leaves.append(leaf)
                arguments.append(ColumnReference(leaves.index(leaf), argument.type))
        return replace(call, arguments=tuple(arguments))


def _asked_for(expressions: Sequence[Expression]) -> Iterator[Call]:
    """Every call once per distinct place where its result is used."""
    seen: set[Expression] = set()
    waiting = list(expressions)
    yield from (expression for expression in waiting if isinstance(expression, Call))
    while waiting:
        expression = waiting.pop()
        if isinstance(expression, Call) and expression not in seen:
            seen.add(expression)
            for argument in expression.arguments:
                if isinstance(argument, Call):
                    yield argument
                    waiting.append(argument)


class _Step:
    """One call, evaluated on the places of its arguments."""

    def __init__(self, call: Call, leaves: Sequence[tuple[int, DataType]], context: EvaluationContext) -> None:
        self._evaluate = compile_expression(call, context)
        self._types = [data_type for _, data_type in leaves]
        self._arguments = itemgetter(*(place for place, _ in leaves))
        self._is_single = len(leaves) == 1
        # Zero and minus zero are one key, but not one value.
        self._remembers = not any(data_type.is_floating or data_type.kind in _INNER for data_type in self._types)
        self._known: dict[Any, Any] = {}
        self._misses = 0
        self._calls = 0

    def __call__(self, values: Sequence[Any]) -> Any:
        arguments = self._arguments(values)
        if not self._remembers:
            return self._compute(arguments)
        self._calls += 1
        try:
            return self._known[arguments]
        except KeyError:
            result = self._compute(arguments)
        self._misses += 1
        if self._misses > _TRIAL and 2 * self._misses > self._calls:
            self._remembers = False
            self._known.clear()
        elif len(self._known) < _REMEMBERED:
            self._known[arguments] = result
        return result

    def _compute(self, arguments: Any) -> Any:
        given = (arguments,) if self._is_single else arguments
        columns = [Column.from_values((value,), data_type) for value, data_type in zip(given, self._types, strict=True)]
        return self._evaluate(columns, 1).value(0)


def _picker(places: Sequence[int]) -> Picker:
    """Picks the values at some places as a tuple, however many there are."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)
