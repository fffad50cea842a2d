"""Text functions, counted in Unicode characters."""

from __future__ import annotations

import datetime
import struct
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType, Kind
from tests.oracle.farmhash import fingerprint64
from tests.oracle.scalars import Invocation, scalar
from tests.oracle.text import cast_text
from tests.oracle.values import wrap


@scalar("concat")
def concat(call: Invocation, *values: Any) -> str:
    return "".join(_texts(call, values))


@scalar("concat_ws")
def concat_ws(call: Invocation, *values: Any) -> str:
    delimiter, *parts = _texts(call, values)
    return delimiter.join(parts)


def _texts(call: Invocation, values: tuple[Any, ...]) -> list[str]:
    return [
        value if isinstance(value, str) else str(cast_text(value, source, call.time_zone))
        for value, source in zip(values, call.types, strict=True)
    ]


@scalar("substr", "substring")
def substr(call: Invocation, text: str, position: int, length: int | None = None) -> str:
    start = position - 1 if position > 0 else len(text) + position
    if position == 0 or not 0 <= start < len(text) or (length is not None and length < 1):
        return ""
    return text[start:] if length is None else text[start : start + length]


@scalar("strcmp")
def strcmp(call: Invocation, left: str, right: str) -> int:
    return (left > right) - (left < right)


def _ascii(text: str, first: str, distance: int) -> str:
    return "".join(chr(ord(letter) + distance) if 0 <= ord(letter) - ord(first) < 26 else letter for letter in text)


@scalar("upper", "ucase")
def upper(call: Invocation, text: str) -> str:
    return _ascii(text, "a", -32)


@scalar("lower", "lcase")
def lower(call: Invocation, text: str) -> str:
    return _ascii(text, "A", 32)


@scalar("reverse")
def reverse(call: Invocation, text: str) -> str:
    return text[::-1]


@scalar("char_length", "character_length")
def char_length(call: Invocation, text: str) -> int:
    return len(text)


@scalar("char")
def char(call: Invocation, code: int) -> str:
    return chr(code % 256)


@scalar("replace")
def replace(call: Invocation, text: str, old: str, new: str = "") -> str:
    return text.replace(old, new) if old else text


@scalar("locate")
def locate(call: Invocation, part: str, text: str, position: int = 1) -> int:
    return 0 if position <= 0 else text.find(part, position - 1) + 1


@scalar("hex")
def hexadecimal(call: Invocation, value: Any) -> str:
    if isinstance(value, str):
        return value.encode().hex().upper()
    return f"{int(value) & (1 << 64) - 1:X}"


@scalar("unhex")
def unhex(call: Invocation, digits: str) -> str | None:
    if len(digits) % 2:
        digits = "0" + digits
    try:
        return bytes.fromhex(digits).decode() if digits.isalnum() or not digits else None
    except (ValueError, UnicodeDecodeError):
        return None


_LAYOUTS = {
    Kind.BOOL: "<b",
    Kind.SMALLINT: "<h",
    Kind.INT: "<i",
    Kind.BIGINT: "<q",
    Kind.TIMESTAMP: "<q",
    Kind.FLOAT: "<f",
    Kind.DOUBLE: "<d",
}


def hash64_of(value: Any, kind: DataType) -> int:
    """The signed fingerprint of a value's bytes."""
    if isinstance(value, str):
        data = value.encode()
    elif isinstance(value, datetime.date):
        data = struct.pack("<i", (value.year - 1900) * 65536 + (value.month - 1) * 256 + value.day)
    else:
        data = struct.pack(_LAYOUTS[kind.kind], value)
    return wrap(fingerprint64(data), Kind.BIGINT)


@scalar("hash64", "farm_fingerprint")
def hash64(call: Invocation, value: Any) -> int:
    return hash64_of(value, call.types[0])
