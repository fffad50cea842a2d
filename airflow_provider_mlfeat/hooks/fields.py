"""Reads the fields of a connection as the types that its form declares.

The same field arrives as text from a URI, as typed JSON from the environment and from the form, and as null or an
empty string where a form was left blank. Here, and only here, the three become one.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks.connection_types import CONNECTION_TYPES

if TYPE_CHECKING:
    from airflow.sdk import Connection

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SCHEMAS: dict[str, dict[str, dict[str, Any]]] = {
    kind["connection-type"]: {name: field["schema"] for name, field in kind["conn-fields"].items()}
    for kind in CONNECTION_TYPES
}


class ConnectionFields:
    """The standard fields and the extra of one connection, checked against the form of its type.

    :param connection: the connection.
    :param connection_type: the type whose form declares the fields of the extra.
    """

    def __init__(self, connection: Connection, connection_type: str) -> None:
        self.connection_id = connection.conn_id
        self.host = _blank_to_none(connection.host)
        self.port: int | None = connection.port
        self.login = _blank_to_none(connection.login)
        self.password = _blank_to_none(connection.password)
        self.schema = _blank_to_none(connection.schema)
        self._schemas = _SCHEMAS[connection_type]
        if connection.conn_type != connection_type:
            raise self.error(f"its type is '{connection.conn_type}', but '{connection_type}' is needed")
        self._extra = self._parse_extra(connection.extra)

    def error(self, message: str) -> UserError:
        """The error of this connection, ready to raise."""
        return UserError(f"connection '{self.connection_id}': {message}")

    def text(self, name: str) -> str | None:
        """A text, stripped; None where it is blank."""
        value = self._value(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return _blank_to_none(value)

    def choice(self, name: str) -> str:
        """One of the values that the form offers."""
        value, offered = self._value(name), self._schemas[name]["enum"]
        text = value.strip().lower() if isinstance(value, str) else value
        if text not in offered:
            raise self._wrong(name, "one of " + ", ".join(offered), value)
        return str(text)

    def switch(self, name: str) -> bool:
        """Yes or no."""
        value = self._value(name)
        text = str(value).strip().lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise self._wrong(name, "true or false", value)

    def whole(self, name: str) -> int | None:
        """A whole number within the form's bounds, or None where the form has no default."""
        number = self._number(name, "a whole number")
        if number is not None and number != int(number):
            raise self._wrong(name, "a whole number", number)
        return None if number is None else int(number)

    def seconds(self, name: str) -> float:
        """A duration, which always has a default."""
        number = self._number(name, "a number of seconds")
        assert number is not None, f"{name} has no default"
        return number

    def mapping(self, name: str) -> tuple[tuple[str, str], ...]:
        """The pairs of a JSON object of texts, numbers and booleans, in their order."""
        value = self._value(name)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise self.error(f"field '{name}' is not JSON: {error}") from None
        if value == []:  # an untouched JSON editor
            return ()
        if not isinstance(value, dict):
            raise self.error(f"field '{name}' must be a JSON object")
        return tuple((key, self._mapped_text(name, key, item)) for key, item in value.items())

    def _mapped_text(self, name: str, key: str, item: Any) -> str:
        if isinstance(item, bool):
            return "true" if item else "false"
        if isinstance(item, str | int | float):
            return str(item)
        raise self.error(f"field '{name}': the value of '{key}' must be a text, a number or a boolean")

    def _number(self, name: str, expected: str) -> float | None:
        value = self._value(name)
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise self._wrong(name, expected, value)
        minimum, maximum = self._schemas[name]["minimum"], self._schemas[name]["maximum"]
        if not minimum <= number <= maximum:
            raise self._wrong(name, f"from {minimum} to {maximum}", value)
        return number

    def _value(self, name: str) -> Any:
        """What the extra says, or the form's default where it says nothing."""
        value = self._extra.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return self._schemas[name]["default"]
        return value

    def _wrong(self, name: str, expected: str, value: Any) -> UserError:
        return self.error(f"field '{name}' must be {expected}, not {value!r}")

    def _parse_extra(self, text: str | None) -> dict[str, Any]:
        try:
            extra = json.loads(text) if text else {}
        except ValueError as error:
            raise self.error(f"its extra is not JSON: {error}") from None
        if not isinstance(extra, dict):
            raise self.error("its extra must be a JSON object")
        unknown = sorted(set(extra) - set(self._schemas))
        if unknown:
            raise self.error(f"unknown field '{unknown[0]}' in extra; known are {', '.join(self._schemas)}")
        return extra


def _blank_to_none(text: str | None) -> str | None:
    return (text or "").strip() or None
