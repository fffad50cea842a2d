"""Partitions that may be larger than memory: their rows come sorted and leave as soon as they are complete.

The order is that of (hash of the key, time, arrival). Whoever sends rows to a partition sorts what he has, cuts it into
small chunks, and marks each with the place of its first row. Spark sorts a partition's chunks by their marks, on disk
where it has to: sorting chunks costs a thousandth of sorting rows. So the mark of the newest chunk is a watermark: no
row before it is still to come. Once the held rows exceed the budget, those before the watermark are run and let go:

* the rows of every key before the watermark's key, which are all there;
* of the watermark's own key the rows before its time, if all windows look back a limited way. The newest of these, as
  far as later rows see them, stay as history, just as when a hot key is split between partitions.

A single key whose windows see everything, and whatever needs all rows in one place, is held as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.spark_hot_keys import first_visible
from airflow_provider_mlfeat.engine.spark_ports import Fragment, Port, Route
from airflow_provider_mlfeat.engine.spark_routing import as_history, order_values, row_hashes

# (hash, time) of a chunk's first row; None before all others.
Mark = tuple[int, int] | None
# So many chunks fit into the budget: as many senders may each have a chunk that is not over yet.
CHUNKS_PER_BUDGET = 1024


def marked_chunks(rows: pa.Table, fragment: Fragment, port: Port, budget: int) -> Iterator[tuple[Mark, pa.Table]]:
    """The rows on their way to a port's partition, sorted and cut, with their marks."""
    if port.route is Route.COPY:
        # Every other row needs them.
        yield None, rows
        return
    hashes, times = _places(rows, fragment, port)
    order = np.lexsort((times, hashes))
    rows = rows.take(pa.array(order))
    step = max(1, rows.num_rows * budget // CHUNKS_PER_BUDGET // max(1, rows.nbytes))
    for start in range(0, rows.num_rows, step):
        first = order[start]
        yield (int(hashes[first]), int(times[first])), rows.slice(start, step)


class SortedStream:
    """The rows of one partition that have come and are still needed.

    :param fragment: what runs on the partition.
    :param schemas: the columns of each port's rows; the arrival comes last.
    :param arrivals: how many arrival columns each port's rows have.
    :param budget: bytes that rows may take before they have to leave; 0 holds all of them.
    """

    def __init__(self, fragment: Fragment, schemas: Sequence[pa.Schema], arrivals: Sequence[int], budget: int) -> None:
        self.fragment, self.schemas, self.arrivals, self.budget = fragment, schemas, arrivals, budget
        self.held: list[list[pa.Table]] = [[] for _ in fragment.ports]
        self._bytes, self._limit = 0, budget

    def add(self, place: int, rows: pa.Table) -> None:
        """Take a chunk of port number `place`."""
        self.held[place].append(rows.rename_columns(self.schemas[place].names))
        if self.fragment.ports[place].route is not Route.COPY:
            self._bytes += rows.nbytes

    def complete(self, mark: Mark) -> list[list[pa.Table]] | None:
        """Per port the rows before the mark, when it is time that they leave; None when it is not, or none are."""
        if not self.budget or self._bytes <= self._limit or mark is None:
            return None
        parted = [self._part(place, mark) for place in range(len(self.held))]
        self.held = [kept for _, kept in parted]
        self._bytes = sum(
            rows.nbytes
            for port, kept in zip(self.fragment.ports, self.held, strict=True)
            for rows in kept
            if port.route is not Route.COPY
        )
        # Looking again costs a pass over what is held, so it waits for more to come.
        self._limit = max(self.budget, self._bytes + self.budget // 2)
        leaving = [leaves for leaves, _ in parted]
        return leaving if self._brings_rows(leaving) else None

    def is_called_for(self) -> bool:
        """Whether what is held has to be run: an aggregate of all rows has to even when there are none."""
        return _gathers(self.fragment) or self._brings_rows(self.held)

    def _brings_rows(self, parts: Sequence[Sequence[pa.Table]]) -> bool:
        return any(rows and port.route is not Route.COPY for port, rows in zip(self.fragment.ports, parts, strict=True))

    def _part(self, place: int, mark: tuple[int, int]) -> tuple[list[pa.Table], list[pa.Table]]:
        """(rows that leave, rows that stay) of a port."""
        port, held = self.fragment.ports[place], self.held[place]
        if port.route is Route.COPY:
            return held, held
        if port.route is Route.SPREAD:
            return held, []
        if not held or not port.key:
            return [], held
        rows = pa.concat_tables(held)
        hashes, times = _places(rows, self.fragment, port)
        of_key = (hashes == mark[0]) & (times < mark[1])
        leaves = (hashes < mark[0]) | of_key
        staying = [rows.filter(pa.array(~leaves))]
        if port.halo and self.fragment.reach is not None and of_key.any():
            staying.append(self._history(place, rows, np.flatnonzero(of_key), times, mark[1]))
        return [part for part in [rows.filter(pa.array(leaves))] if part.num_rows], [
            part for part in staying if part.num_rows
        ]

    def _history(
        self, place: int, rows: pa.Table, chosen: NDArray[np.int64], times: NDArray[np.int64], time: int
    ) -> pa.Table:
        """Of one key's rows those that rows from `time` on can see."""
        reach = self.fragment.reach
        assert reach is not None
        first = rows.num_columns - self.arrivals[place]
        arrival = [order_values(rows.column(column))[chosen] for column in range(first, rows.num_columns)]
        chosen = chosen[np.lexsort((*arrival[::-1], times[chosen]))]
        start = first_visible(times[chosen], time, len(chosen), reach)
        return as_history(rows.take(pa.array(chosen[start:])), first)


def _places(rows: pa.Table, fragment: Fragment, port: Port) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(hash, time) of every row; where time says nothing about what is complete it is 0."""
    by_key = port.route is Route.KEY and bool(port.key)
    hashes = row_hashes(rows, port.key).view(np.int64) if by_key else np.zeros(rows.num_rows, np.int64)
    if by_key and fragment.reach is not None and port.order is not None:
        return hashes, order_values(rows.column(port.order))
    return hashes, np.zeros(rows.num_rows, np.int64)


def _gathers(fragment: Fragment) -> bool:
    return any(port.route is Route.KEY and not port.key for port in fragment.ports)
