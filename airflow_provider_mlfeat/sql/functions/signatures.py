"""Small combinators that make resolvers: which types a function takes, what they become, and what it gives.

A resolver's complaint names the argument and what is accepted; the group that defines the function puts the call's
form in front of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from airflow_provider_mlfeat.sql.functions.registry import Argument, Resolver, Signature, SignatureError
from airflow_provider_mlfeat.sql.types import (
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    FLOATING_KINDS,
    INT,
    INTEGER_KINDS,
    NULL,
    NUMERIC_KINDS,
    STRING,
    STRING_LIST,
    DataType,
    Kind,
    unify,
)

BASE_KINDS = (Kind.BOOL, *NUMERIC_KINDS, Kind.STRING, Kind.DATE, Kind.TIMESTAMP)
ResultRule = DataType | Callable[[tuple[DataType, ...]], DataType]


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of an argument list.

    :param words: what is accepted, as an error message says it.
    :param kinds: the accepted kinds.
    :param untyped: the type that an untyped NULL takes here.
    :param target: the type that the argument is cast to; None leaves it as it is.
    :param constant: whether only constants are accepted.
    """

    words: str
    kinds: tuple[Kind, ...]
    untyped: DataType
    target: DataType | None = None
    constant: bool = False

    def accept(self, argument: Argument, place: str) -> DataType:
        """The type that the implementation gets for `argument`; raises SignatureError."""
        given = argument.type
        if given.kind is Kind.NULL:
            return self.target or self.untyped
        if given.kind not in self.kinds:
            raise SignatureError(f"{place} must be {self.words}, not {given}")
        if self.constant and not argument.is_literal:
            raise SignatureError(f"{place} must be a constant")
        return self.target or given

    def to(self, target: DataType) -> Slot:
        """The same slot, cast to `target`."""
        return replace(self, target=target, untyped=target)


ANY = Slot("a value of a base type", BASE_KINDS, BOOL)
NUMBER = Slot("a number", NUMERIC_KINDS, INT)
NUMBER_OR_BOOL = Slot("a number or bool", (Kind.BOOL, *NUMERIC_KINDS), INT)
INTEGER = Slot("a whole number", INTEGER_KINDS, INT)
CONSTANT_INTEGER = replace(INTEGER, constant=True)
CONDITION = Slot("a bool", (Kind.BOOL,), BOOL)
TEXT = Slot("a string", (Kind.STRING,), STRING)
AS_TEXT = ANY.to(STRING)
DAY = Slot("a date", (Kind.DATE,), DATE)
STRINGS = Slot("a list of strings", (Kind.LIST,), STRING_LIST)


def place_of(position: int, count: int) -> str:
    """How a message names argument number `position` (from 0) of `count`."""
    return "the argument" if count == 1 else f"argument {position + 1}"


def signature(*slots: Slot, result: ResultRule, optional: int = 0, repeated: Slot | None = None) -> Resolver:
    """A resolver for fixed slots, the last `optional` of which may be left out, and any number of `repeated` ones."""

    def resolve(arguments: Sequence[Argument]) -> Signature:
        check_count(len(arguments), len(slots) - optional, None if repeated else len(slots))
        types = []
        for position, argument in enumerate(arguments):
            slot = slots[position] if position < len(slots) else repeated
            assert slot is not None
            types.append(slot.accept(argument, place_of(position, len(arguments))))
        accepted = tuple(types)
        return Signature(accepted, result if isinstance(result, DataType) else result(accepted))

    return resolve


def check_count(count: int, least: int, most: int | None) -> None:
    """Raise SignatureError when `count` arguments are too few or too many."""
    if count >= least and (most is None or count <= most):
        return
    if most is None:
        expected = f"at least {_arguments(least)}"
    else:
        expected = _arguments(most) if least == most else f"{least} to {_arguments(most)}"
    raise SignatureError(f"takes {expected}, not {count}")


def _arguments(count: int) -> str:
    return "no arguments" if count == 0 else f"{count} argument{'s' * (count != 1)}"


def first(types: tuple[DataType, ...]) -> DataType:
    """Result rule: the type of the first argument."""
    return types[0]


def floating(data_type: DataType) -> DataType:
    """Float stays float, any other number computes in double."""
    return FLOAT if data_type.kind is Kind.FLOAT else DOUBLE


def common_type(types: Sequence[DataType]) -> DataType:
    """The type of branches or elements: promotion for numbers, else string; bool where all are untyped NULLs."""
    common = NULL
    for data_type in types:
        if NULL not in (common, data_type) and common != data_type and (common.is_nested or data_type.is_nested):
            raise SignatureError(f"{common} and {data_type} have no common type")
        common = unify(common, data_type)
    return BOOL if common == NULL else common


def comparison_type(left: DataType, right: DataType) -> DataType:
    """The type in which two values are compared; raises SignatureError where they cannot be."""
    if left.is_nested or right.is_nested or not _comparable(left, right):
        raise SignatureError(
            f"{left} cannot be compared with {right}; numbers compare with numbers, strings with anything"
        )
    if left.kind is Kind.NULL or right.kind is Kind.NULL or left == right:
        return common_type((left, right))
    if STRING in (left, right):
        return STRING
    if left.kind in FLOATING_KINDS or right.kind in FLOATING_KINDS:
        # Whole numbers are compared with fractions by value, which 32 bits could not hold.
        return FLOAT if left == right else DOUBLE
    return common_type((left, right))


def _comparable(left: DataType, right: DataType) -> bool:
    if left == right or {Kind.NULL, Kind.STRING} & {left.kind, right.kind}:
        return True
    numbers = NUMBER_OR_BOOL.kinds
    return left.kind in numbers and right.kind in numbers


def constant_at_least(argument: Argument, least: int, place: str) -> None:
    """Raise SignatureError for a constant number that is NULL or below `least`."""
    if argument.value is None or argument.value < least:
        raise SignatureError(f"{place} must be a constant of at least {least}")
