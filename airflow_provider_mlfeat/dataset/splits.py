"""Which rows train the model, which choose its epoch, and which judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import SEED, Field
from airflow_provider_mlfeat.dataset.encoder.canonical import milliseconds, type_name
from airflow_provider_mlfeat.dataset.encoder.columns import Column, keys_of
from airflow_provider_mlfeat.dataset.mapping import new_scratch
from airflow_provider_mlfeat.dataset.sampling import mix, mix_one, row_numbers
from airflow_provider_mlfeat.errors import UserError

SPLITS = ("train", "valid", "test")
KINDS = ("time", "key", "random", "positional")
# Split numbers, as `assign` gives them.
TRAIN, VALID, TEST = range(3)

Codes = NDArray[np.int8]
Batches = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Split:
    """How rows are divided.

    :param kind: ``time`` trains on the earliest rows and tests on the latest, rows of one moment staying together;
        ``key`` keeps all rows of a key together; ``random`` throws a seeded die for each row; ``positional`` takes
        rows as they lie: train, then test, then valid.
    :param columns: the time column, or the key's columns.
    :param train: share of the training rows.
    :param test: share of the test rows; the rest is for validation.
    :param seed: of ``key`` and ``random``.
    :param boundaries: ``time``: the first moments of valid and test, in milliseconds since 1970, or whole numbers of
        an integer column; found by the shares when they are not given.
    """

    kind: str
    columns: tuple[str, ...] = ()
    train: float = 0.8
    test: float = 0.1
    seed: int = SEED
    boundaries: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"split '{self.kind}' is not known: it is {', '.join(KINDS)}")
        if not (0 < self.train < 1 and 0 < self.test < 1 and self.train + self.test < 1):
            raise UserError(
                f"split shares train {self.train:g} and test {self.test:g} must be above 0 and leave some for valid"
            )
        if self.kind == "time" and len(self.columns) != 1:
            raise UserError("split 'time' takes one column, the time of the row")
        if self.kind == "key" and not self.columns:
            raise UserError("split 'key' takes the columns of the key that must stay together")
        if self.kind in ("random", "positional") and self.columns:
            raise UserError(f"split '{self.kind}' takes no columns")
        if self.boundaries and (self.kind != "time" or len(self.boundaries) != 2 or self._are_unsorted()):
            raise UserError("boundaries are two ascending moments of split 'time': where valid and where test begin")

    def _are_unsorted(self) -> bool:
        return self.boundaries[0] >= self.boundaries[1]

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "train": self.train,
            "test": self.test,
            "seed": self.seed,
            "boundaries": list(self.boundaries),
        }


class Assignment:
    """A split that knows the table that it divides.

    :param split: how.
    :param rows: of the table.
    :param kinds: logical types of the split's columns, by name.
    """

    def __init__(self, split: Split, rows: int, kinds: Mapping[str, str]) -> None:
        self.split = split
        self._kinds = dict(kinds)
        # ⌊0.8 · 10⌋ is 8, also where 0.8 is a little less.
        self._train_rows = int(split.train * rows + 1e-9)
        self._test_rows = int(split.test * rows + 1e-9)

    def assign(self, batch: pa.RecordBatch, first_row: int) -> Codes:
        """The split of each row of a batch that begins at row `first_row` of the table."""
        if self.split.kind == "time":
            moments = moments_of(batch, self.split.columns[0])
            return np.searchsorted(np.array(self.split.boundaries), moments, side="right").astype(np.int8)
        if self.split.kind == "positional":
            places = np.arange(first_row, first_row + batch.num_rows)
            stops = np.array([self._train_rows, self._train_rows + self._test_rows])
            return np.array([TRAIN, TEST, VALID], np.int8)[np.searchsorted(stops, places, side="right")]
        if self.split.kind == "random":
            return self._by_number(row_numbers(first_row, batch.num_rows, self.split.seed))
        return self._by_number(combined_keys(batch, self.split.columns, self._kinds, self.split.seed))

    def _by_number(self, numbers: NDArray[np.uint64]) -> Codes:
        """Shares of evenly spread 64-bit numbers."""
        share = (numbers >> np.uint64(11)).astype(np.float64) / 2.0**53
        stops = np.array([self.split.train, self.split.train + self.split.test])
        return np.array([TRAIN, TEST, VALID], np.int8)[np.searchsorted(stops, share, side="right")]


def combined_keys(
    batch: pa.RecordBatch, columns: Sequence[str], kinds: Mapping[str, str], seed: int
) -> NDArray[np.uint64]:
    """One evenly spread number for the values of some columns together: equal values, equal number."""
    numbers = np.full(batch.num_rows, mix_one(seed), np.uint64)
    for name in columns:
        key = Field(name, name, "vocabulary", kinds[name])
        numbers = mix(numbers ^ keys_of(key, Column(name, batch.column(name), kinds[name]), seed))
    return numbers


def moments_of(batch: pa.RecordBatch, column: str) -> NDArray[np.int64]:
    """The time column as whole numbers; raises UserError for NULL."""
    values = batch.column(column)
    kind = type_name(values.type)
    if kind not in ("timestamp", "date", "int"):
        raise UserError(f"time column '{column}' is {kind}; it must be a timestamp, a date, or whole milliseconds")
    if values.null_count:
        raise UserError(f"time column '{column}' is NULL in {values.null_count} rows: every row needs its time")
    if kind == "date":
        return np.asarray(values.cast(pa.date32()).cast(pa.int32())).astype(np.int64) * 86_400_000
    return np.asarray(milliseconds(values) if kind == "timestamp" else values.cast(pa.int64()))


def settle(split: Split, moments: Callable[[Sequence[int]], Moments], rows: int) -> Split:
    """A split that knows its boundaries: those of a split by time are looked up in the time column.

    :param split: as declared.
    :param moments: gives the moments at some places of the ordered time column.
    :param rows: of the table.
    """
    if split.kind != "time" or split.boundaries:
        return split
    column = split.columns[0]
    # Rows from each place on come later than those before it.
    valid = int(split.train * rows + 1e-9)
    test = rows - int(split.test * rows + 1e-9)
    if not 0 < valid < test < rows:
        raise UserError(f"{rows} rows are too few to split into train, valid and test")
    found = moments([valid, test])
    boundaries = found.at[0], found.at[1]
    if not found.first < boundaries[0] < boundaries[1]:
        raise UserError(
            f"column '{column}' does not split by time: too many rows share a moment; give boundaries, or another split"
        )
    return Split(split.kind, split.columns, split.train, split.test, split.seed, boundaries)


@dataclass(frozen=True)
class Moments:
    """Some of the moments of a time column.

    :param first: the earliest.
    :param at: those at the places that were asked for.
    """

    first: int
    at: tuple[int, ...]


def moments_at(places: Sequence[int], column: str, batches: Batches, rows: int, scratch: Path) -> Moments:
    """The moments at some places of the ordered time column.

    :param places: ascending numbers of rows.
    :param column: the time column.
    :param batches: gives the table's rows, of some columns.
    :param rows: of the table.
    :param scratch: a folder for a file of eight bytes a row.
    """
    moments = new_scratch(scratch / "moments", np.int64, rows)
    place = 0
    for batch in batches([column]):
        moments[place : place + batch.num_rows] = moments_of(batch, column)
        place += batch.num_rows
    moments.partition(list(places))
    return Moments(int(moments[: places[0]].min()), tuple(int(moments[one]) for one in places))
