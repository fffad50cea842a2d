"""Function calls and casts: signatures from the catalogue, casts where an argument's type differs."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_mlfeat.sql.errors import Position, SqlNameError, SqlTypeError, nearest_name
from airflow_provider_mlfeat.sql.functions.casts import check_cast
from airflow_provider_mlfeat.sql.functions.registry import (
    AggregateFunction,
    Argument,
    Catalogue,
    ScalarFunction,
    SignatureError,
)
from airflow_provider_mlfeat.sql.plan import Call, Expression, Literal
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    TYPE_NAMES,
    DataType,
)

_BITS = {SMALLINT: 16, INT: 32, BIGINT: 64}
_EXACT_UP_TO = {FLOAT: 2**24, DOUBLE: 2**53}


def resolve(
    function: ScalarFunction | AggregateFunction, arguments: Sequence[Expression], position: Position | None
) -> tuple[tuple[Expression, ...], DataType]:
    """The arguments as the function takes them, and the call's type."""
    seen = [Argument(a.type, True, a.value) if isinstance(a, Literal) else Argument(a.type) for a in arguments]
    try:
        signature = function.resolve(seen)
    except SignatureError as error:
        raise SqlTypeError(str(error), position) from None
    taken = tuple(coerce(argument, type_) for argument, type_ in zip(arguments, signature.arguments, strict=True))
    return taken, signature.result


def call(functions: Catalogue, name: str, arguments: Sequence[Expression], position: Position | None) -> Expression:
    """A call of scalar function `name`; a type's name is a cast."""
    function = functions.scalars.get(name.lower())
    if function is None:
        raise SqlNameError(f"unknown function '{name}'", position, nearest_name(name, functions.names()))
    taken, result = resolve(function, arguments, position)
    if function.name in TYPE_NAMES:
        return coerce(arguments[0], result)
    return Call(function.name, taken, result)


def cast(value: Expression, target: DataType, position: Position | None) -> Expression:
    """``CAST(value AS target)``."""
    try:
        check_cast(value.type, target)
    except SignatureError as error:
        raise SqlTypeError(str(error), position) from None
    return coerce(value, target)


def coerce(value: Expression, target: DataType) -> Expression:
    """`value` with type `target`: itself, a constant of that type, or a cast."""
    if value.type == target:
        return value
    constant = _constant(value, target) if isinstance(value, Literal) else None
    return constant or Call("cast", (value,), target)


def _constant(literal: Literal, target: DataType) -> Literal | None:
    """NULL and whole numbers as constants of another type, where that changes nothing about the value."""
    value = literal.value
    if value is None:
        return Literal(None, target)
    if not literal.type.is_integer or not isinstance(value, int):
        return None
    if target in _EXACT_UP_TO and abs(value) <= _EXACT_UP_TO[target]:
        return Literal(float(value), target)
    if target in _BITS and -(1 << (_BITS[target] - 1)) <= value < 1 << (_BITS[target] - 1):
        return Literal(value, target)
    if target == TIMESTAMP and value >= 0:
        return Literal(value, target)
    return Literal(str(value), target) if target == STRING else None
