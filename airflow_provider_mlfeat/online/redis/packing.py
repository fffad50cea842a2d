"""Rows as members of sorted sets.

A member is the order value and the arrival number, big-endian, so that members of one score sort as rows do; then a bit
per column that says whether there is a value; then the values. Numbers take the width of their type, strings their
length and their UTF-8 bytes, and the column that orders the series takes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.encoding import Bits, zero_bits
from airflow_provider_mlfeat.engine.kernels.compilation import kernel
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import Kind

_HEAD = Struct(">Q")
_LENGTH = Struct("<I")
_ORDER_BYTES, _ARRIVAL_BYTES = 8, 6
_LONG = 255  # a string of this length or more has its length in four bytes behind this one
_TEXT, _ORDER, _FLOAT = 0, -1, -4  # what stands in place of a width
_WIDTHS = {
    Kind.BOOL: 1,
    Kind.SMALLINT: 2,
    Kind.INT: 4,
    Kind.DATE: 4,
    Kind.BIGINT: 8,
    Kind.TIMESTAMP: 8,
    Kind.FLOAT: _FLOAT,
    Kind.DOUBLE: 8,
    Kind.STRING: _TEXT,
}


class Packing:
    """How the rows of a series are packed.

    :param schema: the table's columns.
    :param order: the column that orders the series; None is the order of arrival.
    """

    def __init__(self, schema: Schema, order: int | None) -> None:
        self._schema, self._order = schema, order
        self._widths = np.array([_WIDTHS[column.type.kind] for column in schema], np.int64)
        if order is not None:
            self._widths[order] = _ORDER
        self._zeros = np.array([zero_bits(column.type) for column in schema], np.int64)
        self._texts = [place for place, column in enumerate(schema) if column.type.kind is Kind.STRING]

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def pack(self, rows: Rows, arrivals: Bits) -> tuple[list[bytes], Bits]:
        """The members of rows, and their order values."""
        count = rows.length
        order = np.zeros(count, np.int64)
        if self._order is not None:
            order = rows.columns[self._order].values.astype(np.int64)
        valid = np.ones((len(self._schema), count), np.bool_)
        for place, column in enumerate(rows.columns):
            if column.valid is not None:
                valid[place] = column.valid
        masks = np.packbits(valid, axis=0, bitorder="little").T
        parts: list[list[bytes]] = [
            [_HEAD.pack(value) for value in order.tolist()],
            [_HEAD.pack(value)[8 - _ARRIVAL_BYTES :] for value in arrivals.tolist()],
            _slices(np.ascontiguousarray(masks), masks.shape[1]),
        ]
        for place, column in enumerate(rows.columns):
            values = self._column(place, column.values, column.dictionary)
            if values is not None:
                missing = np.flatnonzero(~valid[place])
                for row in missing.tolist():
                    values[row] = b""
                parts.append(values)
        return [b"".join(row) for row in zip(*parts, strict=True)], order

    def _column(self, place: int, values: NDArray[Any], dictionary: Any) -> list[bytes] | None:
        width = int(self._widths[place])
        if width == _ORDER:
            return None
        if dictionary is not None:
            texts = [_text(string) for string in dictionary.strings]
            return [texts[code] for code in values.tolist()]
        if values.dtype.kind == "f":
            # Equal numbers have equal patterns, whatever the sign of a zero or the kind of a NaN.
            values = np.where(np.isnan(values), values.dtype.type(np.nan), values + values.dtype.type(0))
            return _slices(values.astype("<f4" if width == _FLOAT else "<f8"), abs(width))
        return _slices(values.astype(f"<i{width}"), width)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def block(self, members: Sequence[bytes], pool: StringPool, known: dict[bytes, int]) -> Block:
        """The rows of members in their order.

        :param members: of one sorted set.
        :param pool: where strings get their codes.
        :param known: the codes of strings by their bytes, which grows.
        """
        count, columns = len(members), len(self._schema)
        data = bytearray().join(members)
        stops = np.cumsum(np.fromiter(map(len, members), np.int64, count))
        matrix = np.empty((columns, count), np.int64)
        kept = np.ones((1 + columns, count), np.uint8)
        order, arrivals = np.empty(count, np.int64), np.empty(count, np.int64)
        spans = np.zeros((columns, 2, count), np.int64)
        unpack_rows(
            np.frombuffer(data, np.uint8), stops, self._widths, self._zeros, order, arrivals, matrix, kept, spans
        )
        for place in self._texts:
            starts, ends = spans[place].tolist()
            texts = [bytes(data[start:end]) for start, end in zip(starts, ends, strict=True)]
            try:
                codes = [known[text] for text in texts]
            except KeyError:
                for text in set(texts):
                    if text not in known:
                        known[text] = pool.add(text.decode())
                codes = [known[text] for text in texts]
            matrix[place] = codes
        return Block.over(matrix, kept, order, arrivals)


def arrival_of(member: bytes) -> int:
    """The arrival number of a member."""
    return int.from_bytes(member[_ORDER_BYTES : _ORDER_BYTES + _ARRIVAL_BYTES], "big")


def _slices(values: NDArray[Any], width: int) -> list[bytes]:
    data = values.tobytes()
    return [data[start : start + width] for start in range(0, len(data), width)]


def _text(string: str) -> bytes:
    data = string.encode()
    if len(data) < _LONG:
        return bytes((len(data),)) + data
    return bytes((_LONG,)) + _LENGTH.pack(len(data)) + data


@kernel()
def _whole(data, place, width):  # type: ignore[no-untyped-def]
    """A little-endian number with a sign."""
    value = np.uint64(0)
    for byte in range(width):
        value |= np.uint64(data[place + byte]) << np.uint64(8 * byte)
    shift = np.uint64(64 - 8 * width)
    return np.int64(value << shift) >> np.int64(shift)


@kernel(
    "void(uint8[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], uint8[:, ::1],"
    " int64[:, :, ::1])"
)
def unpack_rows(data, stops, widths, zeros, order, arrivals, matrix, kept, spans):  # type: ignore[no-untyped-def]
    """Take members apart; strings are left as where they begin and end."""
    columns = len(widths)
    masks = (columns + 7) // 8
    single = np.empty(1, np.uint32)
    wide = np.empty(1, np.float64)
    for row in range(len(stops)):
        place = np.int64(0) if row == 0 else stops[row - 1]
        value = np.int64(0)
        for byte in range(8):
            value = (value << 8) | np.int64(data[place + byte])
        order[row] = value
        number = np.int64(0)
        for byte in range(6):
            number = (number << 8) | np.int64(data[place + 8 + byte])
        arrivals[row] = number
        mask = place + 14
        place = mask + masks
        for column in range(columns):
            if not (data[mask + column // 8] >> (column % 8)) & 1:
                kept[1 + column, row] = 0
                matrix[column, row] = zeros[column]
                continue
            width = widths[column]
            if width == -1:
                matrix[column, row] = value
            elif width == 0:
                length = np.int64(data[place])
                place += 1
                if length == 255:
                    length = _whole(data, place, 4) & 0xFFFFFFFF
                    place += 4
                spans[column, 0, row], spans[column, 1, row] = place, place + length
                place += length
            elif width == -4:
                single[0] = np.uint32(_whole(data, place, 4) & 0xFFFFFFFF)
                wide[0] = np.float64(single.view(np.float32)[0])
                matrix[column, row] = wide.view(np.int64)[0]
                place += 4
            else:
                matrix[column, row] = _whole(data, place, width)
                place += width
