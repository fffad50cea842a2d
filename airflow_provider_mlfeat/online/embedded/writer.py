"""Adding rows to the records of a series, within one transaction."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.online.embedded.records import (
    ARRIVAL,
    ORDER,
    VALUES,
    Header,
    Mask,
    Part,
    chunk_key,
    count_and_last,
    decode,
    encode,
    join,
    key_length,
    keys_of_bits,
    last_order,
    read_header,
    series_prefix,
)
from airflow_provider_mlfeat.online.embedded.summaries import ChunkSummaries
from airflow_provider_mlfeat.online.retaining import Horizon, kept_places
from airflow_provider_mlfeat.online.series import Series
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import Kind

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.embedded.environment import Environment

# A record with more rows than this closes a chunk, and keeps so many of the newest rows for late arrivals.
_RECORD_ROWS, _OPEN_ROWS = 256, 64
_CHUNK_ROWS = 4096
# So many late rows are put into the chunks that they belong to.
_FEW_LATE_ROWS = 64


class SeriesWriter:
    """Writes one series.

    :param transaction: a transaction that writes.
    :param environment: of the store.
    :param series: the series.
    :param schema: the table's columns.
    :param horizon: which requests are still to come.
    """

    def __init__(
        self, transaction: Any, environment: Environment, series: Series, schema: Schema, horizon: Horizon
    ) -> None:
        self._transaction, self._database, self._series = transaction, environment.rows, series
        self._horizon = horizon
        self._summaries: ChunkSummaries | None = None
        if series.buckets is not None:
            self._summaries = ChunkSummaries(transaction, environment, series, schema)
        self._names = [column.name for column in schema]
        self._floats = [place for place, column in enumerate(schema) if column.type.is_floating]
        self._keys = [self._names.index(name) for name in series.keys]
        self._order = None if series.order is None else self._names.index(series.order)
        self._is_time = self._order is not None and schema[self._order].type.kind is Kind.TIMESTAMP
        self._prefix = series_prefix(series.number)
        # A load leaves long records, which are read fastest; rows that come one by one would write them over and over.
        self._longest = _RECORD_ROWS if horizon.is_live else _CHUNK_ROWS

    def add(self, bits: Bits, valid: Mask, arrivals: Bits) -> None:
        """Add rows; their arrival numbers are higher than all that are stored.

        :param bits: the patterns, a line per column.
        :param valid: whether there is a value, a line per column.
        :param arrivals: the rows' numbers, growing.
        """
        if not len(arrivals):
            return
        rows, keys, starts = self._sorted(bits, valid, arrivals)
        stops = [*starts[1:], rows.length]
        if self._is_empty():
            items: list[tuple[bytes, bytes]] = []
            for key, start, stop in zip(keys, starts, stops, strict=True):
                part = self._trim(rows.slice(start, stop))
                if not part.length:
                    continue
                if part.length <= self._longest:
                    items.append((key, encode(part, _newest(part))))
                else:
                    self._write(key, None, part)
            items.sort()
            with self._transaction.cursor(db=self._database) as cursor:
                cursor.putmulti(items)
            return
        for key, start, stop in zip(keys, starts, stops, strict=True):
            self._merge(key, rows.slice(start, stop))

    # ── sorting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _sorted(self, bits: Bits, valid: Mask, arrivals: Bits) -> tuple[Part, list[bytes], list[int]]:
        """The rows by (key, order value, arrival), the key of each group, and where each begins."""
        count = bits.shape[1]
        order = np.zeros(count, np.int64) if self._order is None else bits[self._order]
        sorting = [order] if self._order is not None else []
        for column in reversed(self._keys):
            sorting += [bits[column], valid[column]]
        places = np.lexsort(sorting) if sorting and count > 1 else np.arange(count)
        matrix = np.empty((VALUES + len(bits), count), np.int64)
        matrix[ORDER], matrix[ARRIVAL] = order[places], arrivals[places]
        np.take(bits, places, axis=1, out=matrix[VALUES:])
        for column in self._floats:
            # Equal numbers have equal patterns, whatever the sign of a zero or the kind of a NaN.
            reals = matrix[VALUES + column].view(np.float64) + 0.0
            matrix[VALUES + column] = np.where(np.isnan(reals), np.nan, reals).view(np.int64)
        kept = np.ones((1 + len(bits), count), np.uint8)
        np.take(valid, places, axis=1, out=kept[1:])
        key_bits = matrix[[VALUES + column for column in self._keys]]
        key_valid = kept[[1 + column for column in self._keys]]
        if self._keys:
            changes = np.any(np.diff(key_bits, axis=1) != 0, axis=0) | np.any(np.diff(key_valid, axis=1) != 0, axis=0)
            starts = np.concatenate([[0], 1 + np.flatnonzero(changes)])
        else:
            starts = np.zeros(1, np.int64)
        keys = keys_of_bits(self._prefix, key_bits[:, starts], key_valid[:, starts])
        return Part(matrix, kept), keys, starts.tolist()

    def _is_empty(self) -> bool:
        with self._transaction.cursor(db=self._database) as cursor:
            return not (cursor.set_range(self._prefix) and bytes(cursor.key()).startswith(self._prefix))

    # ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _merge(self, key: bytes, new: Part) -> None:
        value = self._transaction.get(key, db=self._database)
        if value is None:
            self._write(key, None, self._trim(new))
            return
        header, old = decode(value)
        if header.first < header.next and new.matrix[ORDER, 0] < old.matrix[ORDER, 0]:
            header, old, new = self._put_late(key, header, old, new)
        both = join([old, new])
        if new.length and new.matrix[ORDER, 0] < old.matrix[ORDER, -1]:
            both = both.take(np.argsort(both.matrix[ORDER], kind="stable"))
        if header.first == header.next:
            both = self._trim(both)
        self._write(key, header, both)

    def _put_late(self, key: bytes, header: Header, old: Part, new: Part) -> tuple[Header, Part, Part]:
        """Put rows that are older than some in closed chunks there → the header, the open rows, and rows for those."""
        names = self._chunks(key, header)
        version, epoch = max(header.version, _newest(new)), header.epoch + 1
        late = int(np.searchsorted(new.matrix[ORDER], old.matrix[ORDER, 0]))
        if late <= _FEW_LATE_ROWS:
            places = [self._place_of(names, order) for order in new.matrix[ORDER, :late].tolist()]
            inside = [place for place in places if place < len(names)]
            chunks = {place: decode(self._transaction.get(names[place], db=self._database))[1] for place in inside}
            for row, place in enumerate(inside):
                chunk = join([chunks[place], new.slice(row, row + 1)])
                chunks[place] = chunk.take(np.argsort(chunk.matrix[ORDER], kind="stable"))
            if all(chunk.length <= 2 * _CHUNK_ROWS for chunk in chunks.values()):
                for place, chunk in chunks.items():
                    self._transaction.put(names[place], encode(chunk), db=self._database)
                    if self._summaries is not None:
                        self._summaries.replace(key, place, chunk)
                closed = header.closed + len(inside)
                header = header._replace(version=version, epoch=epoch, closed=closed)
                return header, old, new.slice(len(inside), new.length)
        # Many rows, or a chunk that has become too long: all chunks are written anew.
        parts = [decode(self._transaction.pop(name, db=self._database))[1] for name in names]
        if self._summaries is not None:
            self._summaries.delete(key)
        header = Header(version, epoch, 0, 0, header.columns, header.next, header.next)
        return header, join([*parts, old]), new

    def _place_of(self, names: list[bytes], order: int) -> int:
        """The first chunk with a row that is later; behind the last one where none has."""

        def last(place: int) -> int:
            return last_order(self._transaction.get(names[place], db=self._database))

        return bisect_right(range(len(names)), order, key=last)

    def _trim(self, part: Part) -> Part:
        retention, matrix, kept = self._series.retention, part.matrix, part.kept
        since = None
        if self._order is not None:
            since = self._horizon.since(int(matrix[ORDER, -1]), self._is_time)
            if since is None:
                return part
        if retention.everything:
            return part

        def column(place: int) -> tuple[Bits, Mask]:
            return matrix[VALUES + place], kept[1 + place]

        places = kept_places(retention, matrix[ORDER], column, self._names, since)
        if isinstance(places, slice):
            return part.slice(places.start, places.stop) if places.start else part
        return part.take(places) if len(places) < part.length else part

    def _write(self, key: bytes, header: Header | None, part: Part) -> None:
        """Write a record, and close chunks where it has become long."""
        _, epoch, closed, _, _, first, following = header or Header(0, 0, 0, 0, 0, 0, 0)
        version = max(_newest(part), 0 if header is None else header.version)
        put, database = self._transaction.put, self._database
        if not part.length and first == following:
            self._transaction.delete(key, db=database)
            return
        if part.length > self._longest:
            base, added = first, []
            stop = part.length - _OPEN_ROWS
            for start in range(0, stop, _CHUNK_ROWS):
                chunk = part.slice(start, min(start + _CHUNK_ROWS, stop))
                put(chunk_key(key, following), encode(chunk), db=database)
                closed, following = closed + chunk.length, following + 1
                if self._summaries is not None:
                    added.append(self._summaries.of(chunk))
            part = part.slice(stop, part.length)
            first, closed = self._forget(key, first, following, closed, part)
            if self._summaries is not None:
                self._summaries.change(key, added, first - base)
        put(key, encode(part, version, epoch, closed, first, following), db=database)

    def _forget(self, key: bytes, first: int, following: int, closed: int, part: Part) -> tuple[int, int]:
        """Delete the closed chunks that the retention does not need → the first that stays, and rows in those."""
        retention = self._series.retention
        since = self._horizon.since(int(part.matrix[ORDER, -1]), self._is_time)
        if retention.everything or retention.best or (self._order is not None and since is None):
            return first, closed
        late = 0 if since is None else int(np.count_nonzero(part.matrix[ORDER] > since))
        while first < following:
            name = chunk_key(key, first)
            count, last = count_and_last(self._transaction.get(name, db=self._database))
            if closed - count + part.length - late < retention.rows:
                break
            if since is not None and (last > since or (retention.time is not None and last >= since - retention.time)):
                break
            self._transaction.delete(name, db=self._database)
            first, closed = first + 1, closed - count
        return first, closed

    def _chunks(self, key: bytes, header: Header) -> list[bytes]:
        return [chunk_key(key, number) for number in range(header.first, header.next)]


def _newest(part: Part) -> int:
    return int(part.matrix[ARRIVAL].max()) if part.length else 0


def read_series(transaction: Any, database: Any, series: Series) -> Iterator[Part]:
    """All rows of a series, key by key in no particular order."""
    prefix, length = series_prefix(series.number), key_length(len(series.keys))
    with transaction.cursor(db=database) as cursor:
        found = cursor.set_range(prefix)
        while found:
            key = bytes(cursor.key())
            if not key.startswith(prefix):
                return
            assert len(key) >= length
            yield decode(cursor.value())[1]
            found = cursor.next()


def count_rows(transaction: Any, database: Any, series: Series) -> int:
    """How many rows a series holds."""
    prefix, total = series_prefix(series.number), 0
    with transaction.cursor(db=database) as cursor:
        found = cursor.set_range(prefix)
        while found and bytes(cursor.key()).startswith(prefix):
            total += read_header(cursor.value()).length
            found = cursor.next()
    return total


def forget_series(transaction: Any, environment: Environment, series: Series) -> None:
    """Delete the rows of a series, and what else is kept of it."""
    for database in (environment.rows, environment.summaries):
        delete_prefix(transaction, database, series_prefix(series.number))


def delete_prefix(transaction: Any, database: Any, prefix: bytes) -> None:
    """Delete all records whose keys begin so."""
    with transaction.cursor(db=database) as cursor:
        found = cursor.set_range(prefix)
        while found and bytes(cursor.key()).startswith(prefix):
            found = cursor.delete()


def all_rows(parts: Sequence[Part], lines: int) -> Part:
    """Rows of several parts in order of arrival, each once."""
    if not parts:
        return Part(np.empty((lines + VALUES, 0), np.int64), np.empty((lines + 1, 0), np.uint8))
    both = join(list(parts))
    _, places = np.unique(both.matrix[ARRIVAL], return_index=True)
    return both.take(places)
