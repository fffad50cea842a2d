"""Columns as the 64-bit patterns that the kernels work on, and back.

Two values are equal exactly when their patterns are, and a NULL has the pattern of its type's zero value, as which
``distinct_count`` counts it. Integers order as they are, doubles by their bits; strings are encoded as ranks, so that
they order as integers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, Dictionary, numpy_type
from airflow_provider_mlfeat.engine.kernels.statistics import Family
from airflow_provider_mlfeat.sql.types import DataType, Kind

Bits = NDArray[np.int64]

# A day that no date of the language has: the "zero date".
ZERO_DATE = -(10**9)


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the patterns of a column mean.

    :param type: the type of the values.
    :param dictionary: the strings that ranks refer to.
    """

    type: DataType
    dictionary: Dictionary | None = None

    @property
    def family(self) -> Family:
        """How kernels read and order the patterns."""
        return family_of(self.type)

    @property
    def zero(self) -> int:
        """The pattern of a NULL."""
        if self.dictionary is None:
            return zero_bits(self.type)
        # The empty string has the lowest rank; where there is none, what is lower still stands for it.
        return 0 if self.dictionary.has_empty else -1

    def decode(self, bits: Bits, valid: NDArray[np.bool_] | None) -> Column:
        """The column of patterns."""
        if self.dictionary is not None:
            codes = np.argsort(self.dictionary.ranks).astype(np.int32)
            # The rank of a NULL may be -1, which means the last code and is never looked at.
            return Column(self.type, codes[bits], valid, self.dictionary)
        if self.type.is_floating:
            return Column(self.type, bits.view(np.float64).astype(numpy_type(self.type)), valid)
        return Column(self.type, bits.astype(numpy_type(self.type)), valid)


def family_of(data_type: DataType) -> Family:
    """How kernels read and order encoded values of a type."""
    if data_type.kind is Kind.FLOAT:
        return Family.FLOAT
    return Family.DOUBLE if data_type.kind is Kind.DOUBLE else Family.INTEGER


def encode(column: Column) -> tuple[Bits, Encoding]:
    """The patterns of a column, and what they mean."""
    encoding = Encoding(column.type, column.dictionary)
    if column.dictionary is not None:
        ranks = column.dictionary.ranks.astype(np.int64)
        bits = ranks[column.values]
    else:
        bits = number_bits(column.values)
    if column.valid is not None:
        bits[~column.valid] = encoding.zero
    return bits, encoding


def zero_bits(data_type: DataType) -> int:
    """The pattern of a NULL that is no string."""
    return ZERO_DATE if data_type.kind is Kind.DATE else 0


def number_bits(values: NDArray[Any]) -> Bits:
    """The patterns of numbers: equal numbers, and all NaN, get equal ones."""
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    reals = values.astype(np.float64) + 0.0
    unordered = np.isnan(reals)
    if unordered.any():
        reals[unordered] = np.nan
    return reals.view(np.int64)
