"""The embedded store as the request driver reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.history import Lookup, SeriesKey
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.stored_values import value_writer
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.embedded.records import (
    Header,
    Part,
    chunk_key,
    decode,
    decode_block,
    join,
    key_of_bits,
    key_of_code,
    series_prefix,
)
from airflow_provider_mlfeat.online.embedded.strings import StoredStrings
from airflow_provider_mlfeat.online.embedded.writer import all_rows, read_series
from airflow_provider_mlfeat.online.tables import get_table
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import STRING

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.embedded.environment import Environment
    from airflow_provider_mlfeat.online.embedded.store import EmbeddedDocuments
    from airflow_provider_mlfeat.online.series import TableName
    from airflow_provider_mlfeat.online.tables import StoredTable

# Rows of long histories that stay in memory.
_REMEMBERED_ROWS = 1_000_000
# So many strings keep their place in the order of strings.
_MOST_LABELLED = 2_000_000


class _ReadSeries:
    """A series that a program reads.

    :param number: of the stored series.
    :param schema: the table's columns.
    :param key: the series as the program names it.
    :param pool: the store's strings.
    """

    def __init__(self, number: int, schema: Schema, key: SeriesKey, pool: StoredStrings) -> None:
        self.prefix = series_prefix(number)
        self.ordered: list[int] = []
        self.is_text = [schema[column].type == STRING for column in key.keys]
        self.is_one_text = self.is_text == [True]
        self.writers: list[Callable[[Any], int]] = [value_writer(schema[column].type, pool) for column in key.keys]


class _LongHistory(NamedTuple):
    """A history of several chunks as it was read.

    :param version: of its record.
    :param state: what tells whether its closed chunks are the same.
    :param closed: their rows.
    :param block: all rows.
    """

    version: int
    state: tuple[int, int, int]
    closed: Part
    block: Block


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
        self._long: dict[bytes, _LongHistory] = {}
        self._rows: dict[TableName, tuple[int, Rows]] = {}

    @property
    def is_worn(self) -> bool:
        """See ``StoredHistory``."""
        return self._pool.labelled > _MOST_LABELLED

    def prepare(self, series: SeriesKey, schema: Schema, ordered: Iterable[int]) -> None:
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
        texts = {column for column in ordered if schema[column].type == STRING}
        known.ordered = sorted(texts.union(known.ordered))

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        """See ``HistoryStore``; all blocks are of one moment."""
        environment = self._environment
        with environment.lmdb.begin(buffers=True) as transaction:
            self._pool.refresh(transaction)
            return [self._fetch_one(transaction, self._find(one.series), one.key) for one in lookups]

    def _find(self, series: SeriesKey) -> _ReadSeries:
        # A program looks up by the same few objects: finding them by what they are would cost more than the look-up.
        found = self._by_object.get(id(series))
        if found is None:
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
        header, block = decode_block(value)
        if header is not None:
            block = self._long_history(transaction, key, header, value)
        if series.ordered:
            self._pool.order_all(block.bits[series.ordered])
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

    def _long_history(self, transaction: Any, key: bytes, header: Header, value: Any) -> Block:
        """The rows of a record and of the closed chunks before it; they are remembered until the key is written."""
        known = self._long.get(key)
        state = header.epoch, header.first, header.next
        if known is not None and known.version == header.version:
            return known.block
        if known is not None and known.state == state:
            closed = known.closed
        else:
            database = self._environment.rows
            names = [chunk_key(key, number) for number in range(header.first, header.next)]
            closed = join([decode(transaction.get(name, db=database))[1] for name in names])
        block = join([closed, decode(value)[1]]).block()
        if sum(one.block.count for one in self._long.values()) + block.count > _REMEMBERED_ROWS:
            self._long.clear()
        self._long[key] = _LongHistory(header.version, state, closed, block)
        return block

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
