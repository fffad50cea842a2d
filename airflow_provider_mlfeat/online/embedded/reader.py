"""The embedded store as the request driver reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.history import Lookup, SeriesKey
from airflow_provider_mlfeat.engine.request_long import Summarized
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.stored_values import value_writer
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.embedded.environment import storage_errors
from airflow_provider_mlfeat.online.embedded.records import (
    Header,
    Part,
    chunk_key,
    decode,
    decode_block,
    decode_span,
    join,
    key_of_bits,
    key_of_code,
    read_header,
    read_version,
    series_prefix,
)
from airflow_provider_mlfeat.online.embedded.strings import StoredStrings
from airflow_provider_mlfeat.online.embedded.summaries import Index, read_index
from airflow_provider_mlfeat.online.embedded.writer import all_rows, read_series
from airflow_provider_mlfeat.online.tables import get_table
from airflow_provider_mlfeat.sql.plan import FrameCall, Schema, expression_to_text
from airflow_provider_mlfeat.sql.types import STRING

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.embedded.environment import Environment
    from airflow_provider_mlfeat.online.embedded.store import EmbeddedDocuments
    from airflow_provider_mlfeat.online.series import TableName
    from airflow_provider_mlfeat.online.tables import StoredTable

# Rows of keys that were asked for stay in memory, so many of them; a key that was written is read again.
_REMEMBERED_ROWS = 1_000_000
# So many strings keep their place in the order of strings.
_MOST_LABELLED = 2_000_000
_MOST_INDEXES = 10_000
_MOST_OBJECTS = 10_000


class _ReadSeries:
    """A series that a program reads.

    :param number: of the stored series.
    :param schema: the table's columns.
    :param key: the series as the program names it.
    :param pool: the store's strings.
    """

    def __init__(self, number: int, schema: Schema, key: SeriesKey, pool: StoredStrings) -> None:
        self.prefix = series_prefix(number)
        self.ordered = np.empty(0, np.int64)
        self.is_text = [schema[column].type == STRING for column in key.keys]
        self.is_one_text = self.is_text == [True]
        # Where the partial aggregates lie, by their texts.
        self.parts: dict[str, int] = {}
        self.writers: list[Callable[[Any], int]] = [value_writer(schema[column].type, pool) for column in key.keys]


class _Known(NamedTuple):
    """The rows of a key as they were read.

    :param version: of the record.
    :param block: the rows.
    :param state: what tells whether the closed chunks are the same.
    :param closed: the rows in closed chunks; None where there are none.
    """

    version: int
    block: Block
    state: tuple[int, int, int] | None
    closed: Part | None


def _closed_state(header: Header) -> tuple[int, int, int]:
    return header.epoch, header.first, header.next


class EmbeddedHistory:
    """Reads the store's files; what others commit is seen at the next look-up.

    :param environment: the open files.
    :param documents: the store's documents.
    """

    def __init__(self, environment: Environment, documents: EmbeddedDocuments) -> None:
        self._environment, self._documents = environment, documents
        self._pool = StoredStrings(environment)
        self.strings: Any = self._pool
        self._series: dict[SeriesKey, _ReadSeries] = {}
        self._by_object: dict[int, tuple[SeriesKey, _ReadSeries]] = {}
        self._known: dict[bytes, _Known] = {}
        self._known_rows = 0
        self._indexes: dict[bytes, tuple[tuple[int, int, int], Index]] = {}
        self._rows: dict[TableName, tuple[int, Rows]] = {}
        self._seen: int | None = None

    @property
    def is_worn(self) -> bool:
        """See ``StoredHistory``."""
        return self._pool.labelled > _MOST_LABELLED

    def revision(self) -> int:
        """See ``StoredHistory``."""
        seen, self._seen = self._seen, None
        return self._documents.revision() if seen is None else seen

    def prepare(
        self, series: SeriesKey, schema: Schema, ordered: Iterable[int], columns: Iterable[int] | None = None
    ) -> None:
        """See ``HistoryStore``."""
        known = self._series.get(series)
        if known is None:
            table = get_table(self._documents.read(), series.table)
            names = [column.name for column in schema]
            order = None if series.order is None else names[series.order]
            stored = table.find_series([names[column] for column in series.keys], order)
            if stored is None:
                keys = ", ".join(names[column] for column in series.keys)
                raise UserError(f"the online store does not keep '{table.qualified_name}' by {keys}: deploy the query")
            known = self._series[series] = _ReadSeries(stored.number, schema, series, self._pool)
            if stored.buckets is not None:
                known.parts = {text: place for place, text in enumerate(stored.buckets.parts)}
        texts = {column for column in ordered if schema[column].type == STRING}
        if not texts.issubset(known.ordered.tolist()):
            known.ordered = np.array(sorted(texts.union(known.ordered.tolist())), np.int64)
            # Blocks that were read before have no labels for these columns.
            self._known, self._known_rows = {}, 0

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        """See ``HistoryStore``; all blocks are of one moment."""
        try:
            with self._environment.lmdb.begin(buffers=True) as transaction:
                self._pool.refresh(transaction)
                self._seen = self._documents.revision_in(transaction)
                return [self._fetch_one(transaction, self._find(one.series), one.key) for one in lookups]
        except Exception as error:
            # Only here, because a context around every request would cost more than a look-up.
            with storage_errors(self._environment.folder):
                raise error
            raise

    def prepare_partials(self, series: SeriesKey, schema: Schema, parts: Sequence[FrameCall]) -> Sequence[int] | None:
        """See ``SummarizedStore``."""
        self.prepare(series, schema, ())
        places = [self._series[series].parts.get(expression_to_text(part), -1) for part in parts]
        return None if -1 in places else places

    def fetch_partials(self, lookup: Lookup, first: int, last: int, places: Sequence[int]) -> Summarized:
        """See ``SummarizedStore``; the rows are those of chunks that lie partly in the span, and of the open record."""
        series = self._series[lookup.series]
        rows = self._environment.rows
        with self._environment.read() as transaction:
            self._pool.refresh(transaction)
            self._seen = self._documents.revision_in(transaction)
            key = self._key(transaction, series, lookup.key)
            value = None if key is None else transaction.get(key, db=rows)
            if key is None or value is None:
                return Summarized(None, None)
            header, found, partials = read_header(value), [], None
            if header.first < header.next:
                index = self._index(transaction, key, header, series)
                start = int(np.searchsorted(index.lasts, first))
                stop = int(np.searchsorted(index.firsts, last, side="right"))
                while start < stop and index.firsts[start] < first:
                    found.append(
                        decode_span(transaction.get(chunk_key(key, header.first + start), db=rows), first, last)
                    )
                    start += 1
                ends = []
                while start < stop and index.lasts[stop - 1] > last:
                    stop -= 1
                    ends.append(decode_span(transaction.get(chunk_key(key, header.first + stop), db=rows), first, last))
                found += reversed(ends)
                if start < stop:
                    partials = index.partials(places, start, stop)
            found.append(decode_span(value, first, last))
        block = join(found).block()
        return Summarized(block if block.count else None, partials)

    def _index(self, transaction: Any, key: bytes, header: Header, series: _ReadSeries) -> Index:
        """The partial aggregates of the closed chunks, which most writes leave alone."""
        known = self._indexes.get(key)
        state = _closed_state(header)
        if known is None or known[0] != state:
            if len(self._indexes) >= _MOST_INDEXES:
                self._indexes = {}
            value = transaction.get(key, db=self._environment.summaries)
            known = self._indexes[key] = state, read_index(value, len(series.parts))
        return known[1]

    def _find(self, series: SeriesKey) -> _ReadSeries:
        # A program looks up by the same few objects: finding them by what they are would cost more than the look-up.
        found = self._by_object.get(id(series))
        if found is None:
            # What is computed the general way names its series anew for each request.
            if len(self._by_object) >= _MOST_OBJECTS:
                self._by_object = {}
            found = self._by_object[id(series)] = series, self._series[series]
        return found[1]

    def _fetch_one(self, transaction: Any, series: _ReadSeries, values: tuple[Any, ...]) -> Block | None:
        if series.is_one_text and values[0] is not None:
            code = self._pool.find_in(transaction, values[0])
            if code < 0:
                return None
            key = key_of_code(series.prefix, code)
        else:
            found = self._key(transaction, series, values)
            if found is None:
                return None
            key = found
        value = transaction.get(key, db=self._environment.rows)
        if value is None:
            return None
        known = self._known.get(key)
        if known is not None and known.version == read_version(value):
            return known.block
        header, block = decode_block(value)
        closed = None
        if header.first < header.next:
            closed = self._closed_chunks(transaction, key, header, known)
            block = join([closed, decode(value)[1]]).block()
        if series.ordered.size:
            self._pool.order_columns(block.bits, series.ordered)
        self._remember(key, _Known(header.version, block, None if closed is None else _closed_state(header), closed))
        return block

    def _key(self, transaction: Any, series: _ReadSeries, values: tuple[Any, ...]) -> bytes | None:
        """The key of a record; None where a string was never stored."""
        bits: list[int | None] = []
        for value, is_text, write in zip(values, series.is_text, series.writers, strict=True):
            if value is None:
                bits.append(None)
            elif is_text:
                code = self._pool.find_in(transaction, value)
                if code < 0:
                    return None
                bits.append(code)
            else:
                bits.append(write(value))
        return key_of_bits(series.prefix, bits)

    def _closed_chunks(self, transaction: Any, key: bytes, header: Header, known: _Known | None) -> Part:
        """The rows of the closed chunks before a record, which most writes leave alone."""
        if known is not None and known.closed is not None and known.state == _closed_state(header):
            return known.closed
        database = self._environment.rows
        names = [chunk_key(key, number) for number in range(header.first, header.next)]
        return join([decode(transaction.get(name, db=database))[1] for name in names])

    def _remember(self, key: bytes, known: _Known) -> None:
        self._known_rows += known.block.count
        if self._known_rows > _REMEMBERED_ROWS:
            self._known, self._known_rows = {}, known.block.count
        self._known[key] = known

    def rows(self, table: TableName, schema: Schema) -> Rows:
        """See ``HistoryStore``."""
        with self._environment.read() as transaction:
            stored = self._documents.table_in(transaction, table)
            version = self._version(transaction, stored)
            known = self._rows.get(table)
            if known is not None and known[0] == version:
                return known[1]
            log = next((series for series in stored.series if series.is_log), None)
            if log is None:
                raise UserError(f"the online store does not keep all rows of '{stored.qualified_name}'")
            self._pool.refresh(transaction)
            found = all_rows(list(read_series(transaction, self._environment.rows, log)), len(schema))
        block = found.block()
        rows = Rows(
            found.length,
            [block.column(place, column.type, self._pool, 0, found.length) for place, column in enumerate(schema)],
        )
        self._rows[table] = version, rows
        return rows

    def version(self, table: TableName) -> int:
        """See ``HistoryStore``."""
        with self._environment.read() as transaction:
            return self._version(transaction, self._documents.table_in(transaction, table))

    def _version(self, transaction: Any, table: StoredTable) -> int:
        # A table that takes the place of another one has another number.
        return (table.number << 48) + self._documents.arrivals(transaction, table)
