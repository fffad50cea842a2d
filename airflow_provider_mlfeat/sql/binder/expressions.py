"""Scalar expressions: every node gets a type, every operator becomes a call of the function catalogue."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from airflow_provider_mlfeat.sql.binder import calls
from airflow_provider_mlfeat.sql.binder.scope import Scope
from airflow_provider_mlfeat.sql.binder.session import Session
from airflow_provider_mlfeat.sql.dialect.nodes import IntervalLiteral, Over, TypedArray, TypedNumber
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlError, SqlNameError, SqlTypeError, SqlUnsupportedError, nearest_name
from airflow_provider_mlfeat.sql.functions.registry import AggregateFunction
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference, Expression, Literal, Parameter
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    INT,
    NULL,
    STRING,
    DataType,
    Kind,
    array_of,
    parse_type,
)

_OPERATORS: dict[type[exp.Expr], str] = {
    exp.Or: "or",
    exp.And: "and",
    exp.Xor: "xor",
    exp.Not: "not",
    exp.EQ: "equal",
    exp.NEQ: "not_equal",
    exp.LT: "less",
    exp.LTE: "less_equal",
    exp.GT: "greater",
    exp.GTE: "greater_equal",
    exp.BitwiseOr: "bit_or",
    exp.BitwiseXor: "bit_xor",
    exp.BitwiseAnd: "bit_and",
    exp.BitwiseNot: "bit_not",
    exp.Add: "add",
    exp.Sub: "subtract",
    exp.Mul: "multiply",
    exp.Div: "divide",
    exp.IntDiv: "int_divide",
    exp.Mod: "modulo",
    exp.Like: "like",
    exp.ILike: "ilike",
    exp.RegexpLike: "rlike",
    exp.Bracket: "subscript",
}
_MAXIMUM_INT, _MAXIMUM_BIGINT = 2**31 - 1, 2**63 - 1


class ExpressionBinder:
    """Binds expressions over the columns of one relation; aggregates are refused.

    :param session: what holds for the whole query.
    :param scope: the columns in sight.
    :param clause: where the expressions stand, for error messages.
    """

    def __init__(self, session: Session, scope: Scope, clause: str) -> None:
        self.session = session
        self.scope = scope
        self.clause = clause
        self._handlers: dict[type[exp.Expr], Callable[..., Expression]] = {
            exp.Paren: lambda node: self.bind(node.this),
            exp.Column: self.column,
            exp.Literal: lambda node: Literal(node.this, STRING),
            exp.Boolean: lambda node: Literal(bool(node.this), BOOL),
            exp.Null: lambda node: Literal(None, NULL),
            TypedNumber: lambda node: self._number(node, 1),
            exp.Neg: self._negate,
            exp.Placeholder: self._parameter,
            exp.Is: lambda node: self._call("is_null", [self.bind(node.this)], node),
            exp.Between: self._between,
            exp.In: self._in,
            exp.Escape: self._escape,
            exp.Case: self._case,
            exp.Cast: self._cast,
            TypedArray: self._array,
            exp.Anonymous: self.function,
            Over: self.over,
            IntervalLiteral: self._interval,
        }

    def bind(self, node: exp.Expr) -> Expression:
        """The typed expression of a syntax node."""
        handler = self._handlers.get(type(node))
        if handler is not None:
            return handler(node)
        return self._call(_OPERATORS[type(node)], [self.bind(operand) for operand in _operands(node)], node)

    def condition(self, node: exp.Expr) -> Expression:
        """A condition: a bool, or anything that has a truth value."""
        bound = self.bind(node)
        if bound.type == BOOL:
            return bound
        return self._call("and", [bound, Literal(True, BOOL)], node)

    # ── what other binders do differently ───────────────────────────────────────────────────────────────────────────

    def column(self, node: exp.Column) -> Expression:
        """A column."""
        if isinstance(node.this, exp.Star):
            raise SqlUnsupportedError("'*' cannot stand inside an expression", position_of(node))
        return self.reference(self.scope.resolve(node).index, node)

    def reference(self, number: int, node: exp.Expr) -> Expression:
        """Column `number` of the scope."""
        return ColumnReference(number, self.scope.fields[number].type)

    def over(self, node: Over) -> Expression:
        """An expression with OVER."""
        raise SqlUnsupportedError(f"OVER cannot stand in {self.clause}", position_of(node))

    def aggregate(self, node: exp.Anonymous, function: AggregateFunction) -> Expression:
        """A call of an aggregate function."""
        message = f"aggregate function '{node.name}' cannot stand in {self.clause}"
        raise SqlUnsupportedError(message, position_of(node))

    def prefers_aggregate(self, node: exp.Anonymous) -> bool:
        """Whether a name that is a scalar and an aggregate function means the aggregate here."""
        return False

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def function(self, node: exp.Anonymous) -> Expression:
        """A call by name."""
        name = node.name.lower()
        aggregate = self.session.functions.aggregates.get(name)
        if aggregate is not None and (name not in self.session.functions.scalars or self.prefers_aggregate(node)):
            return self.aggregate(node, aggregate)
        if name not in self.session.functions.scalars:
            suggestion = nearest_name(name, self.session.functions.names())
            raise SqlNameError(f"unknown function '{node.name}'", position_of(node), suggestion)
        for argument in node.expressions:
            if isinstance(argument, exp.Star):
                raise SqlTypeError(f"'*' is no argument of '{node.name}'", position_of(argument))
        return self._call(name, [self.bind(argument) for argument in node.expressions], node)

    def _call(self, name: str, arguments: list[Expression], node: exp.Expr) -> Expression:
        return calls.call(self.session.functions, name, arguments, position_of(node))

    # ── literals and parameters ─────────────────────────────────────────────────────────────────────────────────────

    def _number(self, node: TypedNumber, sign: int) -> Expression:
        value, type_ = sign * node.this, parse_type(node.args["kind"])
        if type_ == BIGINT and value == -_MAXIMUM_INT - 1 and not node.args["text"].lower().endswith("l"):
            type_ = INT
        if type_.is_integer and not -_MAXIMUM_BIGINT - 1 <= value <= _MAXIMUM_BIGINT:
            raise SqlTypeError(f"number {node.args['text']} does not fit into bigint", position_of(node))
        return Literal(value, type_)

    def _negate(self, node: exp.Neg) -> Expression:
        if isinstance(node.this, TypedNumber):
            return self._number(node.this, -1)
        return self._call("negate", [self.bind(node.this)], node)

    def _parameter(self, node: exp.Placeholder) -> Expression:
        index, types = int(node.name), self.session.parameters
        self.session.refuse_in_request("a '?' parameter", node)
        if index >= len(types):
            given = f"{len(types)} parameter type{'s are' if len(types) != 1 else ' is'} given"
            raise SqlError(f"parameter {index + 1} has no type: {given}", position_of(node))
        return Parameter(index, types[index])

    def _interval(self, node: IntervalLiteral) -> Expression:
        raise SqlTypeError(
            f"interval {node.this}{node.args['unit']} is no value: intervals stand in window frames and options only",
            position_of(node),
        )

    # ── composed expressions ────────────────────────────────────────────────────────────────────────────────────────

    def _between(self, node: exp.Between) -> Expression:
        value = self.bind(node.this)
        low = self._call("greater_equal", [value, self.bind(node.args["low"])], node)
        high = self._call("less_equal", [value, self.bind(node.args["high"])], node)
        return self._call("and", [low, high], node)

    def _in(self, node: exp.In) -> Expression:
        return self._call("in", [self.bind(node.this), *map(self.bind, node.expressions)], node)

    def _escape(self, node: exp.Escape) -> Expression:
        pattern = node.this
        operands = [self.bind(pattern.this), self.bind(pattern.expression), self.bind(node.expression)]
        return self._call(_OPERATORS[type(pattern)], operands, node)

    def _case(self, node: exp.Case) -> Expression:
        subject = self.bind(node.this) if node.this is not None else None
        arguments: list[Expression] = []
        for branch in node.args["ifs"]:
            when = self.bind(branch.this)
            if subject is not None:
                when = self._call("equal", [subject, when], branch)
            arguments += [when, self.bind(branch.args["true"])]
        default = node.args.get("default")
        arguments.append(self.bind(default) if default is not None else Literal(None, NULL))
        return self._call("case", arguments, node)

    def _cast(self, node: exp.Cast) -> Expression:
        target = parse_type(node.args["to"].args["kind"])
        return calls.cast(self.bind(node.this), target, position_of(node))

    def _array(self, node: TypedArray) -> Expression:
        items = [self.bind(item) for item in node.expressions]
        if node.args["element"] is None:
            return self._call("array", items, node)
        element = parse_type(node.args["element"])
        return Call("array", tuple(self._item(item, element, node) for item in items), array_of(element))

    def _item(self, item: Expression, element: DataType, node: exp.Expr) -> Expression:
        if item.type in (element, NULL) or (item.type.is_numeric and element.is_numeric):
            return calls.coerce(item, element)
        raise SqlTypeError(f"{item.type} is no element of array<{element}>", position_of(node))


def _operands(node: exp.Expr) -> list[exp.Expr]:
    """The operands of an operator; a chain of ANDs or ORs is one operator with many."""
    if isinstance(node, exp.Bracket):
        return [node.this, *node.expressions]
    if isinstance(node, exp.And | exp.Or):
        return terms(node, type(node))
    return list(node.iter_expressions())


def terms(node: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    """The terms that a chain of operators of one kind joins, parentheses in the chain left out."""
    found: list[exp.Expr] = []
    waiting = [node]
    while waiting:
        term = waiting.pop()
        inner = term.unnest() if isinstance(term, exp.Paren) else term
        if isinstance(inner, kind):
            waiting += [inner.expression, inner.this]
        else:
            found.append(term)
    return found


def is_list(type_: DataType) -> bool:
    """Whether values of the type are lists or arrays."""
    return type_.kind in (Kind.LIST, Kind.ARRAY)
