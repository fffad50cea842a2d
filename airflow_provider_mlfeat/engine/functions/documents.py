"""Functions of JSON texts."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_mlfeat.engine.functions.context import CallContext

_NOTHING = object()


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NOTHING


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def json_array_length(context: CallContext, text: str) -> int | None:
    """How many elements an array has."""
    document = _parse(text)
    return len(document) if isinstance(document, list) else None


def get_json_object(context: CallContext, text: str, pointer: str) -> str | None:
    """What a JSON pointer (RFC 6901) finds."""
    found = _parse(text)
    if found is _NOTHING or (pointer and not pointer.startswith("/")):
        return None
    for step in pointer.split("/")[1:]:
        found = _step(found, step.replace("~1", "/").replace("~0", "~"))
        if found is _NOTHING:
            return None
    return found if isinstance(found, str) else json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _step(document: Any, name: str) -> Any:
    if isinstance(document, dict):
        return document.get(name, _NOTHING)
    if isinstance(document, list) and name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
        place = int(name) if len(name) < 10 else len(document)
        return document[place] if place < len(document) else _NOTHING
    return _NOTHING
