"""Functions of strings, counted in Unicode characters."""

from __future__ import annotations

import re
import string
from typing import Any

import numpy as np
import pyarrow.compute as pc

from airflow_provider_mlfeat.engine.column import Column, string_column
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.sql.types import STRING, Kind

_TO_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_HEXADECIMAL = re.compile("[0-9a-fA-F]*", re.ASCII)
_UNSIGNED = (1 << 64) - 1


def concat(context: CallContext, *parts: Column) -> Column:
    """All parts in order."""
    return _joined(None, parts)


def concat_ws(context: CallContext, delimiter: Column, *parts: Column) -> Column:
    """All parts in order, with the delimiter between them."""
    return _joined(delimiter, parts)


def _joined(delimiter: Column | None, parts: tuple[Column, ...]) -> Column:
    if len(parts[0]) == 1:
        between = "" if delimiter is None else _text(delimiter)
        return Column.constant(between.join(map(_text, parts)), STRING, 1)
    between = "" if delimiter is None else delimiter.to_arrow()
    return string_column(pc.binary_join_element_wise(*[part.to_arrow() for part in parts], between))


def _text(column: Column) -> str:
    """The only string of a column; any string where it is NULL."""
    assert column.dictionary is not None
    text: str = column.dictionary.strings[column.values[0]]
    return text


def substr(context: CallContext, text: str, position: int, length: int | None = None) -> str:
    """The part from a place counted from 1, or from the end when negative."""
    start = position - 1 if position > 0 else len(text) + position
    if position == 0 or not 0 <= start < len(text) or (length is not None and length < 1):
        return ""
    return text[start:] if length is None else text[start : start + length]


def strcmp(context: CallContext, left: str, right: str) -> int:
    """-1, 0 or 1."""
    return (left > right) - (left < right)


def upper(context: CallContext, text: str) -> str:
    """ASCII letters in upper case."""
    return text.upper() if text.isascii() else text.translate(_TO_UPPER)


def lower(context: CallContext, text: str) -> str:
    """ASCII letters in lower case."""
    return text.lower() if text.isascii() else text.translate(_TO_LOWER)


def reverse(context: CallContext, text: str) -> str:
    """The characters backwards."""
    return text[::-1]


def char_length(context: CallContext, text: str) -> int:
    """The number of characters."""
    return len(text)


def char(context: CallContext, code: int) -> str:
    """The character of a code modulo 256."""
    return chr(code % 256)


def replace(context: CallContext, text: str, old: str, new: str = "") -> str:
    """Every occurrence replaced; an empty search text occurs nowhere."""
    return text.replace(old, new) if old else text


def locate(context: CallContext, part: str, text: str, position: int = 1) -> int:
    """The place of a part at or after a position, counted from 1; 0 when there is none."""
    return 0 if position <= 0 else text.find(part, position - 1) + 1


def hexadecimal(context: CallContext, value: Any) -> str | None:
    """Bytes of a string or a number in hexadecimal digits; a number is rounded half away from zero."""
    if context.arguments[0].kind is Kind.STRING:
        return str(value).encode().hex().upper()
    if context.arguments[0].is_floating:
        if not abs(value) < 2**63:
            return None
        value = int(np.copysign(np.floor(abs(value) + 0.5), value))
    return f"{value & _UNSIGNED:X}"


def unhex(context: CallContext, digits: str) -> str | None:
    """The string of hexadecimal digits; NULL for other characters and for bytes that are no UTF-8."""
    if not _HEXADECIMAL.fullmatch(digits):
        return None
    try:
        return bytes.fromhex("0" * (len(digits) % 2) + digits).decode()
    except UnicodeDecodeError:
        return None
