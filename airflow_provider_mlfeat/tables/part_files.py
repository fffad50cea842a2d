"""Parquet files of a table while they are written: kept by a commit, or deleted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_mlfeat.tables.delta import NewFile
from airflow_provider_mlfeat.tables.store import TableStore

_SAMPLE = 16_384
_MOST_DISTINCT = 0.3


class PartFile:
    """One file; it exists from the first rows on.

    :param store: where the table is.
    :param table_uri: the table.
    :param name: the file's name below the table.
    :param schema: of the table.
    """

    def __init__(self, store: TableStore, table_uri: str, name: str, schema: pa.Schema) -> None:
        self._uri, self.name, self._schema = table_uri, name, schema
        self._local = store.is_local
        self._system = store.filesystem(table_uri)
        self._writer: pq.ParquetWriter | None = None
        self._sink: Any = None
        self.rows = 0

    def write(self, rows: pa.Table) -> None:
        """Add rows as a row group."""
        if not rows.num_rows:
            return
        if self._writer is None:
            self._sink = self._system.open_output_stream(self.name)
            self._writer = pq.ParquetWriter(
                self._sink,
                self._schema,
                compression="snappy",
                use_dictionary=_repetitive(rows),
                write_statistics=[field.name for field in self._schema if not pa.types.is_string(field.type)],
            )
        self._writer.write_table(rows, row_group_size=rows.num_rows)
        self.rows += rows.num_rows

    def finish(self) -> NewFile | None:
        """Complete the file and look at it again; None when it got no rows."""
        if self._writer is None:
            return None
        self._writer.close()
        self._sink.close()
        if self._local:
            with Path(self._uri, self.name).open("rb") as written:
                os.fsync(written.fileno())
        with self._system.open_input_file(self.name) as written:
            found = pq.read_metadata(written).num_rows
            if found != self.rows:
                raise OSError(f"'{self.name}' holds {found} rows, {self.rows} were written")
            return NewFile(self.name, written.size(), self.rows)

    def discard(self) -> None:
        """Delete the file, whatever state it is in."""
        if self._sink is None:
            return
        with suppress(OSError, pa.ArrowException):
            self._writer.close()  # type: ignore[union-attr]
        with suppress(OSError, pa.ArrowException):
            self._sink.close()
        with suppress(OSError):
            self._system.delete_file(self.name)


def _repetitive(rows: pa.Table) -> list[str]:
    """The columns for which a dictionary of values pays, by the first rows."""
    sample = rows.slice(0, _SAMPLE)
    most = sample.num_rows * _MOST_DISTINCT
    return [name for name in sample.column_names if pc.count_distinct(sample.column(name), mode="all").as_py() <= most]
