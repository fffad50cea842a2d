"""The batch driver for data that is larger than memory: partitions of the key on disk.

The plan is cut into the same fragments as for Spark. Stored tables are read in batches; every row goes to the file of
the partition that needs it; then partition after partition is loaded and run in memory. Rows carry their arrival, so
that the answer has the order that it would have without the detour.

The rows of one key are never divided: a key with more rows than the budget allows is run all the same, with the memory
that it takes, and the log says so.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.engine.column import arrow_type
from airflow_provider_mlfeat.engine.pruning import prune
from airflow_provider_mlfeat.engine.reading import (
    Table,
    TableName,
    Tables,
    check_names,
    needed_columns,
    parquet_files,
)
from airflow_provider_mlfeat.engine.spark_fragments import cut_plan
from airflow_provider_mlfeat.engine.spark_job import Job
from airflow_provider_mlfeat.engine.spark_ports import PORT, SINGLE_ROW, Fragment, Route
from airflow_provider_mlfeat.engine.spark_relations import narrowed
from airflow_provider_mlfeat.engine.spark_routing import order_values, route
from airflow_provider_mlfeat.engine.spark_tasks import evaluate, run_map_fragment
from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError

log = logging.getLogger("mlfeat.job")

# What a value of a row costs while windows run over it: its column, its pattern, its place in the order.
_BYTES_PER_VALUE = 24
_ROWS_PER_BATCH = 1 << 17
_MOST_PARTITIONS = 1024


def needs_spilling(root: plan.Relation, tables: Tables, memory_limit: int) -> bool:
    """Whether the columns that a plan reads would take more than `memory_limit` bytes."""
    return _bytes_of(root, tables) > memory_limit


def run_spilling(
    query: plan.Plan,
    tables: Tables,
    parameters: Sequence[Any],
    memory_limit: int,
    folder: str | Path | None = None,
    timings: Timings | None = None,
) -> pa.Table:
    """The rows of a query, its partitions being kept on disk while they wait.

    :param memory_limit: bytes that the partition at work may take; one key's rows are never divided.
    :param folder: where the files go; the system's temporary folder unless given. They are gone in the end.
    """
    timings = timings or Timings()
    query = replace(query, root=narrowed(prune(query.root, range(len(query.schema)))))
    counts = {name: row_count(tables[name]) for name in _names(query.root) if name in tables}
    # A partition at work stands beside the batches that are being divided and the parts of its own answer.
    partitions = min(_MOST_PARTITIONS, 1 + 3 * _bytes_of(query.root, tables) // memory_limit)
    fragments = tuple(cut_plan(query, counts))
    widths = tuple(_width(fragment, partitions) for fragment in fragments)
    job = Job(query, fragments, widths, {}, {}, tuple(parameters))
    with tempfile.TemporaryDirectory(prefix="mlfeat-", dir=folder) as work:
        spill = _Spill(job, Path(work), memory_limit, timings)
        for table in dict.fromkeys(fragment.table for fragment in fragments if fragment.table is not None):
            spill.divide(table, tables)
        for level in range(1, job.levels + 1):
            for number in job.at_level(level):
                spill.run(number)
        return spill.answer()


class _Spill:
    """The files of one run: rows on their way to a port of a fragment's partition.

    :param job: fragments and their partitions.
    :param folder: where the files are.
    :param memory_limit: bytes that the partition at work may take; an eighth of it may wait to be written.
    :param timings: where the time is added up.
    """

    def __init__(self, job: Job, folder: Path, memory_limit: int, timings: Timings) -> None:
        self.job, self.folder, self.timings = job, folder, timings
        self._memory_limit, self._buffer = memory_limit, memory_limit // 8
        self._waiting: dict[str, list[pa.Table]] = {}
        self._bytes = 0

    def divide(self, table: TableName, tables: Tables) -> None:
        """Read a stored table and send its rows to where they are needed."""
        numbers = self.job.map_fragments(table)
        # Fragments of the same table may read different columns of it; the arrival comes last.
        schemas = [_source_schema(self.job.fragments[number].relation) for number in numbers]
        columns = (*dict.fromkeys(column for schema in schemas for column in schema[:-1]), schemas[0][-1])
        for rows in _batches(table, columns, tables):
            for number in numbers:
                self._deliver(number, run_map_fragment(self.job, number, rows))

    def run(self, number: int) -> None:
        """Run all partitions of a fragment."""
        self._flush()
        fragment = self.job.fragments[number]
        for partition in range(self.job.partitions[number]):
            inputs = {
                (PORT, str(place)): self._load(
                    _file_name(number, None if port.route is Route.COPY else partition, place), port.producer
                )
                for place, port in enumerate(fragment.ports)
            }
            ports = zip(inputs.values(), fragment.ports, strict=True)
            brought = [rows for rows, port in ports if port.route is not Route.COPY]
            gathers = any(port.route is Route.KEY and not port.key for port in fragment.ports)
            self._say_if_large(sum(rows.num_rows * rows.num_columns for rows in brought), partition)
            if gathers or any(rows.num_rows for rows in brought):
                self._deliver(number, evaluate(self.job, number, inputs))

    def _say_if_large(self, values: int, partition: int) -> None:
        if values * _BYTES_PER_VALUE > self._memory_limit:
            log.warning(
                "Partition %d takes about %d MiB, more than the memory limit of %d MiB, because one key has so many "
                "rows or the query gathers all of them; it runs with what it takes. Raise the limit, or run the query "
                "on Spark.",
                partition,
                values * _BYTES_PER_VALUE >> 20,
                self._memory_limit >> 20,
            )

    def answer(self) -> pa.Table:
        """All rows of the last fragment, in the order of their arrival."""
        self._flush()
        last = len(self.job.fragments) - 1
        rows = self._load("answer", last)
        schema = self.job.query.schema
        arrays = [rows.column(place).cast(arrow_type(column.type)) for place, column in enumerate(schema)]
        return pa.Table.from_arrays(arrays, names=[column.name for column in schema])

    def _deliver(self, number: int, rows: pa.Table) -> None:
        """Send the output of a fragment to its consumers."""
        if not rows.num_rows:
            return
        if number == len(self.job.fragments) - 1:
            self._put("answer", rows)
        arrival = self.job.fragments[number].arrival
        for consumer in self.job.consumers(number):
            if consumer.port.route is Route.COPY:
                self._put(_file_name(consumer.fragment, None, consumer.place), rows)
                continue
            for partition, part in route(rows, consumer.port, self.job.partitions[consumer.fragment], None, arrival):
                self._put(_file_name(consumer.fragment, partition, consumer.place), part)

    def _put(self, name: str, rows: pa.Table) -> None:
        self._waiting.setdefault(name, []).append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._buffer:
            self._flush()

    def _flush(self) -> None:
        """Append what waits to its files: each part is a stream of its own."""
        with self.timings.stage("write"):
            for name, parts in self._waiting.items():
                rows = pa.concat_tables(parts)
                with (self.folder / name).open("ab") as file, pa.ipc.new_stream(file, rows.schema) as writer:
                    writer.write_table(rows)
        self._waiting, self._bytes = {}, 0

    def _load(self, name: str, producer: int) -> pa.Table:
        """The rows of a file in the order of their arrival; the file is gone afterwards, unless others read it."""
        made = self.job.fragments[producer]
        columns = made.relation.schema
        types = [(str(place), arrow_type(column.type)) for place, column in enumerate(columns)]
        parts = [pa.schema(types).empty_table()]
        path = self.folder / name
        if path.exists():
            with self.timings.stage("read"), path.open("rb") as file:
                size = path.stat().st_size
                while file.tell() < size:
                    with pa.ipc.open_stream(file) as reader:
                        read = reader.read_all()
                    parts.append(read.rename_columns(parts[0].column_names).cast(parts[0].schema))
        rows = pa.concat_tables(parts)
        first = len(columns) - made.arrival
        arrival = [order_values(rows.column(column)) for column in range(first, len(columns))]
        # The last key is the first to sort by.
        return rows.take(pa.array(np.lexsort(arrival[::-1]))) if arrival and rows.num_rows else rows


def _file_name(fragment: int, partition: int | None, place: int) -> str:
    """The file of a port; without a partition the rows are for all of them."""
    return f"{fragment}-{'all' if partition is None else partition}-{place}"


def _width(fragment: Fragment, partitions: int) -> int:
    if not fragment.ports:
        return 0
    if any(port.route is Route.KEY and not port.key for port in fragment.ports):
        return 1
    return partitions


def _source_schema(relation: plan.Relation) -> plan.Schema:
    """The columns of the only stored table below a relation."""
    return next(source for source, _ in needed_columns(relation)).schema


def _batches(name: TableName, columns: plan.Schema, tables: Tables) -> Iterator[pa.Table]:
    """The rows of a stored table, with their arrival in the last column."""
    if name == SINGLE_ROW:
        yield pa.table({columns[-1].name: pa.array([0], pa.int64())})
        return
    if name not in tables:
        raise DataRuleError("the plan reads a table that was not given", ".".join(filter(None, name)))
    arrival = 0
    for batch in _read_batches(tables[name], [column.name for column in columns[:-1]], name[1]):
        numbers = pa.array(np.arange(arrival, arrival + batch.num_rows))
        arrival += batch.num_rows
        yield pa.Table.from_batches([batch]).append_column(columns[-1].name, numbers)


def _read_batches(table: Table, names: list[str], table_name: str) -> Iterator[pa.RecordBatch]:
    if isinstance(table, pa.Table):
        check_names(names, table.column_names, table_name)
        yield from table.select(names).to_batches(max_chunksize=_ROWS_PER_BATCH)
    elif isinstance(table, str | Path):
        for path in parquet_files(table):
            with pq.ParquetFile(path) as file:
                check_names(names, file.schema_arrow.names, table_name)
                yield from file.iter_batches(_ROWS_PER_BATCH, columns=names)
    else:
        check_names(names, table.schema.names, table_name)
        yield from table.to_batches(columns=names, batch_size=_ROWS_PER_BATCH)


def row_count(table: Table) -> int:
    """How many rows a stored table has."""
    if isinstance(table, pa.Table):
        return int(table.num_rows)
    if isinstance(table, str | Path):
        return sum(pq.read_metadata(path).num_rows for path in parquet_files(table))
    return int(table.count_rows())


def _names(root: plan.Relation) -> set[TableName]:
    return {(source.database, source.table) for source, _ in needed_columns(root)}


def _bytes_of(root: plan.Relation, tables: Tables) -> int:
    """A guess of what the columns that a plan reads take in memory."""
    needed: Mapping[TableName, set[int]] = {name: set() for name in _names(root)}
    for source, columns in needed_columns(root):
        needed[source.database, source.table].update(columns)
    return sum(
        row_count(tables[name]) * len(columns) * _BYTES_PER_VALUE for name, columns in needed.items() if name in tables
    )
