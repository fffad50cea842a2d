"""How routes describe themselves in the OpenAPI document; bodies are read by hand, so they are declared by hand."""

from __future__ import annotations

from typing import Any

_ERROR = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "msg": {"type": "string"}},
    "required": ["code", "msg"],
}
_REASONS = {
    400: "the request is wrong; the message names row and column",
    401: "a bearer token is needed",
    403: "the server does not allow this",
    404: "there is no such thing",
    409: "it is there already, or it stands in the way",
    413: "the body is too large",
    422: "a parameter is wrong",
    500: "an error of the server",
    503: "not ready, or too busy",
    504: "too slow",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers that are no success."""
    return {
        status: {"description": _REASONS[status], "content": {"application/json": {"schema": _ERROR}}}
        for status in statuses
    }


def body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """The body that a route reads."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


ROW = {
    "description": "One value per column: an object, or a list in the columns' order",
    "anyOf": [{"type": "object"}, {"type": "array"}],
}
