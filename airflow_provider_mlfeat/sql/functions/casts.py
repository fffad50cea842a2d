"""CAST and the conversion functions, which are the same operation."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Argument, Form, Resolver, Signature, SignatureError
from airflow_provider_mlfeat.sql.functions.signatures import check_count
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    DataType,
    Kind,
)

# What a date, a timestamp or a number may become is said here; strings become anything and anything becomes a string.
_NUMBERS = {BOOL, SMALLINT, INT, BIGINT, FLOAT, DOUBLE}
_BASE = {*_NUMBERS, STRING, DATE, TIMESTAMP}


def can_cast(source: DataType, target: DataType) -> bool:
    """Whether ``CAST`` from `source` to `target` exists."""
    if source == target or source.kind is Kind.NULL:
        return True
    if source.is_nested or target.is_nested:
        return (
            source.kind == target.kind
            and source.kind is not Kind.FEATURE
            and all(map(can_cast, source.parameters, target.parameters))
        )
    if source in _NUMBERS and target == DATE:
        return False
    return target in _BASE


def check_cast(source: DataType, target: DataType) -> None:
    """Raise SignatureError unless ``CAST`` from `source` to `target` exists."""
    if not can_cast(source, target):
        raise SignatureError(f"{source} cannot be cast to {target}")


def _conversion(target: DataType) -> Resolver:
    def resolve(arguments: Sequence[Argument]) -> Signature:
        check_count(len(arguments), 1, 1)
        source = arguments[0].type
        check_cast(source, target)
        return Signature((target if source.kind is Kind.NULL else source,), target)

    return resolve


CASTS = Group("Conversions", "casts")

_CONVERSIONS = (
    (BOOL, (), "True for a number that is not 0 and for the words y, yes, t, true, 1."),
    (SMALLINT, ("int16",), "A whole number of 16 bits; wider numbers wrap."),
    (INT, ("int32",), "A whole number of 32 bits; wider numbers wrap."),
    (BIGINT, ("int64",), "A whole number of 64 bits."),
    (FLOAT, (), "A number of 32 bits with a fraction."),
    (DOUBLE, (), "A number of 64 bits with a fraction."),
    (STRING, ("varchar",), "Text: numbers with a fraction have six significant digits, times are local."),
    (TIMESTAMP, (), "A point in time from milliseconds, from a date (local midnight) or from text."),
    (DATE, (), "A local date from a timestamp or from text."),
)
for _target, _aliases, _doc in _CONVERSIONS:
    CASTS.scalar(
        str(_target),
        f"{_target}(x)",
        _conversion(_target),
        _doc,
        form=Form.COLUMN,
        implementation="cast",
        aliases=_aliases,
    )


def _cast(arguments: Sequence[Argument]) -> Signature:
    """The plan's ``cast`` takes its target from the call; the binder asks ``check_cast``."""
    check_count(len(arguments), 1, 1)
    return Signature((arguments[0].type,), arguments[0].type)


CASTS.scalar("cast", "CAST(x AS type)", _cast, "The value as another type; NULL where it has none.", form=Form.COLUMN)
