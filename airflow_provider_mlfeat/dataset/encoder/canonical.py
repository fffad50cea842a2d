"""The one text of a value, by its type: what is hashed, whoever asks.

=================  ==============================================================================================
NULL               one zero byte; a string that contains one is refused
string             its UTF-8 bytes as they are
bool, int          ``0`` or ``1``; decimal digits
float32, float64   the shortest decimal that reads back *in that width*, positional, with a digit after the point;
                   -0.0 is 0.0
timestamp          milliseconds since 1970 in UTC, rounded down, as decimal digits
date               ``2026-01-31``
decimal            as many digits after the point as the column's type has
=================  ==============================================================================================

Nothing of it depends on the versions of numpy or Arrow, on a locale, or on the language that prints.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.dataset.encoder.hashing import has_zero_bytes
from airflow_provider_mlfeat.errors import UserError

TYPES = ("string", "bool", "int", "float32", "float64", "timestamp", "date")
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - a moment without zone is in UTC
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)
_PER_MILLISECOND = {"us": 1_000, "ns": 1_000_000}


def type_name(arrow: pa.DataType) -> str:
    """The logical type of a column; raises ValueError for one that has no canonical text."""
    if pa.types.is_dictionary(arrow):
        return type_name(arrow.value_type)
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return "string"
    if pa.types.is_boolean(arrow):
        return "bool"
    if pa.types.is_integer(arrow):
        return "int"
    if pa.types.is_float32(arrow):
        return "float32"
    if pa.types.is_float64(arrow):
        return "float64"
    if pa.types.is_timestamp(arrow):
        return "timestamp"
    if pa.types.is_date(arrow):
        return "date"
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    raise ValueError(f"type {arrow} has no canonical text")


def is_known_type(name: str) -> bool:
    """Whether `name` is what `type_name` may give."""
    return name in TYPES or name.startswith("decimal(")


# ── columns ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def texts(values: pa.Array, column: str) -> pa.Array:
    """The canonical text of each value as a string array; NULLs stay NULL.

    :param values: of a type that `type_name` knows, not dictionary encoded.
    :param column: its name, for messages.
    """
    kind = type_name(values.type)
    if kind == "string":
        strings = values if not pa.types.is_string_view(values.type) else values.cast(pa.large_string())
        if has_zero_bytes(strings):
            raise UserError(f"column '{column}': a string contains the character U+0000; it stands for NULL, remove it")
        return strings
    if kind in ("float32", "float64"):
        return _float_texts(values, column)
    if kind == "timestamp":
        return milliseconds(values).cast(pa.string())
    if kind == "bool":
        return values.cast(pa.int8()).cast(pa.string())
    return values.cast(pa.date32()).cast(pa.string()) if kind == "date" else values.cast(pa.string())


def milliseconds(values: pa.Array) -> pa.Array:
    """Timestamps as int64 milliseconds since 1970 in UTC, rounded down; a timestamp without zone is in UTC."""
    unit = values.type.unit
    numbers = values.cast(pa.int64())
    if unit == "s":
        return pc.multiply_checked(numbers, 1000)
    if unit == "ms":
        return numbers
    # Arrow divides towards zero, which is up before 1970.
    per = _PER_MILLISECOND[unit]
    lower = pc.if_else(pc.less(numbers, 0), pc.subtract(numbers, per - 1), numbers)
    return pc.divide(lower, per)


def _float_texts(values: pa.Array, column: str) -> pa.Array:
    finite = pc.is_finite(values)
    if pc.all(finite).as_py() is False:
        raise not_finite(column)
    # Arrow writes the same shortest digits as numpy, without '.0', and with an exponent where numbers are long.
    strings = pc.add(values, pa.scalar(0.0, values.type)).cast(pa.string())
    whole = pc.invert(pc.match_substring_regex(strings, "[.eE]"))
    strings = pc.if_else(whole, pc.binary_join_element_wise(strings, ".0", ""), strings)
    exponents = pc.match_substring_regex(strings, "[eE]")
    if pc.any(exponents).as_py():
        places = np.flatnonzero(np.asarray(exponents.fill_null(False)))
        numbers = np.asarray(values.take(pa.array(places)))
        long = pa.array([positional(number) for number in numbers], pa.string())
        strings = pc.replace_with_mask(strings, exponents.fill_null(False), long)
    return strings


def positional(value: Any) -> str:
    """The shortest positional decimal of a numpy float, with at least one digit after the point."""
    return np.format_float_positional(value, unique=True, trim="0")


def not_finite(column: str) -> UserError:
    """The error for NaN or infinity in a column."""
    return UserError(
        f"column '{column}' holds NaN or infinity, which have no canonical text: "
        "mend the query, or give the field non_finite='null'"
    )


# ── single values ───────────────────────────────────────────────────────────────────────────────────────────────────


def value_writer(kind: str, column: str) -> Callable[[Any], bytes]:
    """A function that gives the canonical bytes of one value that is not None.

    :param kind: the column's logical type.
    :param column: its name, for messages.
    """

    def string(value: Any) -> bytes:
        if type(value) is not str:
            raise wrong_type(column, kind, value)
        content = value.encode()
        if b"\x00" in content:
            raise UserError(f"column '{column}': a string contains the character U+0000; it stands for NULL, remove it")
        return content

    def integer(value: Any) -> bytes:
        return b"%d" % as_integer(value, column)

    def double(value: Any) -> bytes:
        number = as_float(value, column)
        text = repr(number) if number else "0.0"
        return text.encode() if "e" not in text else positional(np.float64(number)).encode()

    def single(value: Any) -> bytes:
        number = np.float32(as_float(value, column))
        text = str(number) if number else "0.0"
        return text.encode() if "e" not in text else positional(number).encode()

    def boolean(value: Any) -> bytes:
        if not isinstance(value, bool | np.bool_):
            raise wrong_type(column, kind, value)
        return b"1" if value else b"0"

    def timestamp(value: Any) -> bytes:
        return b"%d" % as_milliseconds(value, column)

    def date(value: Any) -> bytes:
        if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
            raise wrong_type(column, kind, value)
        return value.isoformat().encode()

    if kind.startswith("decimal("):
        return _decimal_writer(kind, column)
    writers = {
        "string": string,
        "int": integer,
        "float64": double,
        "float32": single,
        "bool": boolean,
        "timestamp": timestamp,
        "date": date,
    }
    return writers[kind]


def as_integer(value: Any, column: str) -> int:
    """A whole number; raises UserError for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, np.integer):
        return int(value)
    raise wrong_type(column, "int", value)


def as_float(value: Any, column: str) -> float:
    """A finite number; raises UserError for anything else."""
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise wrong_type(column, "float", value)
        value = float(value)
    if value - value != 0.0:
        raise not_finite(column)
    return float(value)


def as_milliseconds(value: Any, column: str) -> int:
    """Milliseconds since 1970 in UTC of a moment, or of a number that is that already."""
    if isinstance(value, datetime.datetime):
        return (value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)) // _MILLISECOND
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ms]").astype(np.int64))
    if type(value) is int or isinstance(value, np.integer):
        return int(value)
    raise wrong_type(column, "timestamp", value)


def _decimal_writer(kind: str, column: str) -> Callable[[Any], bytes]:
    digits = int(kind.rstrip(")").partition(",")[2])
    unit = Decimal(1).scaleb(-digits)

    def decimal(value: Any) -> bytes:
        if not isinstance(value, Decimal) or not value.is_finite():
            raise wrong_type(column, kind, value)
        exact = value.quantize(unit)
        if exact != value:
            raise UserError(f"column '{column}': {value} has more than {digits} digits after the point")
        return f"{exact + 0:f}".encode()

    return decimal


def wrong_type(column: str, kind: str, value: Any) -> UserError:
    """The error for a value that is not of its column's type."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:60] + "…"
    return UserError(f"column '{column}' takes {kind}, not {shown} ({type(value).__name__})")
