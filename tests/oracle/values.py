"""Numbers and keys: how values of fixed width are kept, compared and told apart."""

from __future__ import annotations

import datetime
import math
import struct
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType, Kind

BITS = {Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64, Kind.TIMESTAMP: 64}


def wrap(value: int, kind: Kind) -> int:
    """The two's complement number that `value` becomes in the width of `kind`."""
    bits = BITS[kind]
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def float32(value: float | int) -> float:
    """`value` rounded once to 32 bits."""
    if isinstance(value, int) and abs(value) >> 53:
        # Rounding an int to double first would round twice. Keep 40 leading bits, and let the last tell of lost ones.
        shift = abs(value).bit_length() - 40
        kept = (abs(value) >> shift) | int(abs(value) & ((1 << shift) - 1) != 0)
        value = math.copysign(math.ldexp(kept, shift), value)
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def fit(value: Any, target: DataType) -> Any:
    """The exact result `value` of an operation as a value of its type."""
    if value is None:
        return None
    if target.kind in BITS:
        return wrap(int(value), target.kind)
    if target.kind is Kind.FLOAT:
        return float32(value)
    if target.kind is Kind.DOUBLE:
        return float(value)
    if target.kind is Kind.BOOL:
        return bool(value)
    return value


def sort_key(value: Any) -> tuple[bool, Any]:
    """Orders values of one type: text by its bytes, NaN above infinity."""
    if isinstance(value, float) and math.isnan(value):
        return (True, 0.0)
    if isinstance(value, str):
        return (False, value.encode())
    return (False, value)


def identity_key(value: Any) -> Any:
    """A hashable key that is equal for equal values: NULL equals NULL, NaN equals NaN, true is not 1."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN", None
    if isinstance(value, (tuple, list)):
        return tuple(identity_key(item) for item in value)
    return type(value).__name__, value


def zero_value(kind: Kind) -> Any:
    """What a NULL counts as in distinct_count; the zero of dates is no date at all."""
    if kind is Kind.DATE:
        return datetime.date  # Unequal to every date.
    return {Kind.BOOL: False, Kind.STRING: "", Kind.FLOAT: 0.0, Kind.DOUBLE: 0.0}.get(kind, 0)
