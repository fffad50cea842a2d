"""Where rows go: the partitions of a port, by the hash of the key; a hot key's rows by their time as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.kernels.hashing import hash_numbers, hash_strings
from airflow_provider_mlfeat.engine.spark_hot_keys import HALO_SHIFT, HotKeys, halos, parts_of_rows, split
from airflow_provider_mlfeat.engine.spark_ports import Port, Route

_NULL = np.uint64(0x9E3779B97F4A7C15)


def route(
    rows: pa.Table, port: Port, partitions: int, hot: HotKeys | None, arrival: int
) -> Iterator[tuple[int, pa.Table]]:
    """(partition, rows) for every partition that some of the rows go to; rows keep their order."""
    if port.route is Route.COPY:
        yield from ((partition, rows) for partition in range(partitions))
    elif partitions == 1 or (port.route is Route.KEY and not port.key):
        yield 0, rows
    elif port.route is Route.SPREAD:
        first = int(row_hashes(rows.slice(0, 1), [rows.num_columns - arrival])[0] % np.uint64(partitions))
        yield first, rows
    else:
        hashes = row_hashes(rows, port.key)
        homes = (hashes % np.uint64(partitions)).astype(np.int64)
        targets = homes
        if hot is not None and port.order is not None:
            times = order_values(rows.column(port.order))
            targets = parts_of_rows(hot, hashes, times, homes, partitions)
            if port.halo:
                for partition, places in halos(hot, hashes, times, homes, partitions):
                    yield partition, as_history(rows.take(pa.array(places)), rows.num_columns - arrival)
        # One gather for all partitions: a gather of strings costs more per call than per row.
        pieces = list(split(targets, partitions))
        gathered = rows.take(pa.array(np.concatenate([places for _, places in pieces])))
        start = 0
        for partition, places in pieces:
            yield partition, gathered.slice(start, len(places))
            start += len(places)


def row_hashes(rows: pa.Table, key: Sequence[int]) -> NDArray[np.uint64]:
    """A hash of the key columns of every row: equal keys have equal hashes, on every machine."""
    hashes = np.zeros(rows.num_rows, np.uint64)
    for column in key:
        array = rows.column(column).combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
        nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        if pa.types.is_string(array.type):
            array = pc.fill_null(array, "")
            _, offsets, data = array.buffers()
            places = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
            text = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
            hash_strings(hashes, places.copy(), text.copy() if not text.flags.writeable else text)
        else:
            hash_numbers(hashes, _patterns(array))
        if nulls is not None:
            # NULL is a key of its own: not 0, nor the empty text.
            hashes[nulls] ^= _NULL
    return hashes


def order_values(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The order column as integers; a NULL, which the windows will refuse, is the smallest."""
    numbers = column.combine_chunks()
    numbers = numbers.cast(pa.int64()) if not pa.types.is_timestamp(numbers.type) else numbers.view(pa.int64())
    return np.ascontiguousarray(pc.fill_null(numbers, np.iinfo(np.int64).min).to_numpy(zero_copy_only=False))


def _patterns(array: pa.Array) -> NDArray[np.int64]:
    """64-bit patterns of numbers, dates and bools; equal numbers have equal patterns."""
    if pa.types.is_floating(array.type):
        reals = pc.fill_null(array.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False) + 0.0
        reals[np.isnan(reals)] = np.nan
        return np.ascontiguousarray(reals).view(np.int64)
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    elif pa.types.is_date32(array.type):
        array = array.view(pa.int32())
    return np.array(pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))


def as_history(rows: pa.Table, column: int) -> pa.Table:
    """Rows that others are computed from, but that give no output here: their arrival becomes negative."""
    arrival = rows.column(column)
    moved = pc.if_else(pc.less(arrival, 0), arrival, pc.subtract(arrival, HALO_SHIFT))
    return rows.set_column(column, rows.schema.field(column), moved)
