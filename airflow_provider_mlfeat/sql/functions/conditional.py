"""Functions that choose between values, and those about NULL."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Argument, Form, Resolver, Signature, SignatureError
from airflow_provider_mlfeat.sql.functions.signatures import (
    ANY,
    check_count,
    common_type,
    place_of,
)
from airflow_provider_mlfeat.sql.types import BOOL, NUMERIC_KINDS, DataType, Kind

_ORDERED_KINDS = (*NUMERIC_KINDS, Kind.STRING, Kind.DATE, Kind.TIMESTAMP)


def _typed(data_type: DataType) -> DataType:
    return BOOL if data_type.kind is Kind.NULL else data_type


def _anything(result: DataType | None) -> Resolver:
    """One argument of any type, lists included."""

    def resolve(arguments: Sequence[Argument]) -> Signature:
        check_count(len(arguments), 1, 1)
        given = _typed(arguments[0].type)
        return Signature((given,), result or given)

    return resolve


def _case(arguments: Sequence[Argument]) -> Signature:
    """Conditions at the even places, values at the odd ones and at the end."""
    check_count(len(arguments), 3, None)
    if len(arguments) % 2 == 0:
        raise SignatureError("takes pairs of a condition and a value, and a default")
    types = [argument.type for argument in arguments]
    value_places = {*range(1, len(types) - 1, 2), len(types) - 1}
    common = common_type([types[place] for place in sorted(value_places)])
    resolved = tuple(
        common if place in value_places else ANY.accept(argument, "a condition")
        for place, argument in enumerate(arguments)
    )
    return Signature(resolved, common)


def _default(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 2, 2)
    common = common_type([argument.type for argument in arguments])
    return Signature((common, common), common)


def _choice(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 3, 3)
    common = common_type([argument.type for argument in arguments[1:]])
    return Signature((_typed(arguments[0].type), common, common), common)


def _extreme(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 2, 2)
    left, right = (argument.type for argument in arguments)
    for place, argument in enumerate(arguments):
        if argument.type.kind not in (Kind.NULL, *_ORDERED_KINDS):
            raise SignatureError(
                f"{place_of(place, 2)} must be a number, string, date or timestamp, not {argument.type}"
            )
    if left != right and Kind.NULL not in (left.kind, right.kind) and not (left.is_numeric and right.is_numeric):
        raise SignatureError(f"the arguments must be of one type, not {left} and {right}")
    common = common_type((left, right))
    return Signature((common, common), common)


CONDITIONAL = Group("Choices and NULL", "conditional")
CONDITIONAL.scalar(
    "case",
    "CASE WHEN c THEN v … ELSE d END",
    _case,
    "The value of the first true condition, else d; a NULL condition counts as false.",
    form=Form.COLUMN,
    own_nulls=True,
)
CONDITIONAL.scalar(
    "is_null",
    "is_null(x)",
    _anything(BOOL),
    "Whether x is NULL (also written x IS NULL).",
    form=Form.COLUMN,
    own_nulls=True,
    aliases=("isnull",),
)
CONDITIONAL.scalar(
    "if_null",
    "if_null(x, d)",
    _default,
    "x, or d where x is NULL.",
    form=Form.COLUMN,
    own_nulls=True,
    aliases=("ifnull", "nvl"),
)
CONDITIONAL.scalar("nvl2", "nvl2(x, a, b)", _choice, "a where x is not NULL, else b.", form=Form.COLUMN, own_nulls=True)
CONDITIONAL.scalar("identity", "identity(x)", _anything(None), "x itself.", form=Form.COLUMN, own_nulls=True)
CONDITIONAL.scalar("minimum", "minimum(a, b)", _extreme, "The smaller one.", form=Form.COLUMN)
CONDITIONAL.scalar("maximum", "maximum(a, b)", _extreme, "The larger one.", form=Form.COLUMN)
