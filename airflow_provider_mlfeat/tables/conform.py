"""Rows of a file as rows of a table: cast where nothing is lost, refuse with a reason where something would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.types import Kind
from airflow_provider_mlfeat.tables.definitions import arrow_schema
from airflow_provider_mlfeat.tables.matching import Matching
from airflow_provider_mlfeat.tables.texts import Texts


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row was refused.

    :param row: its place, from 0.
    :param column: of the table; '' where the row as a whole is wrong.
    :param value: what stood there.
    :param reason: what is wrong with it.
    """

    row: int
    column: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file.

    :param good: rows as the table stores them.
    :param rows: how many were read.
    :param rejected: what is wrong with the others, in order.
    """

    good: pa.Table
    rows: int
    rejected: Sequence[Rejection] = field(default=())


class Conformer:
    """Makes a table's rows of a file's.

    :param definition: the table.
    :param matching: where its columns are in the file.
    :param texts: how text is read.
    """

    def __init__(self, definition: TableDefinition, matching: Matching, texts: Texts) -> None:
        self.definition, self.matching, self.texts = definition, matching, texts
        self.schema = arrow_schema(definition)

    def check_types(self, types: Sequence[pa.DataType], file: str) -> None:
        """Refuse a file with a column whose type never becomes the table's."""
        for column, source in zip(self.definition.columns, self.matching.sources, strict=True):
            if source is not None and not _castable(types[source], column.type.kind):
                name = self.matching.names[source]
                message = f"'{file}': column '{name}' has type {types[source]}, which does not become {column.type}"
                raise UserError(f"{message} of '{self.definition.qualified_name}.{column.name}' without loss")

    def __call__(
        self,
        columns: Sequence[Any],
        rows: int,
        ragged: Sequence[Rejection] = (),
        positions: NDArray[Any] | None = None,
        absent: Mapping[int, NDArray[np.bool_]] | None = None,
    ) -> Chunk:
        """The chunk of a file's columns.

        :param columns: Arrow columns in the file's order; those that the table does not need may be None.
        :param rows: how many they hold.
        :param ragged: rows that were refused before.
        :param positions: places of the columns' rows, where refused ones stood between them.
        :param absent: by place of a column the rows that do not have it, and get the DEFAULT.
        """
        made, rejected = [], list(ragged)
        bad: NDArray[np.bool_] | None = None
        pairs = zip(self.definition.columns, self.matching.sources, self.schema, strict=True)
        for column, source, stored in pairs:
            if source is None:
                made.append(self._default(column, stored.type, rows))
                continue
            given = columns[source]
            array, wrong, reason = self._convert(given, column, stored.type)
            without = None if absent is None else absent.get(source)
            if without is not None and column.has_default:
                array = pc.if_else(pa.array(without), self._default(column, stored.type, rows), array)
            if column.not_null and array.null_count:
                nulls = np.asarray(given.is_null())
                nulls = nulls if without is None or column.default is None else nulls & ~without
                rejected += self._rejections(nulls, given, column, f"'{column.name}' is NOT NULL", positions)
                bad = nulls if bad is None else bad | nulls
            if wrong is not None:
                rejected += self._rejections(wrong, given, column, reason, positions)
                bad = wrong if bad is None else bad | wrong
            made.append(array)
        if bad is not None:
            keep = pa.array(~bad)
            made = [array.filter(keep) for array in made]
        rejected.sort(key=lambda rejection: rejection.row)
        return Chunk(pa.Table.from_arrays(made, schema=self.schema), rows + len(ragged), rejected)

    def _convert(
        self, given: Any, column: ColumnDefinition, target: pa.DataType
    ) -> tuple[Any, NDArray[np.bool_] | None, str]:
        """The column as stored, and which values cannot be."""
        if given.type == target:
            return given, None, ""
        if pa.types.is_dictionary(given.type):
            if target == pa.string() and given.type.value_type == target:
                return given.cast(target), None, ""
            given = given.cast(given.type.value_type)
        kind, source = column.type.kind, given.type
        if kind is Kind.TIMESTAMP and not pa.types.is_timestamp(source) and not _is_text(source):
            return _from_epoch(given, target)
        if kind is Kind.TIMESTAMP and pa.types.is_timestamp(source) and source.tz is None:
            given = given.cast(pa.timestamp(source.unit, "UTC"))
        if _is_text(source) or pa.types.is_binary(source):
            if kind is Kind.STRING and _is_text(source):
                return given.cast(target), None, ""
            return self.texts.parse(given, kind, target)
        try:
            array = given.cast(target)
        except pa.ArrowInvalid:
            return _cast_one_by_one(given, target)
        return array, None, ""

    def _rejections(
        self,
        wrong: NDArray[np.bool_],
        given: Any,
        column: ColumnDefinition,
        reason: str,
        positions: NDArray[Any] | None,
    ) -> list[Rejection]:
        found = np.flatnonzero(wrong)
        values = given.take(pa.array(found)).to_pylist()
        places = found if positions is None else positions[found]
        return [
            Rejection(int(place), column.name, _text(value), reason)
            for place, value in zip(places, values, strict=True)
        ]

    def _default(self, column: ColumnDefinition, target: pa.DataType, rows: int) -> pa.Array:
        value = column.default
        if value is None:
            return pa.nulls(rows, target)
        if column.type.kind is Kind.TIMESTAMP:
            scalar = pa.scalar(int(value) * 1000, pa.int64()).cast(target)
        elif column.type.kind is Kind.DATE:
            scalar = pa.scalar(str(value)).cast(target)
        else:
            scalar = pa.scalar(value, target)
        return pa.repeat(scalar, rows)


def _text(value: Any) -> str:
    text = (
        value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else "" if value is None else str(value)
    )
    return text if len(text) <= 200 else text[:200] + "…"


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def _from_epoch(given: Any, target: pa.DataType) -> tuple[Any, NDArray[np.bool_] | None, str]:
    """Milliseconds since 1970 as points in time."""
    try:
        return pc.multiply_checked(given.cast(pa.int64()), 1000).cast(target), None, ""
    except pa.ArrowInvalid:
        milliseconds = np.asarray(given.cast(pa.int64()).fill_null(0))
        wrong = np.abs(milliseconds) > (2**63 - 1) // 1000
        kept = pc.if_else(pa.array(wrong), pa.scalar(None, pa.int64()), given.cast(pa.int64()))
        return pc.multiply(kept, 1000).cast(target), wrong, "no point in time in milliseconds"


def _cast_one_by_one(given: Any, target: pa.DataType) -> tuple[Any, NDArray[np.bool_] | None, str]:
    """A safe cast of all values that survive it."""
    if pa.types.is_timestamp(given.type):
        array = given.cast(target, safe=False)
        back, reason = array.cast(given.type, safe=False), "finer than a microsecond"
    else:
        array = given.cast(target, safe=False)
        back, reason = array.cast(given.type, safe=False), f"does not fit {target}"
    wrong = np.asarray(pc.fill_null(pc.not_equal(back, given), fill_value=False))
    return array, wrong, reason


_FROM: dict[Kind, tuple[Callable[[pa.DataType], bool], ...]] = {
    Kind.BOOL: (pa.types.is_boolean,),
    Kind.SMALLINT: (pa.types.is_integer,),
    Kind.INT: (pa.types.is_integer,),
    Kind.BIGINT: (pa.types.is_integer,),
    Kind.FLOAT: (pa.types.is_integer, pa.types.is_float16, pa.types.is_float32),
    Kind.DOUBLE: (pa.types.is_integer, pa.types.is_floating),
    Kind.STRING: (_is_text,),
    Kind.DATE: (pa.types.is_date, _is_text),
    Kind.TIMESTAMP: (pa.types.is_timestamp, pa.types.is_integer, _is_text),
}


def _castable(source: pa.DataType, kind: Kind) -> bool:
    if pa.types.is_dictionary(source):
        source = source.value_type
    return bool(pa.types.is_null(source)) or any(allows(source) for allows in _FROM[kind])
