"""What the columns of the training rows hold, as far as choosing fields needs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.counting import DistinctKeys
from airflow_provider_mlfeat.dataset.encoder import SEED, Field
from airflow_provider_mlfeat.dataset.encoder.columns import Column, counted_keys, keys_of
from airflow_provider_mlfeat.dataset.sampling import mix, row_numbers

# Beyond so many different values it does not matter how many there are to the last one.
_EXACT = 1 << 17


@dataclass(frozen=True)
class Measured:
    """One column of the training rows.

    :param name: the column's.
    :param type: its logical type.
    :param rows: how many rows there were.
    :param nulls: how many of them are NULL.
    :param distinct: different values, NULL being one; an estimate where there are many.
    :param contents: equal for columns with equal values in all rows.
    :param parts: how many elements each value has as a comma-separated list; 0 where that differs.
    """

    name: str
    type: str
    rows: int
    nulls: int
    distinct: int
    contents: int
    parts: int


class ColumnMeasure:
    """Measures one column, batch by batch.

    :param name: the column's.
    :param kind: its logical type.
    """

    def __init__(self, name: str, kind: str) -> None:
        self._field = Field(name, name, "vocabulary", kind, non_finite="null")
        self._distinct = DistinctKeys(_EXACT)
        self._rows, self._nulls, self._contents = 0, 0, 0
        self._fewest: int | None = None
        self._most = 0

    def add(self, batch: pa.RecordBatch, numbers: NDArray[np.uint64] | None = None) -> None:
        """Measure rows.

        :param batch: the rows.
        :param numbers: their `row_numbers`; None counts on from the rows before.
        """
        values = batch.column(self._field.column)
        column = Column(self._field.column, values, self._field.type, "null")
        keys = keys_of(self._field, column, SEED)
        self._distinct.add(counted_keys(self._field, column, SEED)[0])
        if numbers is None:
            numbers = row_numbers(self._rows, batch.num_rows, SEED)
        self._contents = (self._contents + int(mix(keys ^ numbers).sum(dtype=np.uint64))) & 0xFFFFFFFFFFFFFFFF
        self._rows += batch.num_rows
        self._nulls += values.null_count
        if self._field.type == "string" and len(column.distinct) > column.distinct.null_count:
            commas = pc.min_max(pc.count_substring(column.texts(), ","))
            fewest, most = commas["min"].as_py() + 1, commas["max"].as_py() + 1
            self._fewest = fewest if self._fewest is None else min(self._fewest, fewest)
            self._most = max(self._most, most)

    def merge(self, other: ColumnMeasure) -> None:
        """Take in what another measure of the same column has seen of other rows."""
        self._distinct.merge(other._distinct)
        self._contents = (self._contents + other._contents) & 0xFFFFFFFFFFFFFFFF
        self._rows += other._rows
        self._nulls += other._nulls
        found = [one for one in (self._fewest, other._fewest) if one is not None]
        self._fewest = min(found, default=None)
        self._most = max(self._most, other._most)

    def finish(self) -> Measured:
        """What was found."""
        return Measured(
            name=self._field.column,
            type=self._field.type,
            rows=self._rows,
            nulls=self._nulls,
            distinct=self._distinct.finish(),
            contents=self._contents,
            parts=self._most if self._fewest == self._most else 0,
        )
