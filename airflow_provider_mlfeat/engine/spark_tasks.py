"""What runs on Spark's workers: rows become chunks, chunks are shuffled, a partition's chunks become rows again.

Spark moves *chunks*: one row of Spark is a whole Arrow table in its stream format, with the partition that it goes to.
Spark's own cost per row is therefore paid once, at the scan, however many fragments follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.column import arrow_type
from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.engine.relations import origin
from airflow_provider_mlfeat.engine.spark_job import Consumer, Job
from airflow_provider_mlfeat.engine.spark_ports import PORT
from airflow_provider_mlfeat.engine.spark_routing import order_values, route, row_hashes
from airflow_provider_mlfeat.engine.spark_streams import Mark, SortedStream, marked_chunks
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError

# target: partition of the next shuffle; fragment, partition, port: where the rows belong.
_PLACE = ("target", "fragment", "partition", "port")
# key and time: the mark of a chunk, where the rows of a partition come sorted.
_MARK = ("key", "time")
CHUNK_SCHEMA = pa.schema(
    [*((name, pa.int32()) for name in _PLACE), *((name, pa.int64()) for name in _MARK), ("data", pa.binary())]
)
CHUNK_DDL = "target int, fragment int, partition int, port int, key bigint, time bigint, data binary"
SAMPLE_SCHEMA = pa.schema([("fragment", pa.int32()), ("hash", pa.int64()), ("time", pa.int64())])
SAMPLE_DDL = "fragment int, hash bigint, time bigint"
CHUNK_BYTES = 32 << 20
ROWS_PER_BATCH = 1 << 16
FILE_COLUMN, ROW_COLUMN = "#file", "#row"
ROWS_PER_FILE = 1 << 40
# Text around a data error on its way through Spark's own exceptions.
ERROR_MARK = "mlfeat-data-rule:"

Batches = Iterable[pa.RecordBatch]


def map_task(job_text: str, table: tuple[str, str], batches: Batches) -> Iterator[pa.RecordBatch]:
    """Rows of a stored table → chunks for the fragments that read it, or the answer of a query without a shuffle."""
    job = Job.from_json(job_text)
    with _ErrorsInOneSentence():
        for piece in _pieces(batches, CHUNK_BYTES):
            rows = with_arrival(piece, job.files.get(table, {}))
            for number in job.map_fragments(table):
                yield from _deliver(job, number, 0, run_map_fragment(job, number, rows))


def level_task(job_text: str, level: int, target: int, batches: Batches) -> Iterator[pa.RecordBatch]:
    """The chunks of one partition → chunks for the next level, or the answer."""
    job = Job.from_json(job_text)
    number, partition = job.place(level, target)
    producers = [job.fragments[port.producer] for port in job.fragments[number].ports]
    stream = SortedStream(
        job.fragments[number],
        [_arrow_schema(made.relation.schema) for made in producers],
        [made.arrival for made in producers],
        job.stream_bytes,
    )
    with _ErrorsInOneSentence():
        for batch in batches:
            columns = [batch.column(index).to_pylist() for index in range(1, 6)]
            for row, (fragment, part, port, key, time) in enumerate(zip(*columns, strict=True)):
                mark = None if key is None else (key, time)
                data = batch.column(6)[row].as_buffer()
                if (fragment, part) == (number, partition):
                    if (complete := stream.complete(mark)) is not None:
                        yield from _run_partition(job, number, level, complete)
                    stream.add(port, _unpack(data))
                else:
                    yield _chunk(job.target(level + 1, fragment, part), fragment, part, port, mark, data)
        if stream.is_called_for():
            yield from _run_partition(job, number, level, stream.held)


def _run_partition(job: Job, number: int, level: int, chunks: Sequence[Sequence[pa.Table]]) -> Iterator[pa.RecordBatch]:
    """A fragment over the rows that came to its ports, and where its output goes."""
    ports = zip(job.fragments[number].ports, chunks, strict=True)
    tables = [_in_arrival_order(job, port.producer, list(parts)) for port, parts in ports]
    named = {(PORT, str(place)): rows for place, rows in enumerate(tables)}
    rows, fragment = evaluate(job, number, named), job.fragments[number]
    if number in job.hot_keys or (job.stream_bytes and fragment.reach is not None):
        rows = without_history(rows, fragment.arrival)
    yield from _deliver(job, number, level, rows)


def chunks_in_memory(job: Job, table: tuple[str, str], rows: pa.Table) -> pa.Table:
    """What ``map_task`` makes of a table that is in this process already."""
    arrived = with_arrival(_numbered(rows), {})
    batches = [
        batch
        for number in job.map_fragments(table)
        for batch in _deliver(job, number, 0, run_map_fragment(job, number, arrived))
    ]
    return pa.Table.from_batches(batches, CHUNK_SCHEMA if job.levels else answer_schema(job))


def sample_task(
    job_text: str, table: tuple[str, str], splittable: Sequence[int], batches: Batches
) -> Iterator[pa.RecordBatch]:
    """Sampled rows of a stored table → (fragment, hash of the key, time), for the fragments that may be split."""
    job = Job.from_json(job_text)
    with _ErrorsInOneSentence():
        for piece in _pieces(batches, CHUNK_BYTES):
            rows = with_arrival(piece, job.files.get(table, {}))
            yield from _sample(job, table, rows, splittable).to_batches()


def sample_in_memory(job: Job, table: tuple[str, str], rows: pa.Table, splittable: Sequence[int]) -> pa.Table:
    """What ``sample_task`` makes of a table that is in this process already."""
    return _sample(job, table, with_arrival(_numbered(rows), {}), splittable)


def _numbered(rows: pa.Table) -> pa.Table:
    numbers = pa.array(np.arange(rows.num_rows))
    return rows.append_column(ROW_COLUMN, numbers) if rows.num_columns else pa.table({ROW_COLUMN: numbers})


def _sample(job: Job, table: tuple[str, str], rows: pa.Table, splittable: Sequence[int]) -> pa.Table:
    parts = []
    for number in job.map_fragments(table):
        made = run_map_fragment(job, number, rows)
        for consumer in job.consumers(number):
            if consumer.fragment in splittable and consumer.port.order is not None:
                hashes = row_hashes(made, consumer.port.key).view(np.int64)
                numbers = np.full(len(hashes), consumer.fragment, np.int32)
                times = order_values(made.column(consumer.port.order))
                parts.append(pa.table([numbers, hashes, times], schema=SAMPLE_SCHEMA))
    return pa.concat_tables(parts) if parts else SAMPLE_SCHEMA.empty_table()


def with_arrival(rows: pa.Table, files: Mapping[int, int]) -> pa.Table:
    """The rows with their arrival in the last column, from the number of the file and of the row in it."""
    arrival = rows.column(ROW_COLUMN).cast(pa.int64())
    if FILE_COLUMN in rows.column_names:
        hashes = rows.column(FILE_COLUMN).combine_chunks().dictionary_encode()
        places = pa.array([files[value] for value in hashes.dictionary.to_pylist()], pa.int64())
        arrival = pc.add(pc.multiply(places.take(hashes.indices), ROWS_PER_FILE), arrival)
        rows = rows.drop_columns([FILE_COLUMN])
    return rows.drop_columns([ROW_COLUMN]).append_column("#arrival", arrival)


def run_map_fragment(job: Job, number: int, rows: pa.Table) -> pa.Table:
    """A map fragment over some rows of its table, which are in arrival order."""
    fragment = job.fragments[number]
    source = _only_source(fragment.relation)
    read = pa.Table.from_arrays(
        [_declared(rows.column(column.name), column, source.table) for column in source.schema],
        names=[column.name for column in source.schema],
    )
    picked = _picked_columns(fragment.relation)
    if picked is not None:
        return read.select(picked).rename_columns([str(place) for place in range(len(picked))])
    return evaluate(job, number, {(source.database, source.table): read})


def evaluate(job: Job, number: int, tables: Mapping[tuple[str, str], pa.Table]) -> pa.Table:
    """A fragment over tables, by the batch driver; its columns are called by their numbers."""
    try:
        answer = run_batch(job.fragment_plan(number), tables, job.parameters, threads=1)
    except DataRuleError as error:
        raise _located(job, number, tables, error) from error
    return answer.rename_columns([str(place) for place in range(answer.num_columns)])


def _located(job: Job, number: int, tables: Mapping[tuple[str, str], pa.Table], error: DataRuleError) -> DataRuleError:
    """A data error in terms of the stored tables: the partition's ports and row numbers mean nothing to a user."""
    database, _, place = (error.table or "").partition(".")
    if database != PORT:
        rows = next(iter(tables.values()))
        arrival = rows.column(rows.num_columns - 1)
        return _moved(error, error.table, error.column, arrival)
    producer = job.fragments[number].ports[int(place)].producer
    made = job.fragments[producer]
    table, column = origin(made.relation, int(error.column or 0))
    rows = tables[PORT, place]
    return _moved(error, table, column, rows.column(rows.num_columns - made.arrival))


def _moved(error: DataRuleError, table: str | None, column: str | None, arrival: pa.ChunkedArray) -> DataRuleError:
    row = None if error.row is None else arrival[error.row].as_py() % ROWS_PER_FILE
    return DataRuleError(error.message, table, column, row)


# ── from rows to chunks ─────────────────────────────────────────────────────────────────────────────────────────────


def _deliver(job: Job, number: int, level: int, rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """The output of a fragment, as chunks for its consumers; the output itself when it is the answer."""
    if number == len(job.fragments) - 1:
        yield from _answer(job, rows)
    if rows.num_rows:
        for consumer in job.consumers(number):
            partitions = job.partitions[consumer.fragment]
            hot = job.hot_keys.get(consumer.fragment) if consumer.port.order is not None else None
            for partition, part in route(rows, consumer.port, partitions, hot, job.fragments[number].arrival):
                target = job.target(level + 1, consumer.fragment, partition)
                for mark, rows_of_chunk in _chunks(job, consumer, part):
                    data = _pack(rows_of_chunk)
                    yield _chunk(target, consumer.fragment, partition, consumer.place, mark, data)


def _chunks(job: Job, consumer: Consumer, rows: pa.Table) -> Iterator[tuple[Mark, pa.Table]]:
    """The rows in pieces of a size that Spark likes; sorted and marked where the consumer takes them as a stream."""
    if job.stream_bytes:
        yield from marked_chunks(rows, job.fragments[consumer.fragment], consumer.port, job.stream_bytes)
        return
    pieces = max(1, -(-rows.nbytes // CHUNK_BYTES))
    step = -(-rows.num_rows // pieces)
    for start in range(0, rows.num_rows, step):
        yield None, rows.slice(start, step)


def _chunk(target: int, fragment: int, partition: int, port: int, mark: Mark, data: pa.Buffer) -> pa.RecordBatch:
    offsets = pa.py_buffer(np.array([0, data.size], np.int32).tobytes())
    numbers = [pa.array([number], pa.int32()) for number in (target, fragment, partition, port)]
    numbers += [pa.array([number], pa.int64()) for number in mark or (None, None)]
    binary = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, data])
    return pa.RecordBatch.from_arrays([*numbers, binary], schema=CHUNK_SCHEMA)


def _pack(rows: pa.Table) -> pa.Buffer:
    """The rows in Arrow's stream format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def _unpack(data: pa.Buffer) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


# ── from chunks to rows ─────────────────────────────────────────────────────────────────────────────────────────────


def _pieces(batches: Batches, size: int) -> Iterator[pa.Table]:
    """Batches joined until they are worth splitting by partition."""
    held: list[pa.RecordBatch] = []
    held_bytes = 0
    for batch in batches:
        held.append(batch)
        held_bytes += batch.nbytes
        if held_bytes >= size:
            yield pa.Table.from_batches(held)
            held, held_bytes = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _in_arrival_order(job: Job, producer: int, parts: list[pa.Table]) -> pa.Table:
    """The rows that a fragment's output brought to a partition, as they arrived."""
    made = job.fragments[producer]
    schema = _arrow_schema(made.relation.schema)
    if not parts:
        return schema.empty_table()
    first = len(schema) - made.arrival
    parts.sort(key=lambda part: tuple(_low(part.column(column)[0]) for column in range(first, len(schema))))
    rows = pa.concat_tables([part.rename_columns(schema.names) for part in parts])
    arrival = [order_values(rows.column(column)) for column in range(first, len(schema))]
    if len(arrival) == 1 and not (arrival[0][1:] < arrival[0][:-1]).any():
        return rows
    order = np.argsort(arrival[0], kind="stable") if len(arrival) == 1 else np.lexsort(arrival[::-1])
    return rows.take(pa.array(order))


def _low(scalar: pa.Scalar) -> int:
    value = scalar.as_py()
    return np.iinfo(np.int64).min if value is None else value


def without_history(rows: pa.Table, arrival: int) -> pa.Table:
    """The output without that of rows that were only there to be seen by others; its last columns are the arrival."""
    first = rows.column(rows.num_columns - arrival)
    return rows.filter(pc.invert(pc.fill_null(pc.less(first, 0), False)))


def _answer(job: Job, rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Batches of the query's own columns, in the types that Spark was told."""
    schema = answer_schema(job)
    arrays = [rows.column(place).cast(field.type) for place, field in enumerate(schema)]
    answer = pa.Table.from_arrays(arrays, schema=schema)
    yield from answer.to_batches(max_chunksize=ROWS_PER_BATCH)


def answer_columns(job: Job) -> plan.Schema:
    """The query's columns, without the arrival."""
    last = job.fragments[-1]
    return last.relation.schema[: len(last.relation.schema) - last.arrival]


def answer_schema(job: Job) -> pa.Schema:
    """The Arrow types in which Spark takes an answer: its timestamps are microseconds. Names are made unique."""
    fields = []
    for place, column in enumerate(answer_columns(job)):
        kind = arrow_type(column.type)
        fields.append((f"c{place}", pa.timestamp("us") if pa.types.is_timestamp(kind) else kind))
    return pa.schema(fields)


# ── schemas and errors ──────────────────────────────────────────────────────────────────────────────────────────────


def _arrow_schema(columns: plan.Schema) -> pa.Schema:
    return pa.schema([(str(place), arrow_type(column.type)) for place, column in enumerate(columns)])


def _only_source(relation: plan.Relation) -> plan.Source:
    if isinstance(relation, plan.Source):
        return relation
    (below,) = inputs_of(relation)
    return _only_source(below)


def _picked_columns(relation: plan.Relation) -> list[int] | None:
    """The columns that a projection of a stored table picks; None when it does more than that."""
    if isinstance(relation, plan.Source):
        return list(range(len(relation.schema)))
    if not isinstance(relation, plan.Project):
        return None
    below = _picked_columns(relation.input)
    if below is None:
        return None
    picked = [item.index for item in relation.expressions if isinstance(item, plan.ColumnReference)]
    return [below[index] for index in picked] if len(picked) == len(relation.expressions) else None


def _declared(array: pa.ChunkedArray, column: plan.Column, table: str) -> pa.ChunkedArray:
    """A scanned column in its declared type."""
    expected = arrow_type(column.type)
    if array.type == expected:
        return array
    try:
        # Finer timestamps lose what is below a millisecond; a zone is only how Spark shows an instant.
        return array.cast(expected, safe=not pa.types.is_timestamp(expected))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = f"values of type {array.type} do not fit the declared type {column.type}: {error}"
        raise DataRuleError(message, table, column.name) from error


class _ErrorsInOneSentence:
    """Marks a data error's sentence, so that the driver finds it in what Spark makes of the exception."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, DataRuleError):
            raise RuntimeError(f"{ERROR_MARK}{error}{ERROR_MARK}") from error
