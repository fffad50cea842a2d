"""Lists and arrays as tuples of Python values, maps as dicts."""

from __future__ import annotations

from itertools import product
from math import isnan
from typing import Any

from airflow_provider_mlfeat.engine.functions.context import CallContext

Strings = tuple[str, ...]
Elements = tuple[Any, ...]


def split(context: CallContext, text: str | None, delimiter: str | None) -> Strings:
    """The parts between delimiters; none of a NULL, and none for an empty delimiter."""
    return tuple(text.split(delimiter)) if text is not None and delimiter else ()


def split_by_key(context: CallContext, text: str | None, delimiter: str | None, separator: str | None) -> Strings:
    """Of each part what stands before the first separator."""
    if not separator:
        return ()
    return tuple(part.partition(separator)[0] for part in split(context, text, delimiter) if separator in part)


def split_by_value(context: CallContext, text: str | None, delimiter: str | None, separator: str | None) -> Strings:
    """Of each part what stands after the first separator."""
    if not separator:
        return ()
    return tuple(part.partition(separator)[2] for part in split(context, text, delimiter) if separator in part)


def join(context: CallContext, strings: Strings, delimiter: str) -> str:
    """The elements with the delimiter between them."""
    return delimiter.join(strings)


def size(context: CallContext, elements: Elements | dict[Any, Any]) -> int:
    """How many elements there are."""
    return len(elements)


def element_at(context: CallContext, elements: Elements, place: int) -> Any:
    """The element at a place from 0."""
    return elements[place] if 0 <= place < len(elements) else None


def list_except_by_key(context: CallContext, strings: Strings, excluded: str) -> Strings:
    """Elements ``key:value`` whose key is not excluded."""
    names = set(excluded.split(","))
    return tuple(text for text in strings if text.partition(":")[0] not in names)


def list_except_by_value(context: CallContext, strings: Strings, excluded: str) -> Strings:
    """Elements ``key:value`` whose value is not excluded; one without a colon has an empty value."""
    names = set(excluded.split(","))
    return tuple(text for text in strings if text.partition(":")[2] not in names)


def array(context: CallContext, *elements: Any) -> Elements:
    """An array of its arguments."""
    return elements


def split_array(context: CallContext, text: str, delimiter: str) -> tuple[str | None, ...]:
    """The parts between delimiters, with NULL for an empty one."""
    return tuple(part or None for part in split(context, text, delimiter))


def array_join(context: CallContext, strings: tuple[str | None, ...] | None, delimiter: str | None) -> str | None:
    """The elements that are not NULL with the delimiter between them."""
    return None if strings is None else (delimiter or "").join(text for text in strings if text is not None)


def array_contains(context: CallContext, elements: Elements | None, value: Any) -> bool | None:
    """Whether an element equals the value, NULL and NaN being equal to themselves."""
    if elements is None:
        return None
    return value in elements or (_is_nan(value) and any(map(_is_nan, elements)))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)


def isin(context: CallContext, value: Any, elements: Elements | None) -> bool | None:
    """Whether the value equals an element."""
    return array_contains(context, elements, value)


def array_combine(context: CallContext, delimiter: str, *arrays: tuple[str | None, ...]) -> Strings:
    """Every combination of an element of each array that holds no NULL."""
    present = [[text for text in strings if text is not None] for strings in arrays]
    return tuple(delimiter.join(combination) for combination in product(*present))


def make_map(context: CallContext, *pairs: Any) -> dict[Any, Any]:
    """A map of its arguments, which are keys and values by turns; the first of equal keys counts."""
    made: dict[Any, Any] = {}
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        made.setdefault(key, value)
    return made


def map_keys(context: CallContext, pairs: dict[Any, Any]) -> Elements:
    """The keys in the order in which they were given."""
    return tuple(pairs)


def subscript(context: CallContext, pairs: dict[Any, Any], key: Any) -> Any:
    """The value of a key."""
    return pairs.get(key)
