"""Arguments of operators and sensors that a template may have made texts of."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


def document(value: Any, argument: str) -> dict[str, Any]:
    """A document from an argument that a template may have made JSON text of."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise UserError(f"{argument} takes a document or JSON text, not {value!r}") from None
    if not isinstance(value, Mapping):
        raise UserError(f"{argument} takes a document, not {value!r}")
    return dict(value)
