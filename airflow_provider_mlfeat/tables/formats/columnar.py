"""Parquet and ORC: files that know their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.tables.conform import Chunk, Conformer
from airflow_provider_mlfeat.tables.formats.reader import BATCH_ROWS, Part, Reader, groups, unreadable
from airflow_provider_mlfeat.tables.source_files import SourceFile

_PART_BYTES = 64 << 20


class ParquetReader(Reader):
    """A Parquet file.

    :param file: which.
    """

    what = "a Parquet file"

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        with unreadable(file.name, self.what), file.system.open_input_file(file.path) as opened:
            self.metadata = pq.read_metadata(opened)
            schema = self.metadata.schema.to_arrow_schema()
        self.schema = schema
        self.names = schema.names
        self.types = schema.types

    def estimate_rows(self) -> int:
        """How many rows there are."""
        return int(self.metadata.num_rows)

    def parts(self, workers: int) -> Sequence[Part]:
        """Row groups put together."""
        sizes = [self.metadata.row_group(number).total_byte_size for number in range(self.metadata.num_row_groups)]
        return groups(sizes, min(_PART_BYTES, max(1, sum(sizes) // workers)))

    def chunks(self, part: Part, conform: Conformer) -> Iterator[Chunk]:
        """The rows of some row groups."""
        needed = sorted(source for source in conform.matching.sources if source is not None)
        wanted = [self.names[place] for place in needed]
        first = sum(self.metadata.row_group(number).num_rows for number in range(part.begin))
        with self.file.system.open_input_file(self.file.path) as opened:
            with unreadable(self.file.name, self.what):
                parquet = pq.ParquetFile(opened, metadata=self.metadata, pre_buffer=False)
            batches = parquet.iter_batches(
                BATCH_ROWS, row_groups=range(part.begin, part.end), columns=wanted, use_threads=False
            )
            while True:
                place = f", after row {first}"
                with unreadable(self.file.name, self.what, place):
                    batch = next(batches, None)
                if batch is None:
                    return
                first += batch.num_rows
                yield conform(_columns(batch, self.names, needed), batch.num_rows)


class OrcReader(Reader):
    """An ORC file.

    :param file: which.
    """

    what = "an ORC file"

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        with unreadable(file.name, self.what), file.system.open_input_file(file.path) as opened:
            orc = self._open(opened)
            self._stripes, self._rows = orc.nstripes, orc.nrows
            self.names = orc.schema.names
            self.types = orc.schema.types

    def estimate_rows(self) -> int:
        """How many rows there are."""
        return int(self._rows)

    def parts(self, workers: int) -> Sequence[Part]:
        """Stripes put together."""
        size = self.file.size // max(1, self._stripes)
        return groups([size] * self._stripes, min(_PART_BYTES, max(1, self.file.size // workers)))

    def chunks(self, part: Part, conform: Conformer) -> Iterator[Chunk]:
        """The rows of some stripes."""
        needed = sorted(source for source in conform.matching.sources if source is not None)
        with self.file.system.open_input_file(self.file.path) as opened:
            with unreadable(self.file.name, self.what):
                orc = self._open(opened)
            for stripe in range(part.begin, part.end):
                with unreadable(self.file.name, self.what, f", stripe {stripe + 1}"):
                    batch = orc.read_stripe(stripe, columns=[self.names[place] for place in needed])
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    piece = batch.slice(start, BATCH_ROWS)
                    yield conform(_columns(piece, self.names, needed), piece.num_rows)

    def _open(self, opened: Any) -> Any:
        from pyarrow import orc

        return orc.ORCFile(opened)


def _columns(batch: pa.RecordBatch, names: Sequence[str], needed: Sequence[int]) -> list[Any]:
    """The read columns at their places in the file."""
    columns: list[Any] = [None] * len(names)
    for place in needed:
        columns[place] = batch.column(names[place])
    return columns
