"""How rows lie in the files: one record per series and key, older rows in chunks of their own.

The record of a key holds its newest rows, in the very form that blocks have: a matrix of order value, arrival number
and one line per column, then the masks. A key with a long history has closed chunks before it, numbered from
`first` up to, not including, `next`; they are not touched when a row is added. Closed chunks that are rewritten change
the `epoch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.encoding import Bits

Mask = NDArray[np.uint8]

_HEADER = Struct("=QQQIIII")
_VERSION = Struct("=Q")
_NUMBER = Struct(">I")
_KEY_COLUMN = Struct(">BQ")
HEADER_SIZE = _HEADER.size
ORDER, ARRIVAL, VALUES = 0, 1, 2


class Header(NamedTuple):
    """What stands before the rows.

    :param version: the highest arrival number that this key has seen: it grows with every write.
    :param epoch: changes when closed chunks are rewritten.
    :param closed: how many rows the closed chunks hold.
    :param length: how many rows follow.
    :param columns: how many columns a row has.
    :param first: the number of the oldest closed chunk.
    :param next: the number that the next closed chunk will have.
    """

    version: int
    epoch: int
    closed: int
    length: int
    columns: int
    first: int
    next: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a key, in order.

    :param matrix: order values, arrival numbers, and one line of patterns per column.
    :param kept: a line of ones, and per column whether it has a value.
    """

    matrix: Bits
    kept: Mask

    @property
    def length(self) -> int:
        """How many rows."""
        return int(self.matrix.shape[1])

    def slice(self, start: int, stop: int) -> Part:
        """The rows from `start` up to, not including, `stop`."""
        return Part(self.matrix[:, start:stop], self.kept[:, start:stop])

    def take(self, places: NDArray[np.integer[Any]]) -> Part:
        """The rows at these places."""
        return Part(self.matrix[:, places], self.kept[:, places])

    def block(self) -> Block:
        """The rows as kernels read them."""
        matrix = self.matrix
        return Block.over(matrix[VALUES:], self.kept, matrix[ORDER], matrix[ARRIVAL])


def join(parts: list[Part]) -> Part:
    """The rows of parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    matrices, masks = [part.matrix for part in parts], [part.kept for part in parts]
    return Part(np.concatenate(matrices, axis=1), np.concatenate(masks, axis=1))


def read_header(value: Any) -> Header:
    """The header of a record or chunk."""
    return Header(*_HEADER.unpack_from(value))


def encode(part: Part, version: int = 0, epoch: int = 0, closed: int = 0, first: int = 0, following: int = 0) -> bytes:
    """The record of some rows; the numbers are those of ``Header``."""
    header = _HEADER.pack(version, epoch, closed, part.length, part.matrix.shape[0] - VALUES, first, following)
    return header + part.matrix.tobytes() + part.kept.tobytes()


def decode(value: Any) -> tuple[Header, Part]:
    """The header and the rows of a record; they are copied, so that they outlive the transaction."""
    data = bytearray(value)
    header = Header(*_HEADER.unpack_from(data))
    count, lines = header.length, header.columns + VALUES
    words = count * lines
    matrix = np.frombuffer(data, np.int64, words, HEADER_SIZE).reshape(lines, count)
    kept = np.frombuffer(data, np.uint8, count * (lines - 1), HEADER_SIZE + 8 * words).reshape(lines - 1, count)
    return header, Part(matrix, kept)


def read_version(value: Any) -> int:
    """The version of a record."""
    return int(_VERSION.unpack_from(value)[0])


def decode_span(value: Any, first: int, last: int) -> Part:
    """A copy of the rows whose order values are from `first` to `last`; the others are not copied."""
    header = Header(*_HEADER.unpack_from(value))
    count, lines = header.length, header.columns + VALUES
    words = count * lines
    matrix = np.frombuffer(value, np.int64, words, HEADER_SIZE).reshape(lines, count)
    kept = np.frombuffer(value, np.uint8, count * (lines - 1), HEADER_SIZE + 8 * words).reshape(lines - 1, count)
    start = np.searchsorted(matrix[ORDER], first)
    stop = np.searchsorted(matrix[ORDER], last, side="right")
    return Part(matrix[:, start:stop].copy(), kept[:, start:stop].copy())


def count_and_last(value: Any) -> tuple[int, int]:
    """How many rows a record has, and the order value of the last one."""
    return read_header(value).length, last_order(value)


def last_order(value: Any) -> int:
    """The order value of the last row of a record."""
    length = read_header(value).length
    return int(np.frombuffer(value, np.int64, 1, HEADER_SIZE + 8 * (length - 1))[0])


def decode_block(value: Any) -> tuple[Header, Block]:
    """The header of a record, and its rows as kernels read them."""
    data = bytearray(value)
    header = Header(*_HEADER.unpack_from(data))
    count, columns = header.length, header.columns
    # Four arrays over one buffer: slices of one array would each cost as much as an array.
    values = HEADER_SIZE + 8 * VALUES * count
    bits: Bits = np.ndarray((columns, count), np.int64, data, values)
    kept: Mask = np.ndarray((columns + 1, count), np.uint8, data, values + 8 * columns * count)
    order: Bits = np.ndarray(count, np.int64, data, HEADER_SIZE + 8 * ORDER * count)
    arrivals: Bits = np.ndarray(count, np.int64, data, HEADER_SIZE + 8 * ARRIVAL * count)
    return header, Block.over(bits, kept, order, arrivals)


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def series_prefix(series: int) -> bytes:
    """What the keys of all records of a series begin with."""
    return _NUMBER.pack(series)


def chunk_key(key: bytes, number: int) -> bytes:
    """The key of a closed chunk of the record with this key."""
    return key + _NUMBER.pack(number)


def key_length(columns: int) -> int:
    """How long the key of a record is in a series with so many key columns; the key of a chunk is longer."""
    return _NUMBER.size + columns * _KEY_COLUMN.size


def key_of_bits(prefix: bytes, bits: list[int | None]) -> bytes:
    """The key of one combination of key values; None is NULL."""
    parts = [_KEY_COLUMN.pack(0, 0) if one is None else _KEY_COLUMN.pack(1, one & 0xFFFFFFFFFFFFFFFF) for one in bits]
    return prefix + b"".join(parts)


def key_of_code(prefix: bytes, code: int) -> bytes:
    """The key of one string, by its code."""
    return prefix + _KEY_COLUMN.pack(1, code)


def keys_of_bits(prefix: bytes, bits: Bits, valid: Mask) -> list[bytes]:
    """The keys of many combinations of key values, a column of the arrays each."""
    columns, count = bits.shape
    packed = np.zeros((count, columns), np.dtype([("valid", "u1"), ("bits", ">u8")]))
    packed["valid"] = valid.T
    packed["bits"] = np.where(valid, bits, 0).T.astype(np.uint64)
    size, data = columns * packed.dtype.itemsize, packed.tobytes()
    return [prefix + data[start : start + size] for start in range(0, count * size, size)] if size else [prefix] * count
