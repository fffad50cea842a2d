"""The cases that we do not meet on purpose, each with its reason (``deviations.json``)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.conformance.cases import Case


@cache
def _documented() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(Path(__file__).with_name("deviations.json").read_text(encoding="utf-8"))
    return loaded


def deviation(case: Case, engine: str) -> str | None:
    """Why `engine` need not meet the case, or None."""
    for entry in _documented():
        same_kind = entry.get("kind", "result") == case.kind
        if entry["case"] == case.name and same_kind and engine in entry.get("engines", [engine]):
            return str(entry["reason"])
    return None
