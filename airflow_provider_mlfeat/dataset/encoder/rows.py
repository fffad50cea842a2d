"""Fields over one row of Python values, compiled once into a function each."""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import xxhash

from airflow_provider_mlfeat.dataset.encoder import canonical
from airflow_provider_mlfeat.dataset.encoder.columns import element, logarithm, part_of_day
from airflow_provider_mlfeat.dataset.encoder.fields import PARTS, Field
from airflow_provider_mlfeat.dataset.encoder.hashing import NULL_BYTES
from airflow_provider_mlfeat.dataset.encoder.vocabulary import FIRST, NULL, Vocabulary

_EPOCH = datetime.date(1970, 1, 1)
_MILLISECONDS = 86_400_000

Write = Callable[[Any], "bytes | None"]


def id_function(field: Field, seed: int, vocabulary: Vocabulary | None) -> Callable[[Any], int]:
    """A function that gives the id of one value."""
    if field.kind == "bucket":
        return _bucket(field)
    if field.kind == "part":
        return _part(field)
    digest = xxhash.xxh64_intdigest
    if vocabulary is None:
        rows = field.rows
        find: Callable[[int], int] = lambda key: FIRST + key % rows  # noqa: E731 - one of two
    else:
        find = vocabulary.finder()
    if field.type == "string" and field.position is None:
        # Most fields are such, so they take the shortest way; anything unusual is looked at in full.
        slow = canonical.value_writer("string", field.column)

        def string_id(value: Any) -> int:
            if value is None:
                return NULL
            content = value.encode() if type(value) is str else slow(value)
            return find(digest(slow(value) if b"\x00" in content else content, seed))

        return string_id
    write = text_function(field)

    def identify(value: Any) -> int:
        content = None if value is None else write(value)
        return NULL if content is None else find(digest(content, seed))

    return identify


def key_function(field: Field, seed: int, vocabulary: Vocabulary | None) -> Callable[[Any], int]:
    """A function that gives the 64-bit key of one value; for fields without keys, the id."""
    if not field.has_keys:
        return id_function(field, seed, vocabulary)
    write = text_function(field)

    def key(value: Any) -> int:
        content = None if value is None else write(value)
        unsigned: int = xxhash.xxh64_intdigest(NULL_BYTES if content is None else content, seed)
        return unsigned - (1 << 64) if unsigned >> 63 else unsigned

    return key


def value_function(field: Field) -> Callable[[Any], Any]:
    """A function that gives the number of one value for the values matrix."""
    number, center, scale = _number(field), field.center, field.scale
    missing = float("nan") if field.missing == "nan" else 0.0
    is_log = field.transform == "log"

    def convert(value: Any) -> Any:
        found = None if value is None else number(value)
        if found is None:
            return missing
        if is_log:
            found = float(logarithm(np.array([found]))[0])
        return (found - center) / scale

    return convert


def text_function(field: Field) -> Write:
    """A function that gives the canonical bytes of one value of a field; None where its element is NULL."""
    write = canonical.value_writer(field.type, field.column)
    if field.position is not None:
        take = element(field)

        def write_element(value: Any) -> bytes | None:
            found = take(write(value).decode())
            return None if found is None else found.encode()

        return write_element
    if field.non_finite == "null" and field.type in ("float32", "float64"):
        return lambda value: None if _is_not_finite(value) else write(value)
    return write


def _bucket(field: Field) -> Callable[[Any], int]:
    number, boundaries = _number(field), list(field.boundaries)

    def find(value: Any) -> int:
        found = None if value is None else number(value)
        return NULL if found is None else FIRST + bisect_right(boundaries, found)

    return find


def _part(field: Field) -> Callable[[Any], int]:
    column, part, smallest, ahead = field.column, field.part, PARTS[field.part][1], field.zone_milliseconds

    def local(value: Any) -> int:
        if field.type == "timestamp":
            return canonical.as_milliseconds(value, column) + ahead
        return _days(value, column) * _MILLISECONDS

    def find(value: Any) -> int:
        if value is None:
            return NULL
        moment = local(value)
        if part in ("hour", "weekday"):
            return FIRST + int(part_of_day(part, moment))
        date = _EPOCH + datetime.timedelta(days=moment // _MILLISECONDS)
        return FIRST - smallest + (date.month if part == "month" else date.day)

    return find


def _number(field: Field) -> Callable[[Any], float | None]:
    """A function that gives a value as the float that columns compute with; None where it counts as NULL."""
    column, kind = field.column, field.type
    if kind == "int":
        return lambda value: float(canonical.as_integer(value, column))
    if kind == "timestamp":
        return lambda value: float(canonical.as_milliseconds(value, column))
    if kind == "date":
        return lambda value: float(_days(value, column))
    if kind == "bool":
        write = canonical.value_writer(kind, column)
        return lambda value: float(write(value) == b"1")
    if kind.startswith("decimal("):
        write = canonical.value_writer(kind, column)
        return lambda value: float(Decimal(write(value).decode()))
    forgiving, single = field.non_finite == "null", kind == "float32"

    def real(value: Any) -> float | None:
        if forgiving and _is_not_finite(value):
            return None
        found = canonical.as_float(value, column)
        return float(np.float32(found)) if single else found

    return real


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(value - value != 0)


def _days(value: Any, column: str) -> int:
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise canonical.wrong_type(column, "date", value)
    return (value - _EPOCH).days
