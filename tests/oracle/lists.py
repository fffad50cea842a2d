"""Lists, arrays, maps and JSON texts."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.oracle.scalars import Invocation, scalar
from tests.oracle.text import cast_text
from tests.oracle.values import identity_key


def split_text(text: str | None, delimiter: str | None) -> tuple[str, ...]:
    """The parts of a text, left to right; none of a NULL or with an empty delimiter."""
    return tuple(text.split(delimiter)) if text is not None and delimiter else ()


def keys_of(parts: tuple[str, ...], separator: str | None) -> tuple[str, ...]:
    """What stands before the first separator; segments without one are left out."""
    return tuple(part.split(separator, 1)[0] for part in parts if separator and separator in part)


def values_of(parts: tuple[str, ...], separator: str | None) -> tuple[str, ...]:
    """What stands after the first separator; segments without one are left out."""
    return tuple(part.split(separator, 1)[1] for part in parts if separator and separator in part)


@scalar("split", own_nulls=True)
def split(call: Invocation, text: str | None, delimiter: str | None) -> tuple[str, ...]:
    return split_text(text, delimiter)


@scalar("split_by_key", own_nulls=True)
def split_by_key(call: Invocation, text: str | None, delimiter: str | None, separator: str | None) -> tuple[str, ...]:
    return keys_of(split_text(text, delimiter), separator)


@scalar("split_by_value", own_nulls=True)
def split_by_value(call: Invocation, text: str | None, delimiter: str | None, separator: str | None) -> tuple[str, ...]:
    return values_of(split_text(text, delimiter), separator)


@scalar("join")
def join(call: Invocation, items: tuple[str, ...], delimiter: str) -> str:
    return delimiter.join(items)


@scalar("size")
def size(call: Invocation, items: Any) -> int:
    return len(items)


@scalar("at")
def at(call: Invocation, items: tuple[Any, ...], index: int) -> Any:
    return items[index] if 0 <= index < len(items) else None


@scalar("list_except_by_key")
def list_except_by_key(call: Invocation, items: tuple[str, ...], excluded: str) -> tuple[str, ...]:
    return tuple(item for item in items if item.partition(":")[0] not in excluded.split(","))


@scalar("list_except_by_value")
def list_except_by_value(call: Invocation, items: tuple[str, ...], excluded: str) -> tuple[str, ...]:
    return tuple(item for item in items if item.partition(":")[2] not in excluded.split(","))


@scalar("array", own_nulls=True)
def array(call: Invocation, *items: Any) -> tuple[Any, ...]:
    return items


@scalar("split_array")
def split_array(call: Invocation, text: str, delimiter: str) -> tuple[str | None, ...]:
    return tuple(part or None for part in split_text(text, delimiter))


@scalar("array_join", own_nulls=True)
def array_join(call: Invocation, items: tuple[str | None, ...] | None, delimiter: str | None) -> str | None:
    return None if items is None else (delimiter or "").join(item for item in items if item is not None)


def contains(items: tuple[Any, ...], value: Any) -> bool:
    """Whether an element equals the value; NULL equals NULL."""
    return identity_key(value) in [identity_key(item) for item in items]


@scalar("array_contains", own_nulls=True)
def array_contains(call: Invocation, items: tuple[Any, ...] | None, value: Any) -> bool | None:
    return None if items is None else contains(items, value)


@scalar("isin", own_nulls=True)
def isin(call: Invocation, value: Any, items: tuple[Any, ...] | None) -> bool | None:
    return None if items is None else contains(items, value)


@scalar("array_combine")
def array_combine(call: Invocation, delimiter: str, *arrays: tuple[Any, ...]) -> tuple[str, ...]:
    texts = [
        [None if item is None else cast_text(item, kind.element, call.time_zone) for item in items]
        for items, kind in zip(arrays, call.types[1:], strict=True)
    ]
    return tuple(delimiter.join(row) for row in itertools.product(*texts) if None not in row)  # type: ignore[arg-type]


@scalar("map", own_nulls=True)
def map_(call: Invocation, *items: Any) -> dict[Any, Any]:
    pairs = list(zip(items[::2], items[1::2], strict=True))
    return dict(reversed(pairs))  # The first pair of a key wins.


@scalar("map_keys")
def map_keys(call: Invocation, mapping: dict[Any, Any]) -> tuple[Any, ...]:
    return tuple(reversed(mapping))


@scalar("subscript")
def subscript(call: Invocation, mapping: dict[Any, Any], key: Any) -> Any:
    return mapping.get(key)


@scalar("json_array_length")
def json_array_length(call: Invocation, text: str) -> int | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return len(document) if isinstance(document, list) else None


@scalar("get_json_object")
def get_json_object(call: Invocation, text: str, pointer: str) -> str | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if pointer and not pointer.startswith("/"):
        return None
    for escaped in pointer.split("/")[1:]:
        step = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found if isinstance(found, str) else json.dumps(found, separators=(",", ":"), ensure_ascii=False)
