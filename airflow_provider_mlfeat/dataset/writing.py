"""The files of one split while they are written: matrices of known size, filled row by row, shuffled in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import Encoded
from airflow_provider_mlfeat.dataset.folder import FEATURES_FILE, IDS_FILE, LABELS_FILE, VALUES_FILE
from airflow_provider_mlfeat.dataset.mapping import new_matrix
from airflow_provider_mlfeat.dataset.sampling import row_numbers

# A part of the training split is shuffled in memory: 170 MB for 41 fields.
SHARD_ROWS = 1 << 20
_GROUP_ROWS = 1 << 17


def shard_numbers(first_row: int, rows: int, shards: int, seed: int) -> NDArray[np.int64]:
    """Which part each row of the source goes to: an even throw that depends on the row and the seed only."""
    if shards == 1:
        return np.zeros(rows, np.int64)
    return (row_numbers(first_row, rows, seed ^ 0x5A) % np.uint64(shards)).astype(np.int64)


class SplitWriter:
    """Writes a split's matrices, and its features where they are kept.

    :param folder: a new folder for them.
    :param shard_rows: how many rows each part has; one part where rows stay in their order.
    :param widths: columns of ids and of values.
    :param features: the schema of the features to keep, or None.
    """

    def __init__(
        self, folder: Path, shard_rows: Sequence[int], widths: tuple[int, int], features: pa.Schema | None
    ) -> None:
        folder.mkdir()
        rows = int(sum(shard_rows))
        self._ids = new_matrix(folder / IDS_FILE, np.int32, (rows, widths[0]))
        self._values = new_matrix(folder / VALUES_FILE, np.float32, (rows, widths[1]))
        self._labels = new_matrix(folder / LABELS_FILE, np.float32, (rows,))
        stops = np.cumsum(shard_rows)
        self.shards = [(int(stop - size), int(size)) for stop, size in zip(stops, shard_rows, strict=True)]
        self._next = [start for start, _ in self.shards]
        self._features = None if features is None else RowsFile(folder / FEATURES_FILE, features)

    def write(self, rows: Encoded, labels: NDArray[np.float32], shards: NDArray[np.int64]) -> None:
        """Add rows, each to its part."""
        for shard in np.unique(shards) if len(self.shards) > 1 else (0,):
            chosen: Any = shards == shard if len(self.shards) > 1 else slice(None)
            start = self._next[shard]
            stop = start + len(labels[chosen])
            self._ids[start:stop] = rows.ids[chosen]
            self._values[start:stop] = rows.values[chosen]
            self._labels[start:stop] = labels[chosen]
            self._next[shard] = stop

    def write_features(self, features: pa.RecordBatch) -> None:
        """Keep the columns that rows were encoded from."""
        assert self._features is not None
        self._features.write(features)

    def shuffle(self, seed: int, advance: Callable[[float], None]) -> None:
        """Bring the rows of each part into a random order; `advance` counts rows."""
        for start, rows in self.shards:
            order = np.argsort(row_numbers(start, rows, seed), kind="stable")
            for matrix in (self._ids, self._values, self._labels):
                matrix[start : start + rows] = matrix[start : start + rows][order]
            advance(rows)

    def close(self) -> None:
        """Complete the files."""
        assert self._next == [start + rows for start, rows in self.shards], "a split got other rows than were counted"
        for matrix in (self._ids, self._values, self._labels):
            if isinstance(matrix, np.memmap):
                matrix.flush()
        if self._features is not None:
            self._features.close()


class RowsFile:
    """A parquet file whose bytes do not depend on the blocks that rows come in.

    :param path: the file.
    :param schema: of the rows.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, rows: pa.RecordBatch) -> None:
        """Add rows."""
        self._waiting.append(rows)
        self._rows += rows.num_rows
        while self._rows >= _GROUP_ROWS:
            table = pa.Table.from_batches(self._waiting)
            self._write(table.slice(0, _GROUP_ROWS))
            self._waiting, self._rows = table.slice(_GROUP_ROWS).to_batches(), self._rows - _GROUP_ROWS

    def close(self) -> None:
        """Complete the file."""
        if self._rows:
            self._write(pa.Table.from_batches(self._waiting))
        self._writer.close()

    def _write(self, group: pa.Table) -> None:
        """In one piece: where pieces end, Parquet's writer may end a page, and the file's bytes would tell of them."""
        self._writer.write_table(group.combine_chunks(), row_group_size=_GROUP_ROWS)
