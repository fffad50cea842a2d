"""Fields over whole columns: every different value is worked on once, every row is a look-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import canonical
from airflow_provider_mlfeat.dataset.encoder.fields import PARTS, Field
from airflow_provider_mlfeat.dataset.encoder.hashing import NULL_BYTES, Keys, hash_bytes, hash_strings
from airflow_provider_mlfeat.dataset.encoder.vocabulary import FIRST, NULL, Vocabulary
from airflow_provider_mlfeat.errors import UserError

# Looking for repetitions costs as much as hashing most values; this many of them tell whether it pays. Writing a float
# costs several times as much.
_SAMPLE = 2_048
_REPETITIVE, _REPETITIVE_FLOATS = 0.5, 0.95
_HOUR = 3_600_000
_DAY = 24 * _HOUR


class Column:
    """A column's different values, and which of them each row has.

    `distinct` holds the values, and `codes` the place of each row's value in it, the place after the last for NULL; a
    column of hardly any repetitions has all its rows in `distinct`, and None as `codes`.

    :param name: the column's.
    :param values: its rows.
    :param kind: the logical type that it must have.
    :param non_finite: what NaN and infinity are: ``refuse`` or ``null``.
    """

    def __init__(self, name: str, values: pa.Array | pa.ChunkedArray, kind: str, non_finite: str = "refuse") -> None:
        self.name, self.kind = name, kind
        array = _typed(name, _whole(values), kind)
        if non_finite == "null" and pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_finite(array), array, pa.scalar(None, array.type))
        self._nulls: NDArray[np.bool_] | None = None
        self.codes: NDArray[np.int32] | None = None
        if _is_repetitive(array):
            encoded = array.dictionary_encode()
            self.distinct = encoded.dictionary
            # NULL is the value after the last.
            self.codes = np.asarray(encoded.indices.fill_null(len(self.distinct)))
        else:
            self.distinct = array
            if array.null_count:
                self._nulls = np.asarray(array.is_null())
        self._texts: pa.Array | None = None
        self._numbers: NDArray[Any] | None = None

    def spread(self, found: NDArray[Any], null: Any) -> NDArray[Any]:
        """What was found for each different value, for each row; `null` for rows without a value."""
        if self.codes is None:
            if self._nulls is not None:
                found[self._nulls] = null
            return found
        table = np.empty(len(found) + 1, found.dtype)
        table[:-1], table[-1] = found, null
        spread: NDArray[Any] = table[self.codes]
        return spread

    def texts(self) -> pa.Array:
        """The canonical text of each different value."""
        if self._texts is None:
            self._texts = canonical.texts(self.distinct, self.name)
        return self._texts

    def numbers(self) -> NDArray[Any]:
        """Each different value as a number: int64 milliseconds of a timestamp, else float64."""
        if self._numbers is None:
            self._numbers = _numbers(self.distinct, self.kind, self.name)
        return self._numbers


def keys_of(field: Field, column: Column, seed: int) -> Keys:
    """The 64-bit key of each row, before any vocabulary; NULL has that of one zero byte."""
    return column.spread(_distinct_keys(field, column, seed), np.uint64(hash_bytes(NULL_BYTES, seed)))


def counted_keys(field: Field, column: Column, seed: int) -> tuple[Keys, NDArray[np.int64] | None]:
    """Keys with the number of rows that have them; None for one each. A key may come more than once."""
    keys = _distinct_keys(field, column, seed)
    if column.codes is None:
        return keys, None
    counts = np.bincount(column.codes, minlength=len(keys) + 1)
    keys = np.append(keys, np.uint64(hash_bytes(NULL_BYTES, seed)))
    return keys[counts > 0], counts[counts > 0]


def ids_of(field: Field, column: Column, seed: int, vocabulary: Vocabulary | None) -> NDArray[np.int32]:
    """The id of each row."""
    if field.kind == "bucket":
        ranges = np.searchsorted(np.array(field.boundaries), as_doubles(column), side="right")
        return column.spread((FIRST + ranges).astype(np.int32), NULL)
    if field.kind == "part":
        return column.spread(_parts(field, column), NULL)
    keys = _distinct_keys(field, column, seed)
    ids = hashed_ids(keys, field.rows) if vocabulary is None else vocabulary.rows(keys)
    if field.position is not None:
        ids[np.asarray(_elements(field, column).is_null())] = NULL
    return column.spread(ids, NULL)


def hashed_ids(keys: Keys, rows: int) -> NDArray[np.int32]:
    """Keys spread over so many rows."""
    ids: NDArray[np.int32] = (FIRST + keys % np.uint64(rows)).astype(np.int32)
    return ids


def values_of(field: Field, column: Column) -> NDArray[np.float32]:
    """The value of each row."""
    numbers = as_doubles(column)
    if field.transform == "log":
        numbers = logarithm(numbers)
    scaled = ((numbers - field.center) / field.scale).astype(np.float32)
    return column.spread(scaled, np.float32("nan") if field.missing == "nan" else np.float32(0))


def as_doubles(column: Column) -> NDArray[np.float64]:
    """Each different value as a float64."""
    return column.numbers().astype(np.float64)


def logarithm(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of one more than each number's size, with the number's sign."""
    found: NDArray[np.float64] = np.copysign(np.log1p(np.abs(numbers)), numbers)
    return found


def element(field: Field) -> Callable[[str], str | None]:
    """A function that gives a field's element of a list in a string; None where there is none."""
    position, delimiter, null_text = field.position, field.delimiter, field.null_text or None
    assert position is not None

    def take(text: str) -> str | None:
        parts = text.split(delimiter, position + 1)
        found = parts[position] if len(parts) > position else None
        return None if found == null_text else found

    return take


def part_of_day(part: str, milliseconds: Any) -> Any:
    """Hour or weekday of local time, for one number or many."""
    return milliseconds // _HOUR % 24 if part == "hour" else (milliseconds // _DAY + 3) % 7


def _distinct_keys(field: Field, column: Column, seed: int) -> Keys:
    texts = column.texts() if field.position is None else _elements(field, column)
    return hash_strings(texts, seed)


def _elements(field: Field, column: Column) -> pa.Array:
    take = element(field)
    return pa.array([None if text is None else take(text) for text in column.texts().to_pylist()], pa.string())


def _parts(field: Field, column: Column) -> NDArray[np.int32]:
    if column.kind == "date":
        local = np.asarray(column.distinct.cast(pa.date32()).cast(pa.int32()).fill_null(0)).astype(np.int64) * _DAY
    else:
        local = column.numbers() + field.zone_milliseconds
    if field.part in ("hour", "weekday"):
        found = part_of_day(field.part, local)
    else:
        days = local.astype("datetime64[ms]").astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        found = months.astype(np.int64) % 12 + 1 if field.part == "month" else (days - months).astype(np.int64) + 1
    parts: NDArray[np.int32] = (FIRST - PARTS[field.part][1] + found).astype(np.int32)
    return parts


def _numbers(values: pa.Array, kind: str, name: str) -> NDArray[Any]:
    if kind == "timestamp":
        return np.asarray(canonical.milliseconds(values).fill_null(0))
    if kind == "date":
        return np.asarray(values.cast(pa.date32()).cast(pa.int32()).fill_null(0)).astype(np.float64)
    if kind == "bool":
        values = values.cast(pa.int8())
    if pa.types.is_decimal(values.type):
        # Arrow's own cast from decimals is not exact.
        values = canonical.texts(values, name)
    numbers = np.asarray(values.cast(pa.float64(), safe=False).fill_null(0))
    if not np.isfinite(numbers).all():
        raise canonical.not_finite(name)
    return numbers


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # of no chunks
        values = pa.array([], values.type)
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _typed(name: str, values: pa.Array, kind: str) -> pa.Array:
    if pa.types.is_null(values.type):
        return values.cast(_ANY.get(kind, pa.string()))
    try:
        found = canonical.type_name(values.type)
    except ValueError as error:
        raise UserError(f"column '{name}': {error}; CAST it in the query, or drop it") from None
    if found != kind:
        raise UserError(f"column '{name}' is {found}, and the encoder was made for {kind}")
    return values


_ANY = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "timestamp": pa.timestamp("ms"),
    "date": pa.date32(),
}


def _is_repetitive(values: pa.Array) -> bool:
    sample = values.slice(0, _SAMPLE)
    share = _REPETITIVE_FLOATS if pa.types.is_floating(values.type) else _REPETITIVE
    return bool(pc.count_distinct(sample, mode="all").as_py() <= share * max(2, len(sample)))
