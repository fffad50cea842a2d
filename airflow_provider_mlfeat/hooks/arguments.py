"""Arguments of operators and sensors that a template may have made texts of."""

from __future__ import annotations

from typing import Any, TypeVar

from airflow_provider_mlfeat.errors import UserError

Number = TypeVar("Number", int, float)


def number(kind: type[Number], value: Any, argument: str) -> Number:
    """A number from an argument that a template may have made a text of."""
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise UserError(f"{argument} takes a number, not {value!r}") from None


def optional_number(kind: type[Number], value: Any, argument: str) -> Number | None:
    """A number, or None for None and for the empty texts that templates make of it."""
    if value is None or str(value).strip() in ("", "None"):
        return None
    return number(kind, value, argument)
