"""The batch driver for data that is larger than memory: partitions of the key on disk.

The plan is cut into the same fragments as for Spark. Stored tables are read in batches; every row goes to the file of
the partition that needs it; then partition after partition is loaded and run in memory. Rows carry their arrival, so
that the answer has the order that it would have without the detour.

A partition that is still too large, because one key has so many rows, is divided by time as Spark's hot keys are: each
part gets the history that its windows see. Where windows look back without limit, and where the two sides of a join
have one key, the rows stay together: they are run with the memory that they take, and the log says so.
"""

from __future__ import annotations

import logging
import math
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
from airflow_provider_mlfeat.engine.spark_hot_keys import HotKeys, find_hot_keys
from airflow_provider_mlfeat.engine.spark_job import Job
from airflow_provider_mlfeat.engine.spark_ports import PORT, SINGLE_ROW, Fragment, Route
from airflow_provider_mlfeat.engine.spark_relations import narrowed
from airflow_provider_mlfeat.engine.spark_routing import order_values, route, row_hashes
from airflow_provider_mlfeat.engine.spark_tasks import evaluate, run_map_fragment, without_history
from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError

log = logging.getLogger("mlfeat.job")

# What a value of a row costs while windows run over it: its column, its pattern, its place in the order.
_BYTES_PER_VALUE = 24
_ROWS_PER_BATCH = 1 << 17
_MOST_PARTITIONS = 1024
# A part of a partition is worth its files when it has so many rows.
_ROWS_PER_PART = 4096
# So many rows say where a partition's large keys are cut.
_SAMPLE_ROWS = 1 << 20


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

    :param memory_limit: bytes that the partition at work may take, where its rows can be divided so far.
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
        self._rows: dict[str, int] = {}
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
            names = [
                _file_name(number, None if port.route is Route.COPY else partition, place)
                for place, port in enumerate(fragment.ports)
            ]
            count = self._parts_of(fragment, names)
            if count > 1:
                self._run_divided(number, names, count)
            else:
                self._run_partition(number, names)

    def _parts_of(self, fragment: Fragment, names: Sequence[str]) -> int:
        """Into how many parts a partition is divided; 1 when it is not."""
        size = self._size(fragment, names)
        if size <= self._memory_limit or not _is_divisible(fragment):
            return 1
        rows = sum(self._rows.get(name, 0) for name in names)
        return min(1 + 2 * size // self._memory_limit, max(1, rows // _ROWS_PER_PART), _MOST_PARTITIONS)

    def _run_divided(self, number: int, names: Sequence[str], count: int) -> None:
        """Run a partition in parts; a large key is cut by time, and its parts get the history that they see."""
        fragment = self.job.fragments[number]
        count = _coprime(count, self.job.partitions[number])
        hot = self._hot_keys(fragment, names, count)
        for name, port in zip(names, fragment.ports, strict=True):
            if port.route is not Route.COPY:
                arrival = self.job.fragments[port.producer].arrival
                for rows in self._read(name, port.producer):
                    for part, chosen in route(rows, port, count, hot, arrival):
                        self._put(_part_name(name, part), chosen)
                (self.folder / name).unlink(missing_ok=True)
        self._flush()
        for part in range(count):
            ports = zip(names, fragment.ports, strict=True)
            self._run_partition(
                number,
                [name if port.route is Route.COPY else _part_name(name, part) for name, port in ports],
                divided=True,
            )

    def _hot_keys(self, fragment: Fragment, names: Sequence[str], parts: int) -> HotKeys | None:
        """Where the large keys of a partition are cut, from a sample of its rows."""
        assert fragment.reach is not None
        step = 1 + sum(self._rows.get(name, 0) for name in names) // _SAMPLE_ROWS
        hashes, times = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for name, port in zip(names, fragment.ports, strict=True):
            if port.route is not Route.COPY and port.order is not None:
                for rows in self._read(name, port.producer):
                    hashes.append(row_hashes(rows, port.key)[::step])
                    times.append(order_values(rows.column(port.order))[::step])
        return find_hot_keys(np.concatenate(hashes), np.concatenate(times), parts, fragment.reach)

    def _run_partition(self, number: int, names: Sequence[str], divided: bool = False) -> None:
        """Run a fragment over the rows in some files, one for each of its ports; in a divided one some are history."""
        fragment = self.job.fragments[number]
        ports = [(name, port) for name, port in zip(names, fragment.ports, strict=True)]
        gathers = any(port.route is Route.KEY and not port.key for _, port in ports)
        if gathers or any(self._rows.get(name) for name, port in ports if port.route is not Route.COPY):
            self._say_if_large(self._size(fragment, names))
            inputs = {(PORT, str(place)): self._load(name, port.producer) for place, (name, port) in enumerate(ports)}
            rows = evaluate(self.job, number, inputs)
            self._deliver(number, without_history(rows, fragment.arrival) if divided else rows)
        for name, port in ports:
            if port.route is not Route.COPY:
                (self.folder / name).unlink(missing_ok=True)

    def _size(self, fragment: Fragment, names: Sequence[str]) -> int:
        """A guess of the bytes that the rows brought to a partition take."""
        return _BYTES_PER_VALUE * sum(
            self._rows.get(name, 0) * len(self.job.fragments[port.producer].relation.schema)
            for name, port in zip(names, fragment.ports, strict=True)
            if port.route is not Route.COPY
        )

    def _say_if_large(self, size: int) -> None:
        if size > self._memory_limit:
            log.warning(
                "A partition takes about %d MiB, more than the memory limit of %d MiB, because one key has so many "
                "rows that windows or a join see at once, or the query gathers all of them; it runs with what it "
                "takes. Raise the limit, or run the query on Spark.",
                size >> 20,
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
        self._rows[name] = self._rows.get(name, 0) + rows.num_rows
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
        """The rows of a file in the order of their arrival."""
        made = self.job.fragments[producer]
        rows = pa.concat_tables([_arrow_schema(made).empty_table(), *self._read(name, producer)])
        columns = range(rows.num_columns - made.arrival, rows.num_columns)
        arrival = [order_values(rows.column(column)) for column in columns]
        # The last key is the first to sort by.
        return rows.take(pa.array(np.lexsort(arrival[::-1]))) if arrival and rows.num_rows else rows

    def _read(self, name: str, producer: int) -> Iterator[pa.Table]:
        """The parts of a file, as they were written."""
        path, schema = self.folder / name, _arrow_schema(self.job.fragments[producer])
        if not path.exists():
            return
        with path.open("rb") as file:
            size = path.stat().st_size
            while file.tell() < size:
                with self.timings.stage("read"), pa.ipc.open_stream(file) as reader:
                    rows = reader.read_all()
                yield rows.rename_columns(schema.names).cast(schema)


def _file_name(fragment: int, partition: int | None, place: int) -> str:
    """The file of a port; without a partition the rows are for all of them."""
    return f"{fragment}-{'all' if partition is None else partition}-{place}"


def _part_name(name: str, part: int) -> str:
    """The file of a part of a partition that was divided."""
    return f"{name}.{part}"


def _is_divisible(fragment: Fragment) -> bool:
    """Whether a key's rows can be cut by time: windows see a limited way back, and nothing else needs them together."""
    return fragment.reach is not None and all(
        port.route is Route.COPY or (port.route is Route.KEY and bool(port.key) and port.order is not None)
        for port in fragment.ports
    )


def _coprime(count: int, partitions: int) -> int:
    """At least `count`. Keys of one partition differ in their hash by multiples of `partitions`, so that only a number
    that shares no divisor with it spreads them."""
    while math.gcd(count, partitions) > 1:
        count += 1
    return count


def _arrow_schema(fragment: Fragment) -> pa.Schema:
    """The columns of a fragment's output, called by their numbers."""
    columns = fragment.relation.schema
    return pa.schema([(str(place), arrow_type(column.type)) for place, column in enumerate(columns)])


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
