"""What a dataset needs to know of its rows before they are written, gathered in passes over them.

A pass looks at blocks of rows in any order and in any number of places at once. What it gathered lies in pieces, and
pieces of the same place merge: so one process does a pass alone, and Spark does it in parts, with the same result to
the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.faithful import TableSizes
from airflow_provider_mlfeat.dataset.fitting import EncoderFitter
from airflow_provider_mlfeat.dataset.leakage import LeakageChecks
from airflow_provider_mlfeat.dataset.measuring import ColumnMeasure, Measured
from airflow_provider_mlfeat.dataset.request import Request
from airflow_provider_mlfeat.dataset.sampling import row_numbers
from airflow_provider_mlfeat.dataset.source import labels_of
from airflow_provider_mlfeat.dataset.splits import SPLITS, TRAIN, Assignment, Split
from airflow_provider_mlfeat.dataset.writing import shard_numbers

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """The rows of a dataset, as far as it takes to say where each goes.

    :param request: what the dataset is to be.
    :param schema: of the rows.
    :param count: how many there are.
    :param kinds: logical types of the columns with a role, by name.
    :param split: the request's, with its boundaries.
    :param shards: in how many parts the training rows are shuffled; 1 where they stay in their order.
    """

    request: Request
    schema: pa.Schema
    count: int
    kinds: Mapping[str, str]
    split: Split
    shards: int

    def splits_of(self, batch: pa.RecordBatch, first: int) -> NDArray[np.int8]:
        """The split of each row of a block that begins at row `first`."""
        return Assignment(self.split, self.count, self.kinds).assign(batch, first)

    def shards_of(self, batch: pa.RecordBatch, first: int) -> NDArray[np.int64]:
        """The part of each row, if it is a training row."""
        return shard_numbers(first, batch.num_rows, self.shards, self.request.seed)


class Piece(Protocol):
    """Something that was gathered of some rows."""

    def merge(self, other: Any) -> None:
        """Take in what was gathered of other rows."""


class Pass(Protocol):
    """A pass over all rows, whose pieces are always the same in number and order."""

    def add(self, batch: pa.RecordBatch, first: int) -> None:
        """Look at a block of rows that begins at row `first`."""

    def pieces(self) -> Sequence[Piece]:
        """What was gathered."""


class MeasurePass:
    """What the columns of the training rows hold.

    :param rows: the rows.
    :param kinds: the columns' logical types, by name.
    """

    def __init__(self, rows: Rows, kinds: Mapping[str, str]) -> None:
        self._rows = rows
        self._measures = [ColumnMeasure(name, kind) for name, kind in kinds.items()]

    def add(self, batch: pa.RecordBatch, first: int) -> None:
        """Measure the training rows of a block."""
        training = self._rows.splits_of(batch, first) == TRAIN
        numbers = row_numbers(first, batch.num_rows, self._rows.request.seed)[training]
        chosen = chosen_rows(batch, training)
        for measure in self._measures:
            measure.add(chosen, numbers)

    def pieces(self) -> Sequence[Piece]:
        """A measure for each column."""
        return self._measures

    def finish(self) -> list[Measured]:
        """What was found."""
        return [measure.finish() for measure in self._measures]


@dataclass
class SplitCounts:
    """How many rows there are.

    :param rows: by split.
    :param positives: rows with label 1, by split.
    :param shards: training rows of each part.
    """

    shards: Counts
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    positives: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))

    def merge(self, other: SplitCounts) -> None:
        """Add up."""
        self.shards += other.shards
        for name in SPLITS:
            self.rows[name] += other.rows[name]
            self.positives[name] += other.positives[name]


class FitPass:
    """Counts the rows, looks for leaks, and learns the encoder from the training rows.

    :param rows: the rows.
    :param fields: the encoder's, not fitted yet.
    :param plan_id: of the feature query.
    """

    def __init__(self, rows: Rows, fields: Sequence[Field], plan_id: str | None) -> None:
        request = rows.request
        self._rows = rows
        self.counts = SplitCounts(np.zeros(rows.shards, np.int64))
        self.fitter = EncoderFitter(fields, rows.schema, plan_id, request.seed)
        self.sizes = TableSizes(self.fitter.fields, request.seed) if request.profile == "faithful" else None
        self.leakage = LeakageChecks({one.column: one.type for one in self.fitter.fields}, request.time)

    def add(self, batch: pa.RecordBatch, first: int) -> None:
        """Look at a block of rows; raises UserError for a label that is none."""
        rows = self._rows
        splits, labels = rows.splits_of(batch, first), labels_of(batch, rows.request.label, first)
        for number, name in enumerate(SPLITS):
            there = splits == number
            self.counts.rows[name] += int(np.count_nonzero(there))
            self.counts.positives[name] += int(np.count_nonzero(labels[there]))
        training = splits == TRAIN
        self.leakage.add(batch, labels)
        numbers = row_numbers(first, batch.num_rows, rows.request.seed)[training]
        self.fitter.add(chosen_rows(batch, training), numbers)
        if self.sizes is not None:
            self.sizes.add(batch)
        self.counts.shards += np.bincount(rows.shards_of(batch, first)[training], minlength=rows.shards)

    def pieces(self) -> Sequence[Piece]:
        """Counts, findings, and what each field's learner learned."""
        learners = [one for one in self.fitter.learners if one is not None]
        return [self.counts, self.leakage, *learners, *(self.sizes.counts if self.sizes else [])]


def chosen_rows(batch: pa.RecordBatch, mask: NDArray[np.bool_]) -> pa.RecordBatch:
    """The rows of a block where the mask is true."""
    return batch if mask.all() else batch.filter(pa.array(mask))
