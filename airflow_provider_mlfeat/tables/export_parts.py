"""The part files of an export."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.tables.csv_text import CsvText

if TYPE_CHECKING:
    from airflow_provider_mlfeat.tables.export import OutfileOptions

# With coalesce=0, a part ends here.
_PART_BYTES = 512 << 20


class Parts:
    """The files of one export, of which several may be open.

    :param folder: where they are written.
    :param schema: their columns.
    :param options: how.
    :param first: number of the first file.
    """

    def __init__(self, folder: Path, schema: pa.Schema, options: OutfileOptions, first: int) -> None:
        self._folder, self._schema, self._options = folder, schema, options
        self._write_id = uuid4().hex[:8]
        self._numbers = count(first)
        self._stack = ExitStack()
        self._open: list[_Part] = []
        self._all: list[_Part] = []
        self._done = 0

    def __enter__(self) -> Parts:
        for _ in range(max(1, self._options.coalesce)):
            self._open.append(self._new())
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def write(self, block: pa.RecordBatch, number: int, rows: int | None) -> None:
        """Write a block to the file that is its turn."""
        files_ = self._options.coalesce
        if files_ == 0 and self._open[0].size() >= _PART_BYTES:
            self._open[0].close()
            self._open = [self._new()]
        if files_ <= 1:
            self._open[0].write(block)
        elif not rows:
            self._open[number % files_].write(block)
        else:
            self._write_runs(block, -(-rows // files_))
        self._done += block.num_rows

    def _write_runs(self, block: pa.RecordBatch, run: int) -> None:
        start = 0
        while start < block.num_rows:
            place = min((self._done + start) // run, len(self._open) - 1)
            # The last file takes what is more than was said.
            end = block.num_rows if place == len(self._open) - 1 else (place + 1) * run - self._done
            self._open[place].write(block.slice(start, end - start))
            start = min(end, block.num_rows)

    def written(self) -> list[dict[str, Any]]:
        """Name, rows and size of each file, which are closed by now."""
        return [{"name": part.path.name, "rows": part.rows, "bytes": part.path.stat().st_size} for part in self._all]

    def _new(self) -> _Part:
        name = f"part-{next(self._numbers):05d}-{self._write_id}.{self._options.format}"
        part = _Part(self._folder / name, self._schema, self._options)
        self._stack.callback(part.close)
        self._all.append(part)
        return part


class _Part:
    """One file.

    :param path: where.
    :param schema: its columns.
    :param options: how.
    """

    def __init__(self, path: Path, schema: pa.Schema, options: OutfileOptions) -> None:
        self.path, self.rows = path, 0
        self._file: IO[bytes] = path.open("wb")
        self._parquet: Any = None
        self._text: CsvText | None = None
        if options.format == "parquet":
            self._parquet = pq.ParquetWriter(self._file, schema)
        else:
            self._text = CsvText(schema, options.delimiter, options.null_value, options.quote)
            self._file.write(self._text.header() if options.header else b"")

    def write(self, block: pa.RecordBatch) -> None:
        if self._text is not None:
            self._file.write(self._text.rows(block))
        else:
            self._parquet.write_batch(block)
        self.rows += block.num_rows

    def size(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self._file.closed:
            if self._parquet is not None:
                self._parquet.close()
            self._file.close()
