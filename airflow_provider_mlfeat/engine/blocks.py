"""Blocks: rows that grow one by one, in the form that the kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, Dictionary, numpy_type
from airflow_provider_mlfeat.engine.encoding import Bits, zero_bits
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.sql.types import DataType, Kind


class Block:
    """Rows ordered by (order value, arrival).

    :param columns: how many columns a row has.
    :param capacity: for how many rows there is room at first.
    """

    __slots__ = ("bits", "broken", "count", "kept", "order", "reals", "rows")

    def __init__(self, columns: int, capacity: int = 4) -> None:
        self.count = 0
        self.bits: Bits = np.zeros((max(columns, 1), capacity), np.int64)
        self.reals: NDArray[np.float64] = self.bits.view(np.float64)
        # Mask 0 is all rows; mask 1 + n says where column n is not NULL.
        self.kept: NDArray[np.uint8] = np.ones((columns + 1, capacity), np.uint8)
        self.order: Bits = np.zeros(capacity, np.int64)
        self.rows: Bits = np.zeros(capacity, np.int64)
        # The first row without a usable order value.
        self.broken: int | None = None

    @classmethod
    def over(cls, bits: Bits, kept: NDArray[np.uint8], order: Bits, rows: Bits) -> Block:
        """The block whose rows these arrays are; they are neither copied nor checked."""
        block = cls.__new__(cls)
        block.count, block.broken = len(order), None
        block.bits, block.kept, block.order, block.rows = bits, kept, order, rows
        block.reals = bits.view(np.float64)
        return block

    def insert(self, bits: Sequence[int] | Bits, valid: Sequence[int] | Bits, time: int, row: int) -> None:
        """Add a row, which is newer than those of the same time; `row` is its number in the table."""
        if self.count == len(self.order):
            self._grow()
        place = self.count
        if place and self.order[place - 1] > time:
            place = int(np.searchsorted(self.order[: self.count], time, side="right"))
            for array in (self.bits, self.kept, self.order, self.rows):
                array[..., place + 1 : self.count + 1] = array[..., place : self.count].copy()
        self.bits[: len(bits), place] = bits
        self.kept[1:, place] = valid
        self.order[place] = time
        self.rows[place] = row
        self.count += 1

    def fill(self, bits: Bits, valid: NDArray[np.uint8], order: Bits, rows: Bits) -> None:
        """Take over many rows in order; the block must be empty."""
        columns, self.count = bits.shape
        capacity = max(4, self.count)
        if capacity > len(self.order):
            self.bits = np.zeros((max(columns, 1), capacity), np.int64)
            self.reals = self.bits.view(np.float64)
            self.kept = np.ones((columns + 1, capacity), np.uint8)
            self.order, self.rows = np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
        self.bits[:columns, : self.count] = bits
        self.kept[1:, : self.count] = valid
        self.order[: self.count] = order
        self.rows[: self.count] = rows

    def _grow(self) -> None:
        for name in ("bits", "kept", "order", "rows"):
            old = getattr(self, name)
            grown = np.ones((*old.shape[:-1], 2 * old.shape[-1]), old.dtype)
            grown[..., : self.count] = old
            setattr(self, name, grown)
        self.reals = self.bits.view(np.float64)

    def column(self, number: int, data_type: DataType, pool: StringPool, start: int, stop: int) -> Column:
        """The rows from place `start` up to `stop` of a column."""
        valid = self.kept[number + 1, start:stop].astype(np.bool_)
        return block_column(self.bits[number, start:stop], None if valid.all() else valid, data_type, pool)


def block_column(bits: Bits, valid: NDArray[np.bool_] | None, data_type: DataType, pool: StringPool) -> Column:
    """The column that patterns of stored rows stand for."""
    if data_type.kind is Kind.STRING:
        codes, numbers = np.unique(bits, return_inverse=True)
        dictionary = Dictionary([pool.strings[code] for code in codes.tolist()])
        return Column(data_type, numbers.astype(np.int32), valid, dictionary)
    if data_type.is_floating:
        return Column(data_type, bits.view(np.float64).astype(numpy_type(data_type)), valid)
    return Column(data_type, bits.astype(numpy_type(data_type)), valid)


def stored_bits(column: Column, pool: StringPool) -> Bits:
    """The patterns of a column as blocks hold them: strings as codes of the pool."""
    if column.dictionary is not None:
        codes = np.array([pool.add(string) for string in column.dictionary.strings], np.int64)
        bits: Bits = codes[column.values]
        zero = 0
    else:
        # Imported bits keep the sign of a zero: a stored value is given back as it came.
        values = column.values
        bits = values.astype(np.float64).view(np.int64) if values.dtype.kind == "f" else values.astype(np.int64)
        zero = zero_bits(column.type)
    if column.valid is not None:
        bits[~column.valid] = zero
    return bits


def value_of(bits: int, real: float, data_type: DataType) -> Any:
    """A number of the language as a Python value."""
    if data_type.is_floating:
        return real
    return bool(bits) if data_type.kind is Kind.BOOL else bits
