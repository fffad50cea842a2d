"""Whether an answer is the expected one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType, Kind
from tests.conformance.cases import Columns, Expectation, Row

TOLERANCE = 1e-5


def difference(expected: Expectation, columns: Columns, rows: Sequence[Row]) -> str | None:
    """What is wrong with an answer, or None. Rows are compared as multisets, numbers with a small tolerance.

    A case that names an order sorts both sides by that column before comparing, which leaves multisets as they are.
    """
    if [name for name, _ in columns] != [name for name, _ in expected.columns]:
        return f"column names {[name for name, _ in columns]}, not {[name for name, _ in expected.columns]}"
    types, wanted = [str(kind) for _, kind in columns], [str(kind) for _, kind in expected.columns]
    if types != wanted:
        return f"column types {types}, not {wanted}"
    if len(rows) != len(expected.rows):
        return f"{len(rows)} rows, not {len(expected.rows)}"
    return _unmatched([kind for _, kind in columns], expected.rows, rows)


def _unmatched(kinds: list[DataType], expected: Sequence[Row], rows: Sequence[Row]) -> str | None:
    """The first expected row that no row of the answer equals."""
    loose = [position for position, kind in enumerate(kinds) if kind.is_floating]
    exact = [position for position, kind in enumerate(kinds) if not kind.is_floating]
    for position in exact:
        for row in rows:
            if not _is_of_type(row[position], kinds[position]):
                return f"{row[position]!r} is no {kinds[position]}"
    waiting: dict[Row, list[Row]] = {}
    for row in rows:
        waiting.setdefault(tuple(row[position] for position in exact), []).append(row)
    for row in expected:
        alike = waiting.get(tuple(row[position] for position in exact), [])
        match = next((other for other in alike if all(close(row[at], other[at]) for at in loose)), None)
        if match is None:
            return f"no row equals {row!r}"
        alike.remove(match)
    return None


def _is_of_type(value: Any, kind: DataType) -> bool:
    """Python takes True for 1 and 1.0: look at the class."""
    if value is None:
        return True
    if kind.kind is Kind.BOOL:
        return type(value) is bool
    if kind.is_integer or kind.kind is Kind.TIMESTAMP:
        return type(value) is int
    return not isinstance(value, (bool, int, float))


def close(expected: float | None, got: float | None) -> bool:
    """Equality of numbers: NaN equals NaN, infinities are exact, all else within the tolerance."""
    if expected is None or got is None:
        return expected is got
    if math.isnan(expected) or math.isnan(got):
        return math.isnan(expected) and math.isnan(got)
    if math.isinf(expected) or math.isinf(got):
        return expected == got
    return abs(expected - got) <= TOLERANCE * max(1.0, abs(expected), abs(got))
