"""The types of the feature language.

A type is a small frozen value with one canonical text (``bigint``, ``array<string>``), which is also how plans,
schemas and error messages write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type constructors of the language; the value is the canonical name."""

    NULL = "null"
    BOOL = "bool"
    SMALLINT = "smallint"
    INT = "int"
    BIGINT = "bigint"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    DATE = "date"
    TIMESTAMP = "timestamp"
    ARRAY = "array"
    LIST = "list"
    MAP = "map"
    FEATURE = "feature"


INTEGER_KINDS = (Kind.SMALLINT, Kind.INT, Kind.BIGINT)
FLOATING_KINDS = (Kind.FLOAT, Kind.DOUBLE)
NUMERIC_KINDS = INTEGER_KINDS + FLOATING_KINDS


@dataclass(frozen=True, slots=True)
class DataType:
    """One type of the language.

    :param kind: the constructor.
    :param parameters: element type of an array or list; key and value type of a map; empty otherwise.
    """

    kind: Kind
    parameters: tuple[DataType, ...] = ()

    def __str__(self) -> str:
        if not self.parameters:
            return self.kind.value
        return f"{self.kind.value}<{','.join(str(parameter) for parameter in self.parameters)}>"

    @property
    def is_integer(self) -> bool:
        return self.kind in INTEGER_KINDS

    @property
    def is_floating(self) -> bool:
        return self.kind in FLOATING_KINDS

    @property
    def is_numeric(self) -> bool:
        return self.kind in NUMERIC_KINDS

    @property
    def is_nested(self) -> bool:
        return bool(self.parameters)

    @property
    def element(self) -> DataType:
        """Element type of an array or list, value type of a map."""
        return self.parameters[-1]


NULL = DataType(Kind.NULL)
BOOL = DataType(Kind.BOOL)
SMALLINT = DataType(Kind.SMALLINT)
INT = DataType(Kind.INT)
BIGINT = DataType(Kind.BIGINT)
FLOAT = DataType(Kind.FLOAT)
DOUBLE = DataType(Kind.DOUBLE)
STRING = DataType(Kind.STRING)
DATE = DataType(Kind.DATE)
TIMESTAMP = DataType(Kind.TIMESTAMP)
STRING_LIST = DataType(Kind.LIST, (STRING,))


def array_of(element: DataType) -> DataType:
    """The type ``array<element>``."""
    return DataType(Kind.ARRAY, (element,))


def map_of(key: DataType, value: DataType) -> DataType:
    """The type ``map<key,value>``."""
    return DataType(Kind.MAP, (key, value))


# Every spelling that the language accepts for a type of one word.
TYPE_NAMES: dict[str, DataType] = {
    "null": NULL,
    "bool": BOOL,
    "boolean": BOOL,
    "smallint": SMALLINT,
    "int16": SMALLINT,
    "i16": SMALLINT,
    "int": INT,
    "integer": INT,
    "int32": INT,
    "i32": INT,
    "bigint": BIGINT,
    "int64": BIGINT,
    "i64": BIGINT,
    "float": FLOAT,
    "double": DOUBLE,
    "string": STRING,
    "varchar": STRING,
    "date": DATE,
    "timestamp": TIMESTAMP,
}


def parse_type(text: str) -> DataType:
    """The type that `text` names; raises ``ValueError`` for a name that is no type."""
    text = text.strip()
    if "<" in text and text.endswith(">"):
        constructor, _, inner = text[:-1].partition("<")
        try:
            kind = Kind(constructor.strip().lower())
        except ValueError:
            raise ValueError(f"unknown type '{text}'") from None
        return DataType(kind, tuple(parse_type(part) for part in _split_parameters(inner)))
    try:
        return TYPE_NAMES[text.lower()]
    except KeyError:
        raise ValueError(f"unknown type '{text}'") from None


def _split_parameters(inner: str) -> list[str]:
    """Split at commas that are not inside another type's angle brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(inner):
        depth += (character == "<") - (character == ">")
        if character == "," and depth == 0:
            parts.append(inner[start:position])
            start = position + 1
    return [*parts, inner[start:]]


_WIDTH = {kind: width for width, kind in enumerate((Kind.BOOL, *INTEGER_KINDS))}


def promote(left: DataType, right: DataType) -> DataType | None:
    """The type of an arithmetic operation on two numbers or bools, or None where there is none.

    Whole numbers widen to the wider one; a whole number with a float stays float, with a double becomes double.
    """
    if not all(side.is_numeric or side.kind is Kind.BOOL for side in (left, right)):
        return None
    if left.is_floating or right.is_floating:
        return DOUBLE if DOUBLE in (left, right) else FLOAT
    return left if _WIDTH[left.kind] >= _WIDTH[right.kind] else right


def unify(left: DataType, right: DataType) -> DataType:
    """The common type of two branches of an expression: promotion for numbers, else string.

    An untyped NULL takes the other side's type. A bigint with a float gives a double, because a float cannot hold it.
    """
    if left == right or right.kind is Kind.NULL:
        return left
    if left.kind is Kind.NULL:
        return right
    if {left, right} == {BIGINT, FLOAT}:
        return DOUBLE
    return promote(left, right) or STRING
