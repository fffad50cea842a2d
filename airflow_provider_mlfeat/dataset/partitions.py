"""What Spark's workers do for a dataset: passes over some of the rows, and the parts that the rows are written in.

Rows come with the number of their file and of their place in it, which give the number that each has in the table.
All that a row becomes depends on that number and on the row alone, so it does not matter how Spark divides the rows.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import Encoded, Encoder
from airflow_provider_mlfeat.dataset.faithful import key_rows
from airflow_provider_mlfeat.dataset.leakage import marked_keys
from airflow_provider_mlfeat.dataset.passes import Pass, Piece, Rows, chosen_rows
from airflow_provider_mlfeat.dataset.sampling import row_numbers
from airflow_provider_mlfeat.dataset.source import labels_of
from airflow_provider_mlfeat.dataset.splits import SPLITS, TRAIN
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.files import staged_file

Batches = Iterable[pa.RecordBatch]

PIECES = pa.schema([("piece", pa.int32()), ("data", pa.binary())])
PIECES_DDL = "piece int, data binary"
KEYS = pa.schema([("role", pa.int32()), ("key", pa.int64()), ("split", pa.int32())])
KEYS_DDL = "role int, key bigint, split int"
CHUNKS = pa.schema([("part", pa.int32()), ("first", pa.int64()), ("data", pa.binary())])
CHUNKS_DDL = "part int, first bigint, data binary"
WRITTEN = pa.schema([("part", pa.int32()), ("rows", pa.int64())])
WRITTEN_DDL = "part int, rows bigint"


@dataclass(frozen=True)
class Numbering:
    """Which rows of the table the rows of a batch are.

    :param row: the column with a row's place in its file.
    :param file: the column with a number for its file; '' where there is one file.
    :param starts: the first row of each file, by that number.
    """

    row: str
    file: str
    starts: Mapping[int, int]

    def blocks(self, batches: Batches, schema: pa.Schema) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Runs of rows that follow one another in the table, with the number of the first."""
        for batch in batches:
            if not batch.num_rows:
                continue
            numbers = np.asarray(batch.column(self.row)).astype(np.int64)
            if self.file:
                different, codes = np.unique(np.asarray(batch.column(self.file)), return_inverse=True)
                numbers = numbers + np.array([self.starts[one] for one in different.tolist()], np.int64)[codes]
            columns = [batch.column(one.name).cast(one.type) for one in schema]
            rows = pa.RecordBatch.from_arrays(columns, schema=schema)
            stops = [*(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
            start = 0
            for stop in stops:
                yield rows.slice(start, stop - start), int(numbers[start])
                start = stop


@dataclass
class GatherTask:
    """A pass over the rows of one partition; what it gathered, piece by piece.

    :param one: the pass, which has seen nothing.
    :param schema: of the columns that it reads.
    :param numbering: of the rows.
    """

    one: Pass
    schema: pa.Schema
    numbering: Numbering

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        for block, first in self.numbering.blocks(batches, self.schema):
            self.one.add(block, first)
        yield from _pickled(enumerate(self.one.pieces()))


class MergeTask:
    """Pieces of one partition, of which those with one number become one."""

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        merged: dict[int, Piece] = {}
        for number, piece in unpickled(batches):
            if number in merged:
                merged[number].merge(piece)
            else:
                merged[number] = piece
        yield from _pickled(merged.items())


@dataclass(frozen=True)
class KeysTask:
    """The keys of rows with their splits: a role's number, the key, the split.

    :param rows: the rows.
    :param roles: columns, by the number of their role.
    :param schema: of the columns that it reads.
    :param numbering: of the rows.
    """

    rows: Rows
    roles: Sequence[Sequence[str]]
    schema: pa.Schema
    numbering: Numbering

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        for block, first in self.numbering.blocks(batches, self.schema):
            splits = self.rows.splits_of(block, first)
            for role, columns in enumerate(self.roles):
                marked = marked_keys(block, columns, self.rows.kinds, splits)
                numbers = pa.array(np.full(len(marked), role, np.int32))
                keys = pa.array((marked >> np.uint64(2)).astype(np.int64))
                yield pa.RecordBatch.from_arrays([numbers, keys, pa.array(splits.astype(np.int32))], schema=KEYS)


@dataclass(frozen=True)
class Parts:
    """The parts that rows are written in: each is put together by one worker, and they follow one another.

    Rows that are shuffled belong to the part that they are shuffled in; others to that of their place in the table.

    :param rows: the rows.
    :param block: rows of the table whose rows make a part.
    """

    rows: Rows
    block: int

    @property
    def each(self) -> int:
        """How many parts a group has at most: a split's matrices, or its rows for the original trainer."""
        return max(self.rows.shards, -(-self.rows.count // self.block))

    @property
    def groups(self) -> int:
        """The splits, and for the faithful profile the splits once more."""
        return len(SPLITS) * (2 if self.rows.request.profile == "faithful" else 1)

    def is_shuffled(self, group: int) -> bool:
        """Whether the rows of a group's parts are brought into a random order."""
        return group == TRAIN and self.rows.request.shuffle

    def number(self, group: int, place: int) -> int:
        """The number of a part."""
        return group * self.each + place

    def place(self, part: int) -> tuple[int, int]:
        """Group and place of a part."""
        return divmod(part, self.each)


@dataclass(frozen=True)
class EncodeTask:
    """Rows of one partition → encoded rows, in chunks for the parts that they belong to.

    :param parts: the parts.
    :param encoder: the fitted one.
    :param numbering: of the rows.
    """

    parts: Parts
    encoder: Encoder
    numbering: Numbering

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = self.parts.rows
        for block, first in self.numbering.blocks(batches, rows.schema):
            splits, labels = rows.splits_of(block, first), labels_of(block, rows.request.label, first)
            encoded = self.encoder.encode(block)
            keys = key_rows(self.encoder, block, labels) if self.parts.groups > len(SPLITS) else None
            places = np.arange(first, first + block.num_rows) // self.parts.block
            for number in range(len(SPLITS)):
                there = splits == number
                where = rows.shards_of(block, first) if self.parts.is_shuffled(number) else places
                for place in np.unique(where[there]).tolist():
                    mask = there & (where == place)
                    features = None if number == TRAIN else chosen_rows(block, mask)
                    chunk = encoded_rows(Encoded(encoded.ids[mask], encoded.values[mask]), labels[mask], features)
                    yield _chunk(self.parts.number(number, place), first, chunk)
                if keys is not None:
                    for place in np.unique(places[there]).tolist():
                        mask = there & (places == place)
                        part = self.parts.number(len(SPLITS) + number, place)
                        yield _chunk(part, first, chosen_rows(keys, mask))


@dataclass(frozen=True)
class AssembleTask:
    """The chunks of a part, in the order of their rows or shuffled, as a file in a folder that all workers see.

    :param parts: the parts.
    :param starts: the first row of each shuffled part among the rows of its split.
    :param folder: the folder.
    """

    parts: Parts
    starts: Sequence[int]
    folder: Path

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        chunks: dict[int, list[tuple[int, bytes]]] = {}
        for batch in batches:
            for part, first, data in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                chunks.setdefault(part, []).append((first, data))
        if chunks and not self.folder.is_dir():
            raise UserError(
                f"a worker of Spark does not see {self.folder.parent}: datasets need a folder that all machines share"
            )
        for part in sorted(chunks):
            found = sorted(chunks.pop(part))
            rows = pa.concat_tables([pa.ipc.open_stream(data).read_all() for _, data in found]).combine_chunks()
            group, place = self.parts.place(part)
            if self.parts.is_shuffled(group):
                numbers = row_numbers(self.starts[place], rows.num_rows, self.parts.rows.request.seed)
                rows = rows.take(pa.array(np.argsort(numbers, kind="stable")))
            with staged_file(part_path(self.folder, part)) as staging:
                with pa.ipc.new_file(staging, rows.schema) as file:
                    file.write_table(rows)
            yield pa.RecordBatch.from_arrays(
                [pa.array([part], pa.int32()), pa.array([rows.num_rows], pa.int64())], schema=WRITTEN
            )


def part_path(folder: Path, part: int) -> Path:
    """The file of a part."""
    return folder / f"{part:09d}.arrow"


def read_part(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a part, mapped into memory."""
    with pa.memory_map(str(path)) as source:
        yield from pa.ipc.open_file(source).read_all().to_batches()


def encoded_rows(rows: Encoded, labels: NDArray[np.float32], features: pa.RecordBatch | None) -> pa.RecordBatch:
    """Rows on their way: labels, one binary of ids and one of values each, and the features where they are kept."""
    columns = {"labels": pa.array(labels), "ids": _as_binary(rows.ids), "values": _as_binary(rows.values)}
    if features is not None:
        columns["features"] = pa.StructArray.from_arrays(features.columns, fields=list(features.schema))
    return pa.RecordBatch.from_pydict(columns)


def decoded_rows(
    batch: pa.RecordBatch, widths: tuple[int, int], schema: pa.Schema
) -> tuple[Encoded, NDArray[np.float32], pa.RecordBatch | None]:
    """What `encoded_rows` was made of.

    :param batch: what it gave.
    :param widths: columns of ids and of values.
    :param schema: of the features.
    """
    ids = _from_binary(batch.column("ids"), np.int32, widths[0])
    values = _from_binary(batch.column("values"), np.float32, widths[1])
    features = None
    if "features" in batch.schema.names:
        features = pa.RecordBatch.from_arrays(batch.column("features").flatten(), schema=schema)
    return Encoded(ids, values), np.asarray(batch.column("labels")), features


def unpickled(batches: Batches) -> Iterator[tuple[int, Any]]:
    """Numbers and pieces."""
    for batch in batches:
        for number, data in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            # Of this job's own tasks, through the shuffle that also brought their code.
            yield number, pickle.loads(data)  # noqa: S301


def _pickled(pieces: Iterable[tuple[int, Any]]) -> Iterator[pa.RecordBatch]:
    for number, piece in pieces:
        data = pickle.dumps(piece, protocol=pickle.HIGHEST_PROTOCOL)
        yield pa.RecordBatch.from_arrays([pa.array([number], pa.int32()), pa.array([data], pa.binary())], schema=PIECES)


def _chunk(part: int, first: int, rows: pa.RecordBatch) -> pa.RecordBatch:
    written = io.BytesIO()
    with pa.ipc.new_stream(written, rows.schema) as stream:
        stream.write_batch(rows)
    columns = [pa.array([part], pa.int32()), pa.array([first], pa.int64()), pa.array([written.getvalue()], pa.binary())]
    return pa.RecordBatch.from_arrays(columns, schema=CHUNKS)


def _as_binary(matrix: NDArray[Any]) -> pa.Array:
    """A binary for each row of a matrix."""
    width = matrix.shape[1] * matrix.itemsize
    if not width:
        return pa.nulls(len(matrix))
    content = pa.py_buffer(np.ascontiguousarray(matrix))
    return pa.Array.from_buffers(pa.binary(width), len(matrix), [None, content])


def _from_binary(column: pa.Array, kind: type[Any], width: int) -> NDArray[Any]:
    if not width:
        return np.empty((len(column), 0), kind)
    flat = np.frombuffer(column.buffers()[1], kind)
    return flat[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)
