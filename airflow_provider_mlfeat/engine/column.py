"""The one in-memory form of a column, in the batch driver, in the request driver and inside Spark.

Numbers, dates and timestamps are numpy arrays. Strings are int32 codes into a dictionary of distinct values, so that
rows are compared, hashed and moved as integers and a function of a string runs once per distinct value. Codes mean
nothing outside their dictionary and carry no order: compare the order of strings by the dictionary's ranks.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import and_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.sql.types import STRING, DataType, Kind

_EPOCH = datetime.date(1970, 1, 1)
_ONE_DAY = datetime.timedelta(days=1)

_NUMPY_TYPES: dict[Kind, np.dtype[Any]] = {
    kind: np.dtype(name)
    for kind, name in {
        Kind.NULL: "bool",
        Kind.BOOL: "bool",
        Kind.SMALLINT: "int16",
        Kind.INT: "int32",
        Kind.BIGINT: "int64",
        Kind.FLOAT: "float32",
        Kind.DOUBLE: "float64",
        Kind.STRING: "int32",
        Kind.DATE: "int32",
        Kind.TIMESTAMP: "int64",
        Kind.ARRAY: "object",
        Kind.LIST: "object",
        Kind.MAP: "object",
        Kind.FEATURE: "object",
    }.items()
}

_ARROW_TYPES: dict[Kind, pa.DataType] = {
    Kind.NULL: pa.null(),
    Kind.BOOL: pa.bool_(),
    Kind.SMALLINT: pa.int16(),
    Kind.INT: pa.int32(),
    Kind.BIGINT: pa.int64(),
    Kind.FLOAT: pa.float32(),
    Kind.DOUBLE: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: pa.timestamp("ms"),
}

# Types that numpy has no name for are moved as the integers that they are stored as.
_STORED_AS = {Kind.DATE: pa.int32(), Kind.TIMESTAMP: pa.int64()}


def numpy_type(data_type: DataType) -> np.dtype[Any]:
    """The dtype of ``Column.values`` for a type of the language."""
    return _NUMPY_TYPES[data_type.kind]


def arrow_type(data_type: DataType) -> pa.DataType:
    """The Arrow type of a type of the language."""
    if data_type.kind is Kind.MAP:
        key, value = data_type.parameters
        return pa.map_(arrow_type(key), arrow_type(value))
    if data_type.is_nested:
        return pa.list_(arrow_type(data_type.element))
    return _ARROW_TYPES[data_type.kind]


class Dictionary:
    """Distinct strings, numbered from 0; immutable, and never empty, so that any code may be looked up.

    Made from a pyarrow StringArray or from Python strings; the other form, the ranks and the look-up from string to
    code are made when they are first asked for.

    :param values: the distinct strings.
    """

    __slots__ = ("_arrow", "_codes", "_ranks", "_strings")

    def __init__(self, values: pa.StringArray | Sequence[str]) -> None:
        if not len(values):
            values = ("",)
        self._arrow: pa.StringArray | None = values if isinstance(values, pa.Array) else None
        self._strings: Sequence[str] | None = None if isinstance(values, pa.Array) else values
        self._ranks: NDArray[np.int32] | None = None
        self._codes: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.arrow if self._strings is None else self._strings)

    @property
    def arrow(self) -> pa.StringArray:
        """The values as an Arrow array."""
        if self._arrow is None:
            self._arrow = pa.array(self._strings, pa.string())
        return self._arrow

    @property
    def strings(self) -> Sequence[str]:
        """The values as Python strings."""
        if self._strings is None:
            self._strings = self.arrow.to_pylist()
        return self._strings

    @property
    def ranks(self) -> NDArray[np.int32]:
        """Per code its place in the order by UTF-8 bytes."""
        if self._ranks is None:
            order = pc.array_sort_indices(self.arrow).to_numpy()
            self._ranks = np.empty(len(order), np.int32)
            self._ranks[order] = np.arange(len(order), dtype=np.int32)
        return self._ranks

    @property
    def has_empty(self) -> bool:
        """Whether the empty string is one of the values."""
        return int(pc.index(self.arrow, "").as_py()) >= 0

    def code_of(self, string: str) -> int:
        """The code of `string`, or -1 when it is none of the values."""
        if self._codes is None:
            self._codes = {value: code for code, value in enumerate(self.strings)}
        return self._codes.get(string, -1)


@dataclass(slots=True, eq=False)
class Column:
    """Values of one type, some of which may be NULL.

    Columns are never changed once they are made, and share their parts freely. That they are not frozen is for speed:
    a request makes hundreds of them, and a frozen one takes three times as long.

    :param type: the type.
    :param values: a numpy array of ``numpy_type(type)``: dates are days and timestamps milliseconds since 1970,
        strings are codes, arrays and lists are tuples and maps are dicts of Python values. Anything where invalid.
    :param valid: which values are not NULL; None where all are valid.
    :param dictionary: what the codes of strings mean; None for other types.
    """

    type: DataType
    values: NDArray[Any]
    valid: NDArray[np.bool_] | None = None
    dictionary: Dictionary | None = None

    def __len__(self) -> int:
        return len(self.values)

    # ── constructors ────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def constant(cls, value: Any, data_type: DataType, length: int) -> Column:
        """`length` times the same Python value (None is NULL)."""
        dtype = numpy_type(data_type)
        if value is None:
            dictionary = Dictionary(("",)) if data_type.kind is Kind.STRING else None
            return cls(data_type, np.zeros(length, dtype), np.zeros(length, np.bool_), dictionary)
        if data_type.kind is Kind.STRING:
            return cls(data_type, np.zeros(length, dtype), None, Dictionary((value,)))
        if data_type.is_nested:
            return cls(data_type, _objects([value] * length))
        return cls(data_type, np.full(length, _stored(value, data_type), dtype))

    @classmethod
    def from_values(cls, values: Sequence[Any], data_type: DataType) -> Column:
        """From Python values: None, bool, int, float, str, ``datetime.date``, milliseconds of a timestamp, …"""
        valid = None
        if None in values:
            valid = np.array([value is not None for value in values], np.bool_)
        if data_type.kind is Kind.STRING:
            codes: dict[str, int] = {}
            numbered = [0 if value is None else codes.setdefault(value, len(codes)) for value in values]
            return cls(data_type, np.array(numbered, np.int32), valid, Dictionary(list(codes)))
        if data_type.is_nested:
            return cls(data_type, _objects(values), valid)
        if valid is not None or data_type.kind is Kind.DATE:
            values = [0 if value is None else _stored(value, data_type) for value in values]
        return cls(data_type, np.array(values, numpy_type(data_type)), valid)

    @classmethod
    def from_arrow(cls, array: pa.Array | pa.ChunkedArray, data_type: DataType, clean: bool = False) -> Column:
        """From Arrow, converting to the type of the language where a value fits it.

        :param array: the values.
        :param data_type: the type of the language.
        :param clean: whether a dictionary is known to hold no value twice and no NULL, as those that Arrow makes.
        """
        if data_type.kind is Kind.STRING:
            return _strings_from_arrow(array, clean)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if data_type.kind is Kind.NULL:
            return cls.constant(None, data_type, len(array))
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
        if data_type.is_nested:
            return cls(data_type, _objects(_nested_values(array, data_type)), valid)
        expected = arrow_type(data_type)
        if array.type != expected:
            # Finer timestamps lose what is below a millisecond; any other loss is an error.
            array = array.cast(expected, safe=data_type.kind is not Kind.TIMESTAMP)
        if data_type.kind in _STORED_AS:
            array = array.view(_STORED_AS[data_type.kind])
        if valid is not None:
            array = array.fill_null(False if data_type.kind is Kind.BOOL else 0)
        return cls(data_type, array.to_numpy(zero_copy_only=False), valid)

    # ── conversions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def to_arrow(self, keep_dictionary: bool = False) -> pa.Array:
        """The Arrow array; strings are decoded unless the dictionary is to be kept."""
        expected = arrow_type(self.type)
        if self.type.kind is Kind.NULL:
            return pa.nulls(len(self))
        mask = None if self.valid is None else ~self.valid
        if self.dictionary is not None:
            codes = pa.array(self.values, mask=mask)
            if keep_dictionary:
                return pa.DictionaryArray.from_arrays(codes, self.dictionary.arrow)
            return self.dictionary.arrow.take(codes)
        if self.type.is_nested:
            return pa.array([_nested_for_arrow(value) for value in self.to_values()], expected)
        array = pa.array(self.values, mask=mask)
        return array.view(expected) if self.type.kind in _STORED_AS else array

    def to_values(self) -> list[Any]:
        """Python values, NULL as None."""
        values: list[Any] = self.values.tolist()
        if self.dictionary is not None:
            strings = self.dictionary.strings
            values = [strings[code] for code in values]
        elif self.type.kind is Kind.DATE:
            valid_days = values if self.valid is None else np.where(self.valid, self.values, 0).tolist()
            values = [_EPOCH + days * _ONE_DAY for days in valid_days]
        if self.valid is None:
            return values
        return [value if valid else None for value, valid in zip(values, self.valid.tolist(), strict=True)]

    def value(self, row: int) -> Any:
        """One Python value, NULL as None."""
        if self.valid is not None and not self.valid[row]:
            return None
        value = self.values[row]
        if self.dictionary is not None:
            return self.dictionary.strings[value]
        if self.type.kind is Kind.DATE:
            return _EPOCH + int(value) * _ONE_DAY
        return value if self.type.is_nested else value.item()

    # ── moving rows ─────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, indices: NDArray[np.integer[Any]]) -> Column:
        """The rows at `indices`; an index of -1 gives NULL."""
        missing = indices < 0
        if not missing.any():
            valid = None if self.valid is None else self.valid[indices]
            return Column(self.type, self.values[indices], valid, self.dictionary)
        if not len(self):
            return Column.constant(None, self.type, len(indices))
        # Row -1 is some row of the column; its value is never looked at.
        valid = ~missing if self.valid is None else self.valid[indices] & ~missing
        return Column(self.type, self.values[indices], valid, self.dictionary)

    def filter(self, mask: NDArray[np.bool_]) -> Column:
        """The rows where `mask` is true."""
        valid = None if self.valid is None else self.valid[mask]
        return Column(self.type, self.values[mask], valid, self.dictionary)

    def slice(self, start: int, stop: int) -> Column:
        """The rows from `start` up to, not including, `stop`; shares memory with this column."""
        valid = None if self.valid is None else self.valid[start:stop]
        return Column(self.type, self.values[start:stop], valid, self.dictionary)


def one_row_maker(data_type: DataType) -> Callable[[Any], Column]:
    """A function that makes the column of one Python value, quicker than ``Column.constant`` does."""
    null = Column.constant(None, data_type, 1)
    dtype = null.values.dtype
    is_date = data_type.kind is Kind.DATE

    def make_string(value: Any) -> Column:
        return null if value is None else Column(data_type, null.values, None, Dictionary((value,)))

    def make(value: Any) -> Column:
        if value is None:
            return null
        return Column(data_type, np.array([_stored(value, data_type) if is_date else value], dtype))

    if data_type.kind is Kind.STRING:
        return make_string
    return (lambda value: Column.constant(value, data_type, 1)) if data_type.is_nested else make


def concatenate(columns: Sequence[Column]) -> Column:
    """The rows of all columns, which are of one type, in order."""
    first = columns[0]
    if len(columns) == 1:
        return first
    valid = None
    if any(column.valid is not None for column in columns):
        valid = np.concatenate([validity(column) for column in columns])
    if first.dictionary is None:
        return Column(first.type, np.concatenate([column.values for column in columns]), valid)
    codes, dictionary = shared_codes(columns)
    return Column(first.type, np.concatenate(codes), valid, dictionary)


def shared_codes(columns: Sequence[Column]) -> tuple[list[NDArray[np.int32]], Dictionary]:
    """The codes of string columns in one dictionary that holds the values of all of them."""
    mappings, merged = merge_dictionaries([column.dictionary for column in columns if column.dictionary is not None])
    codes = [
        column.values if mapping is None else mapping[column.values]
        for column, mapping in zip(columns, mappings, strict=True)
    ]
    return codes, merged


def merge_dictionaries(dictionaries: Sequence[Dictionary]) -> tuple[list[NDArray[np.int32] | None], Dictionary]:
    """One dictionary that holds the values of all, and per dictionary its codes in that one; None where they stay."""
    first = dictionaries[0]
    if all(dictionary is first for dictionary in dictionaries):
        return [None] * len(dictionaries), first
    distinct = {id(dictionary): dictionary for dictionary in dictionaries}
    mappings = {}
    if sum(map(len, distinct.values())) <= 64:
        codes: dict[str, int] = {}
        for key, dictionary in distinct.items():
            mappings[key] = np.array([codes.setdefault(string, len(codes)) for string in dictionary.strings], np.int32)
        merged = Dictionary(list(codes))
    else:
        encoded = pa.concat_arrays([dictionary.arrow for dictionary in distinct.values()]).dictionary_encode()
        merged, mapping, start = Dictionary(encoded.dictionary), encoded.indices.to_numpy(), 0
        for key, dictionary in distinct.items():
            mappings[key] = mapping[start : start + len(dictionary)]
            start += len(dictionary)
    return [mappings[id(dictionary)] for dictionary in dictionaries], merged


def validity(column: Column) -> NDArray[np.bool_]:
    """Which rows are not NULL, as an array in any case."""
    return np.ones(len(column), np.bool_) if column.valid is None else column.valid


def all_valid(columns: Iterable[Column]) -> NDArray[np.bool_] | None:
    """Which rows are NULL in none of the columns; None where all rows are."""
    masks = [column.valid for column in columns if column.valid is not None]
    return reduce(and_, masks) if masks else None


def string_column(array: pa.Array | pa.ChunkedArray) -> Column:
    """A string column from an Arrow array of strings."""
    return Column.from_arrow(array, STRING)


def _strings_from_arrow(array: pa.Array | pa.ChunkedArray, clean: bool) -> Column:
    if pa.types.is_null(array.type):
        return Column.constant(None, STRING, len(array))
    if not pa.types.is_dictionary(array.type):
        if array.type != pa.string():
            array = array.cast(pa.string())
        array = array.dictionary_encode()
        clean = True
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
    indices, values = array.indices, array.dictionary.cast(pa.string())
    valid = indices.is_valid().to_numpy(zero_copy_only=False) if indices.null_count else None
    codes = _codes_from_arrow(indices, len(values))
    if clean:
        return Column(STRING, codes, valid, Dictionary(values))
    # Nothing forbids an Arrow dictionary to repeat values or to hold NULL, but a Dictionary may do neither.
    distinct = values.dictionary_encode()
    if len(distinct.dictionary) == len(values):
        return Column(STRING, codes, valid, Dictionary(distinct.dictionary))
    meaning = distinct.indices.fill_null(-1).to_numpy()
    if len(meaning):
        codes = meaning[codes]
    if (codes < 0).any():
        valid = (codes >= 0) if valid is None else valid & (codes >= 0)
        codes = np.maximum(codes, 0)
    return Column(STRING, codes, valid, Dictionary(distinct.dictionary))


def _codes_from_arrow(indices: pa.Array, count: int) -> NDArray[np.int32]:
    """The indices of a dictionary of `count` values, some code or other where NULL; not copied if that can be."""
    if indices.null_count and indices.type == pa.int32():
        stored = np.frombuffer(indices.buffers()[1], np.int32, len(indices), 4 * indices.offset)
        if stored.min() >= 0 and stored.max() < count:
            return stored
    filled: NDArray[np.int32] = indices.fill_null(0).cast(pa.int32()).to_numpy()
    return filled


def _stored(value: Any, data_type: DataType) -> Any:
    """The number that stands for a Python value."""
    return (value - _EPOCH).days if data_type.kind is Kind.DATE else value


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """An array of Python objects; ``np.array`` would make tuples of one length into rows of a matrix."""
    return np.fromiter(values, np.dtype(object), len(values))


def _nested_values(array: pa.Array, data_type: DataType) -> list[Any]:
    """Python values of a list or map array, in the language's own representation of dates and timestamps."""
    offsets = array.offsets.to_numpy().tolist()
    bounds = list(pairwise(offsets))
    if data_type.kind is Kind.MAP:
        keys, items = (
            Column.from_arrow(part, inner).to_values()
            for part, inner in zip((array.keys, array.items), data_type.parameters, strict=True)
        )
        values: list[Any] = [dict(zip(keys[start:stop], items[start:stop], strict=True)) for start, stop in bounds]
    else:
        elements = Column.from_arrow(array.values, data_type.element).to_values()
        values = [tuple(elements[start:stop]) for start, stop in bounds]
    return [value if valid else None for value, valid in zip(values, array.is_valid().to_pylist(), strict=True)]


def _nested_for_arrow(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value
