"""The parquet files of a feature set's version: types as they are stored, statistics on the way."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.statistics import StatisticsCollector
from airflow_provider_mlfeat.tables.store import TableStore

_PART_BYTES = 256 << 20
_STORED = {
    pa.int8(): pa.int16(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.date64(): pa.date32(),
}
_TYPES = (pa.bool_(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.date32())


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The types in which an answer's columns are stored; raises UserError for what a feature set cannot hold."""
    fields, seen = [], set()
    for column in schema:
        if column.name.lower() in seen:
            raise UserError(f"the feature set would have two columns '{column.name}'; rename one with AS")
        seen.add(column.name.lower())
        type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        type_ = pa.timestamp("us", "UTC") if pa.types.is_timestamp(type_) else _STORED.get(type_, type_)
        if type_ not in _TYPES and not pa.types.is_timestamp(type_):
            raise UserError(f"column '{column.name}' has type {column.type}, which a feature set cannot hold; CAST it")
        fields.append(pa.field(column.name, type_))
    if not fields:
        raise UserError("a feature set needs a column")
    return pa.schema(fields)


class VersionFiles:
    """The files of a version under construction, which nobody sees before the commit that names them.

    :param store: access.
    :param uri: the table.
    :param schema: as it is stored.
    """

    def __init__(self, store: TableStore, uri: str, schema: pa.Schema) -> None:
        self._system, self._schema = store.filesystem(uri), schema
        self._id = uuid4().hex
        self._files: list[tuple[str, int]] = []
        self._stream: Any = None
        self._parquet: Any = None
        self.statistics = StatisticsCollector(schema)
        self._open()

    def write(self, block: pa.RecordBatch) -> None:
        """Write a block of rows."""
        if self._stream.tell() >= _PART_BYTES:
            self._close()
            self._open()
        columns = [array.cast(type_) for array, type_ in zip(block.columns, self._schema.types, strict=True)]
        converted = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self.statistics.add(converted)
        self._parquet.write_batch(converted)
        self._files[-1] = (self._files[-1][0], self._files[-1][1] + block.num_rows)

    def finish(self) -> list[AddAction]:
        """What a commit has to add."""
        self._close()
        now = int(time.time() * 1000)
        sizes = [self._system.get_file_info(path).size for path, _ in self._files]
        return [
            AddAction(path, size, {}, now, True, json.dumps({"numRecords": rows}))
            for (path, rows), size in zip(self._files, sizes, strict=True)
        ]

    def take_back(self) -> None:
        """Delete what was written; a file that cannot be deleted goes with the next vacuum."""
        # A disk that is full may refuse the end of a file too.
        with suppress(OSError, pa.ArrowException):
            self._close()
        for path, _ in self._files:
            with suppress(OSError):
                self._system.delete_file(path)

    def _open(self) -> None:
        path = f"part-{len(self._files):05d}-{self._id}.parquet"
        self._stream = self._system.open_output_stream(path)
        self._files.append((path, 0))
        self._parquet = pq.ParquetWriter(self._stream, self._schema, compression="zstd")

    def _close(self) -> None:
        if self._parquet is not None:
            parquet, self._parquet = self._parquet, None
            try:
                parquet.close()
            finally:
                self._stream.close()
