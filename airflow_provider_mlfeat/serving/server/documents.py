"""JSON in and out: numbers that are none (NaN, infinities) are written without quotes, as OpenMLDB's clients expect."""

from __future__ import annotations

import datetime
import json
import math
import re
from typing import Any

import orjson

from airflow_provider_mlfeat.serving.server.failures import BadRequestError

_NUMBERS = re.compile(rb"NaN|Infinity")


def parse_json(body: bytes) -> Any:
    """A document; unquoted NaN and infinities are numbers."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not _NUMBERS.search(body):
            raise BadRequestError(f"the body is no JSON: {error}") from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is no JSON: {error}") from None


def write_json(document: Any, *, non_finite_null: bool = True) -> bytes:
    """A document as bytes; dates become text.

    :param document: what to write.
    :param non_finite_null: whether NaN and infinities become null.
    """
    if non_finite_null or not _has_non_finite(document):
        return orjson.dumps(document)
    return json.dumps(document, default=_text, separators=(",", ":"), ensure_ascii=False).encode()


def _text(value: Any) -> str:
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")


def _has_non_finite(document: Any) -> bool:
    if type(document) is float:
        return not math.isfinite(document)
    if isinstance(document, dict):
        return any(map(_has_non_finite, document.values()))
    return isinstance(document, list | tuple) and any(map(_has_non_finite, document))
