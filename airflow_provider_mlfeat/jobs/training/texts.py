"""Settings that come as texts: from templates and from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def typed_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with texts such as ``5``, ``true`` and ``[400, 400]`` as what they say; other texts stay."""
    return {name: _typed(value) for name, value in given.items()}


def _typed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
