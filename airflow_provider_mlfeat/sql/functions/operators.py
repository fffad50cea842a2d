"""Operators: arithmetic, comparison, logic and pattern matching."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Argument, Form, Resolver, Signature, SignatureError
from airflow_provider_mlfeat.sql.functions.signatures import (
    ANY,
    TEXT,
    check_count,
    comparison_type,
    place_of,
    signature,
)
from airflow_provider_mlfeat.sql.types import BIGINT, BOOL, DOUBLE, INTEGER_KINDS, TIMESTAMP, DataType, Kind, promote

Rule = Callable[[DataType, DataType], tuple[DataType, DataType, DataType]]


def _binary(rule: Rule) -> Resolver:
    """A resolver of two operands; an untyped NULL is a bool, which promotion widens to the other side's type."""

    def resolve(arguments: Sequence[Argument]) -> Signature:
        check_count(len(arguments), 2, 2)
        left, right = (BOOL if argument.type.kind is Kind.NULL else argument.type for argument in arguments)
        to_left, to_right, result = rule(left, right)
        return Signature((to_left, to_right), result)

    return resolve


def _refuse(left: DataType, right: DataType, accepted: str) -> SignatureError:
    return SignatureError(f"the operands must be {accepted}, not {left} and {right}")


def _promoted(left: DataType, right: DataType, accepted: str = "numbers or bools") -> DataType:
    common = promote(left, right)
    if common is None:
        raise _refuse(left, right, accepted)
    return common


def _arithmetic(left: DataType, right: DataType) -> tuple[DataType, DataType, DataType]:
    common = _promoted(left, right)
    return common, common, common


def _is_whole(data_type: DataType) -> bool:
    return data_type.kind in (Kind.BOOL, *INTEGER_KINDS)


def _addition(left: DataType, right: DataType) -> tuple[DataType, DataType, DataType]:
    if left == right == TIMESTAMP:
        return TIMESTAMP, TIMESTAMP, TIMESTAMP
    if left == TIMESTAMP and _is_whole(right):
        return TIMESTAMP, BIGINT, TIMESTAMP
    if right == TIMESTAMP and _is_whole(left):
        return BIGINT, TIMESTAMP, TIMESTAMP
    common = _promoted(left, right, "numbers or bools, or a timestamp and a timestamp, whole number or bool")
    return common, common, common


def _subtraction(left: DataType, right: DataType) -> tuple[DataType, DataType, DataType]:
    if left == TIMESTAMP and _is_whole(right):
        return TIMESTAMP, BIGINT, TIMESTAMP
    common = _promoted(left, right, "numbers or bools, or a timestamp and a whole number or bool")
    return common, common, common


def _division(left: DataType, right: DataType) -> tuple[DataType, DataType, DataType]:
    _promoted(left, right)
    return DOUBLE, DOUBLE, DOUBLE


def _whole_division(left: DataType, right: DataType) -> tuple[DataType, DataType, DataType]:
    if not (_is_whole(left) and _is_whole(right)):
        raise _refuse(left, right, "whole numbers or bools")
    return _arithmetic(left, right)


def _compared(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 2, 2)
    common = comparison_type(*(argument.type for argument in arguments))
    return Signature((common, common), BOOL)


def _bits(arguments: Sequence[Argument]) -> Signature:
    """Whole numbers only; bool is refused, but an untyped NULL is not."""
    for position, argument in enumerate(arguments):
        if argument.type.kind not in (Kind.NULL, *INTEGER_KINDS):
            place = place_of(position, len(arguments)).replace("argument", "operand")
            raise SignatureError(f"{place} must be a whole number, not {argument.type}")
    common = BOOL
    for argument in arguments:
        common = _promoted(common, BOOL if argument.type.kind is Kind.NULL else argument.type)
    return Signature((common,) * len(arguments), common)


def _negation(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 1, 1)
    kind = arguments[0].type
    operand = BOOL if kind.kind is Kind.NULL else kind
    if promote(operand, operand) is None:
        raise SignatureError(f"the operand must be a number or bool, not {kind}")
    return Signature((operand,), operand)


def _membership(arguments: Sequence[Argument]) -> Signature:
    """One type for the value and all items: strings as soon as one is a string."""
    check_count(len(arguments), 2, None)
    value = arguments[0].type
    common = comparison_type(value, arguments[1].type)
    for item in arguments[1:]:
        common = comparison_type(common, comparison_type(value, item.type))
    return Signature((common,) * len(arguments), BOOL)


def pattern_function(arguments: Sequence[Argument]) -> Signature:
    """Text, pattern and perhaps an escape; one of several characters matches nothing."""
    resolved = signature(TEXT, TEXT, TEXT, result=BOOL, optional=1)(arguments)
    for argument, what in zip(arguments[1:], ("pattern", "escape"), strict=False):
        if argument.type.kind is Kind.NULL:
            raise SignatureError(f"the {what} must be a string, not an untyped NULL")
    return resolved


def pattern_match(arguments: Sequence[Argument]) -> Signature:
    """The operator's operands: its escape is one character or empty."""
    resolved = pattern_function(arguments)
    escape = arguments[2] if len(arguments) == 3 else None
    if escape is not None and escape.is_literal and escape.value is not None and len(escape.value) > 1:
        raise SignatureError("the escape must be one character or empty")
    return resolved


ARITHMETIC = Group("Arithmetic operators", "arithmetic")
ARITHMETIC.scalar(
    "add", "a + b", _binary(_addition), "Sum, also written add(a, b); a timestamp plus milliseconds is a timestamp."
)
ARITHMETIC.scalar(
    "subtract", "a - b", _binary(_subtraction), "Difference; a timestamp minus milliseconds is a timestamp."
)
ARITHMETIC.scalar("multiply", "a * b", _binary(_arithmetic), "Product; whole numbers wrap at their width.")
ARITHMETIC.scalar("divide", "a / b", _binary(_division), "Quotient as a double; NULL when b is 0.")
ARITHMETIC.scalar(
    "int_divide", "a DIV b", _binary(_whole_division), "Quotient truncated toward zero; NULL when b is 0."
)
ARITHMETIC.scalar("modulo", "a % b", _binary(_arithmetic), "Remainder with the sign of a; NULL when b is 0.")
ARITHMETIC.scalar("negate", "-a", _negation, "The number with its sign changed.")


def _bitwise(operands: int) -> Resolver:
    def resolve(arguments: Sequence[Argument]) -> Signature:
        check_count(len(arguments), operands, operands)
        return _bits(arguments)

    return resolve


ARITHMETIC.scalar("bit_and", "a & b", _bitwise(2), "Bitwise and.")
ARITHMETIC.scalar("bit_or", "a | b", _bitwise(2), "Bitwise or.")
ARITHMETIC.scalar("bit_xor", "a ^ b", _bitwise(2), "Bitwise exclusive or.")
ARITHMETIC.scalar("bit_not", "~a", _bitwise(1), "Bitwise not.")

COMPARISON = Group("Comparison operators", "comparison")
for _name, _symbol, _words in (
    (
        "equal",
        "=",
        "Whether both are equal (also ==); numbers compare with numbers, strings with anything, else types are equal.",
    ),
    ("not_equal", "<>", "Whether both differ (also written !=)."),
    ("less", "<", "Whether a comes before b."),
    ("less_equal", "<=", "Whether a does not come after b."),
    ("greater", ">", "Whether a comes after b."),
    ("greater_equal", ">=", "Whether a does not come before b."),
):
    COMPARISON.scalar(_name, f"a {_symbol} b", _compared, _words, form=Form.COLUMN)
COMPARISON.scalar(
    "in",
    "x IN (a, …)",
    _membership,
    "Whether x equals an item; NULL when none does and an item is NULL.",
    form=Form.COLUMN,
    own_nulls=True,
)

LOGIC = Group("Logical operators", "logic")
_OPERANDS = signature(ANY, ANY, repeated=ANY, result=BOOL)
LOGIC.scalar(
    "and",
    "a AND b",
    _OPERANDS,
    "False when one side is false, else NULL when one is NULL.",
    form=Form.COLUMN,
    own_nulls=True,
)
LOGIC.scalar(
    "or",
    "a OR b",
    _OPERANDS,
    "True when one side is true, else NULL when one is NULL.",
    form=Form.COLUMN,
    own_nulls=True,
)
LOGIC.scalar("xor", "a XOR b", signature(ANY, ANY, result=BOOL), "Whether exactly one side is true.", form=Form.COLUMN)
LOGIC.scalar("not", "NOT a", signature(ANY, result=BOOL), "True becomes false and false true.", form=Form.COLUMN)

PATTERNS = Group("Pattern operators", "patterns")
PATTERNS.scalar(
    "like",
    "s LIKE p [ESCAPE e]",
    pattern_match,
    "Whether the whole string matches: % is any run of characters, _ is one.",
    form=Form.VALUE,
)
PATTERNS.scalar("ilike", "s ILIKE p [ESCAPE e]", pattern_match, "LIKE without regard to case.", form=Form.VALUE)
PATTERNS.scalar(
    "rlike",
    "s RLIKE p",
    signature(TEXT, TEXT, result=BOOL),
    "Whether the whole string matches a POSIX regular expression; NULL for a bad one.",
    form=Form.COLUMN,
    implementation="regexp_like",
)
PATTERNS.scalar(
    "like_match",
    "like_match(s, p[, escape])",
    pattern_function,
    "The function form of LIKE.",
    form=Form.VALUE,
    implementation="like",
)
PATTERNS.scalar(
    "ilike_match",
    "ilike_match(s, p[, escape])",
    pattern_function,
    "The function form of ILIKE.",
    form=Form.VALUE,
    implementation="ilike",
)
PATTERNS.scalar(
    "regexp_like",
    "regexp_like(s, p[, flags])",
    signature(TEXT, TEXT, TEXT, optional=1, result=BOOL),
    "RLIKE with flags: c case matters, i it does not, m ^ and $ match at lines, s a dot matches a line end, e nothing.",
    form=Form.COLUMN,
)
