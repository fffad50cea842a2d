"""Equality of answers to the last bit, and nearly so where the language leaves last bits open."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from airflow_provider_mlfeat.sql.plan import Plan

Row = tuple[Any, ...]

# Aggregates whose order of operations is the driver's choice.
APPROXIMATE = ("stddev_samp", "stddev_pop", "var_samp", "var_pop", "entropy", "ew_avg")


def bits(value: Any) -> tuple[str, Any]:
    """A sortable key that two values share only when they are the same bits; every NaN is the same."""
    if isinstance(value, float):
        return ("float", math.nan.hex() if math.isnan(value) else struct.pack(">d", value).hex())
    return (type(value).__name__, str(value))


def difference(left: Sequence[Row], right: Sequence[Row]) -> str | None:
    """The first row that only one side has, comparing bags of rows bit by bit."""
    first, second = (sorted(([bits(value) for value in row], row) for row in rows) for rows in (left, right))
    if len(first) != len(second):
        return f"{len(first)} rows and {len(second)} rows"
    for (one, one_row), (other, other_row) in zip(first, second, strict=True):
        if one != other:
            return f"{one_row!r} and {other_row!r}"
    return None


def near_difference(left: Sequence[Row], right: Sequence[Row]) -> str | None:
    """The same with a small tolerance for floats."""
    if len(left) != len(right):
        return f"{len(left)} rows and {len(right)} rows"

    def place(row: Row) -> Any:
        return [bits(value) for value in row if not isinstance(value, float)]

    for one, other in zip(sorted(left, key=place), sorted(right, key=place), strict=True):
        if not all(_near(a, b) for a, b in zip(one, other, strict=True)):
            return f"{one!r} and {other!r}"
    return None


def _near(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isfinite(left) and math.isfinite(right):
        return abs(left - right) <= 1e-9 * max(1.0, abs(left), abs(right))
    return bits(left) == bits(right)


def is_exact(plan: Plan) -> bool:
    """Whether every bit of the answer is pinned by the language."""
    text = plan.to_json()
    return not any(f'"function":"{name}"' in text for name in APPROXIMATE)
