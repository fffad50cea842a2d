"""Going over the rows in this process, one block after the other, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from airflow_provider_mlfeat.dataset.encoder import Encoded, Encoder
from airflow_provider_mlfeat.dataset.faithful import key_rows
from airflow_provider_mlfeat.dataset.leakage import RepeatedKeys, Repeats
from airflow_provider_mlfeat.dataset.passes import FitPass, MeasurePass, Rows, chosen_rows
from airflow_provider_mlfeat.dataset.sink import DatasetSink
from airflow_provider_mlfeat.dataset.source import Source, labels_of
from airflow_provider_mlfeat.dataset.splits import SPLITS, TRAIN, Moments, moments_at
from airflow_provider_mlfeat.errors import UserError


class BuildProgress(Protocol):
    """Where a build reports; it may raise to stop the work."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None: ...

    def advance(self, amount: float = 1) -> None: ...


class Walker(Protocol):
    """Who goes over the rows for a build."""

    def moments(self, column: str, places: Sequence[int]) -> Moments:
        """The moments at some places of the ordered time column."""

    def measure(self, measure: MeasurePass) -> None:
        """Show all rows to a pass that measures columns."""

    def fit(self, fit: FitPass, rows: Rows, roles: Mapping[str, Sequence[str]]) -> list[Repeats]:
        """Show all rows to a pass that learns the encoder, and look for values of some columns that come again."""

    def write(self, rows: Rows, encoder: Encoder, sink: DatasetSink, shards: Sequence[int]) -> None:
        """Encode all rows and write them; `shards` are the sizes of the parts of the training rows."""


class LocalWalker:
    """Goes over the rows of a source.

    :param source: the rows.
    :param scratch: an empty folder for files that go away.
    :param progress: where to report.
    """

    def __init__(self, source: Source, scratch: Path, progress: BuildProgress) -> None:
        self._source, self._scratch, self._progress = source, scratch, progress

    def moments(self, column: str, places: Sequence[int]) -> Moments:
        """From a file of eight bytes a row."""
        return moments_at(places, column, self._columns, self._source.rows, self._scratch)

    def measure(self, measure: MeasurePass) -> None:
        """One pass."""
        self._progress.stage("measure", total=self._source.rows)
        for batch, first in self._blocks():
            measure.add(batch, first)

    def fit(self, fit: FitPass, rows: Rows, roles: Mapping[str, Sequence[str]]) -> list[Repeats]:
        """One pass."""
        self._progress.stage("fit", total=self._source.rows)
        repeated = RepeatedKeys(roles, rows.kinds, rows.count, self._scratch)
        for batch, first in self._blocks():
            fit.add(batch, first)
            repeated.add(batch, rows.splits_of(batch, first))
        return repeated.finish()

    def write(self, rows: Rows, encoder: Encoder, sink: DatasetSink, shards: Sequence[int]) -> None:
        """One pass, and the shuffle."""
        request = rows.request
        self._progress.stage("encode", total=self._source.rows)
        for batch, first in self._blocks():
            splits, labels = rows.splits_of(batch, first), labels_of(batch, request.label, first)
            encoded, parts = encoder.encode(batch), rows.shards_of(batch, first)
            keys = None if sink.keys is None else key_rows(encoder, batch, labels)
            for number in range(len(SPLITS)):
                there = splits == number
                places = np.flatnonzero(there)
                if not len(places):
                    continue
                if sink.keys is not None and keys is not None:
                    sink.keys.write(keys.take(pa.array(places)), number)
                sink.add(
                    number,
                    Encoded(encoded.ids[places], encoded.values[places]),
                    labels[places],
                    parts[places] if number == TRAIN else np.zeros(len(places), np.int64),
                    None if number == TRAIN else chosen_rows(batch, there),
                )
        if request.shuffle:
            self._progress.stage("shuffle", total=sum(shards))
            sink.shuffle(request.seed, self._progress.advance)

    def _columns(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in self._source.batches(names):
            yield batch
            self._progress.advance(batch.num_rows)

    def _blocks(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """All rows: blocks, and the number of their first row."""
        first = 0
        for batch in self._source.batches():
            yield batch, first
            first += batch.num_rows
            self._progress.advance(batch.num_rows)
        if first != self._source.rows:
            raise UserError(f"the rows changed while the dataset was built: {self._source.rows} became {first}")
