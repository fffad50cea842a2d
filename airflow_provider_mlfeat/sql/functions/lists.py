"""Lists of strings, arrays and maps, which live inside expressions only."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Argument, Form, Signature, SignatureError
from airflow_provider_mlfeat.sql.functions.signatures import (
    ANY,
    INTEGER,
    STRINGS,
    TEXT,
    check_count,
    common_type,
    place_of,
    signature,
)
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    INT,
    NULL,
    STRING,
    STRING_LIST,
    DataType,
    Kind,
    array_of,
    map_of,
)

_WHOLE = INTEGER.to(BIGINT)


def _array(arguments: Sequence[Argument]) -> Signature:
    """Elements of one type; an empty array has elements of no type until it is cast."""
    if not arguments:
        return Signature((), array_of(NULL))
    for argument in arguments:
        ANY.accept(argument, "an element")
    common = common_type([argument.type for argument in arguments])
    return Signature((common,) * len(arguments), array_of(common))


def _element_of(array: Argument, place: str) -> DataType:
    if array.type.kind is not Kind.ARRAY:
        raise SignatureError(f"{place} must be an array, not {array.type}")
    return array.type.element


def _contains(arguments: Sequence[Argument], array_place: int) -> Signature:
    check_count(len(arguments), 2, 2)
    element = _element_of(arguments[array_place], place_of(array_place, 2))
    value = arguments[1 - array_place].type
    if element != value and NULL not in (element, value) and not (element.is_numeric and value.is_numeric):
        raise SignatureError(f"an array of {element} cannot hold a {value}")
    common = common_type((element, value))
    types = (array_of(common), common) if array_place == 0 else (common, array_of(common))
    return Signature(types, BOOL)


def _array_of_strings(argument: Argument, place: str) -> DataType:
    if argument.type == STRING_LIST:
        return STRING_LIST
    _element_of(argument, place)
    return array_of(STRING)


def _array_join(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 2, 2)
    return Signature((_array_of_strings(arguments[0], "argument 1"), TEXT.accept(arguments[1], "argument 2")), STRING)


def _array_combine(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 2, None)
    arrays = [_array_of_strings(argument, f"argument {place}") for place, argument in enumerate(arguments[1:], 2)]
    return Signature((TEXT.accept(arguments[0], "argument 1"), *arrays), array_of(STRING))


def _element(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 2, 2)
    sequence = arguments[0].type
    if sequence.kind not in (Kind.LIST, Kind.ARRAY):
        raise SignatureError(f"argument 1 must be a list or array, not {sequence}")
    return Signature((sequence, _WHOLE.accept(arguments[1], "argument 2")), sequence.element)


def _size(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 1, 1)
    given = arguments[0].type
    if given.kind not in (Kind.LIST, Kind.ARRAY, Kind.MAP):
        raise SignatureError(f"the argument must be a list, array or map, not {given}")
    return Signature((given,), INT)


def _map(arguments: Sequence[Argument]) -> Signature:
    if len(arguments) % 2:
        raise SignatureError(f"takes pairs of a key and a value, not {len(arguments)} arguments")
    if not arguments:
        return Signature((), map_of(NULL, NULL))
    for argument in arguments:
        ANY.accept(argument, "a key or value")
    key = common_type([argument.type for argument in arguments[::2]])
    value = common_type([argument.type for argument in arguments[1::2]])
    return Signature((key, value) * (len(arguments) // 2), map_of(key, value))


def _map_of(argument: Argument) -> tuple[DataType, DataType]:
    if argument.type.kind is not Kind.MAP:
        raise SignatureError(f"the value before the brackets must be a map, not {argument.type}")
    key, value = argument.type.parameters
    return key, value


def _subscript(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 2, 2)
    key, value = _map_of(arguments[0])
    given = arguments[1].type
    if key != given and NULL not in (key, given) and not (key.is_numeric and given.is_numeric):
        raise SignatureError(f"the key must be of type {key}, not {given}")
    common = common_type((key, given))
    to_map = arguments[0].type if common == key else map_of(common, value)
    return Signature((to_map, common), BOOL if value == NULL else value)


def _map_keys(arguments: Sequence[Argument]) -> Signature:
    check_count(len(arguments), 1, 1)
    if arguments[0].type.kind is not Kind.MAP:
        raise SignatureError(f"the argument must be a map, not {arguments[0].type}")
    return Signature((arguments[0].type,), array_of(arguments[0].type.parameters[0]))


LISTS = Group("Lists, arrays and maps", "lists")
LISTS.scalar(
    "split",
    "split(s, d)",
    signature(TEXT, TEXT, result=STRING_LIST),
    "The parts of s between delimiters d, left to right; none when d is empty or either is NULL.",
    form=Form.VALUE,
    own_nulls=True,
)
LISTS.scalar(
    "split_by_key",
    "split_by_key(s, d, kv)",
    signature(TEXT, TEXT, TEXT, result=STRING_LIST),
    "Of each part what stands before the first kv; parts without one are left out, and a NULL gives none.",
    form=Form.VALUE,
    own_nulls=True,
)
LISTS.scalar(
    "split_by_value",
    "split_by_value(s, d, kv)",
    signature(TEXT, TEXT, TEXT, result=STRING_LIST),
    "Of each part what stands after the first kv; parts without one are left out, and a NULL gives none.",
    form=Form.VALUE,
    own_nulls=True,
)
LISTS.scalar(
    "join", "`join`(list, d)", signature(STRINGS, TEXT, result=STRING), "The elements joined by d.", form=Form.VALUE
)
LISTS.scalar("size", "size(list)", _size, "How many elements there are.", form=Form.VALUE)
LISTS.scalar(
    "at",
    "at(list, i)",
    _element,
    "Element i, from 0; NULL when there is none.",
    form=Form.VALUE,
    implementation="element_at",
)
LISTS.scalar(
    "list_except_by_key",
    "list_except_by_key(list, 'k1,k2')",
    signature(STRINGS, TEXT, result=STRING_LIST),
    "The elements k:v whose key is none of those named.",
    form=Form.VALUE,
)
LISTS.scalar(
    "list_except_by_value",
    "list_except_by_value(list, 'v1,v2')",
    signature(STRINGS, TEXT, result=STRING_LIST),
    "The elements k:v whose value is none of those named.",
    form=Form.VALUE,
)
LISTS.scalar("array", "[a, …] or ARRAY<T>[a, …]", _array, "An array.", form=Form.VALUE, own_nulls=True)
LISTS.scalar(
    "split_array",
    "split_array(s, d)",
    signature(TEXT, TEXT, result=array_of(STRING)),
    "The parts of s as an array; an empty part is NULL.",
    form=Form.VALUE,
)
LISTS.scalar(
    "array_join",
    "array_join(array, d)",
    _array_join,
    "The elements that are not NULL, joined by d (a NULL d is empty).",
    form=Form.VALUE,
    own_nulls=True,
)
LISTS.scalar(
    "array_contains",
    "array_contains(array, x)",
    lambda arguments: _contains(arguments, 0),
    "Whether x, of the elements' type, is an element; a NULL x matches a NULL element.",
    form=Form.VALUE,
    own_nulls=True,
)
LISTS.scalar(
    "isin",
    "isin(x, array)",
    lambda arguments: _contains(arguments, 1),
    "array_contains with its arguments the other way round.",
    form=Form.VALUE,
    own_nulls=True,
)
LISTS.scalar(
    "array_combine",
    "array_combine(d, a1, …)",
    _array_combine,
    "Every combination of one element of each array, joined by d; those with a NULL are left out.",
    form=Form.VALUE,
)
LISTS.scalar(
    "map",
    "map(k, v, …)",
    _map,
    "A map; of equal keys the first pair counts.",
    form=Form.VALUE,
    own_nulls=True,
    implementation="make_map",
)
LISTS.scalar("map_keys", "map_keys(m)", _map_keys, "The keys of a map.", form=Form.VALUE)
LISTS.scalar("subscript", "m[key]", _subscript, "The value of a key; NULL when the map has none.", form=Form.VALUE)
