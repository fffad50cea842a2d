"""Values as text: the %g of casts and the %f of category strings."""

from __future__ import annotations

import datetime
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType, Kind
from tests.oracle.calendar import timestamp_text


def cast_text(value: Any, source: DataType, time_zone: str) -> str | None:
    """The text of a cast: six significant digits for floats."""
    if source.is_floating:
        return f"{value:g}"
    return _plain(value, source, time_zone)


def category_text(value: Any, source: DataType, time_zone: str) -> str:
    """The text inside the strings that aggregates build: six decimals for floats."""
    if source.is_floating:
        return f"{value:f}"
    return str(_plain(value, source, time_zone))


def _plain(value: Any, source: DataType, time_zone: str) -> str | None:
    if source.kind is Kind.BOOL:
        return "true" if value else "false"
    if source.kind is Kind.TIMESTAMP:
        return timestamp_text(value, time_zone)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return str(value)
