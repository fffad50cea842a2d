"""The Redis store as the request driver reads it: one round trip for all windows of a request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.history import Lookup, SeriesKey, block_rows
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.redis.client import redis_errors
from airflow_provider_mlfeat.online.redis.documents import REVISION
from airflow_provider_mlfeat.online.redis.packing import Packing
from airflow_provider_mlfeat.online.tables import StoredTable, get_table
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import STRING

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.redis.store import RedisStore
    from airflow_provider_mlfeat.online.series import TableName

_MOST_STRINGS = 2_000_000


def record_key(prefix: bytes, values: Sequence[Any]) -> bytes:
    """The key of a series' rows with these key values.

    :param prefix: of the series.
    :param values: Python values; dates as they are.
    """
    return prefix + hashlib.sha256(b"".join(map(_key_text, values))).digest()[:16]


def _key_text(value: Any) -> bytes:
    if value is None:
        return b"n"
    text = str(int(value) if isinstance(value, bool) else value).encode()
    return b"%d:%s" % (len(text), text)


class _ReadSeries:
    """A series that a program reads.

    :param prefix: of its keys.
    :param packing: of its rows.
    """

    def __init__(self, prefix: bytes, packing: Packing) -> None:
        self.prefix, self.packing = prefix, packing
        self.ordered: set[int] = set()


class RedisHistory:
    """Reads the store; what others write is seen at the next look-up.

    :param store: the store.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.strings = StringPool()
        self._known: dict[bytes, int] = {b"": 0}
        self._series: dict[SeriesKey, _ReadSeries] = {}
        self._tables: dict[TableName, StoredTable] = {}
        self._rows: dict[TableName, tuple[int, Rows]] = {}

    @property
    def is_worn(self) -> bool:
        """Whether so many strings were seen that a reader should begin anew."""
        return len(self.strings) > _MOST_STRINGS

    def prepare(self, series: SeriesKey, schema: Schema, ordered: Iterable[int]) -> None:
        """See ``HistoryStore``."""
        known = self._series.get(series)
        if known is None:
            table = self._table(series.table)
            names = [column.name for column in schema]
            order = None if series.order is None else names[series.order]
            stored = table.find_series([names[column] for column in series.keys], order)
            if stored is None:
                keys = ", ".join(names[column] for column in series.keys)
                raise UserError(f"the online store does not keep '{table.qualified_name}' by {keys}: deploy the query")
            packing = Packing(schema, series.order)
            known = self._series[series] = _ReadSeries(self._store.series_prefix(stored), packing)
        known.ordered.update(column for column in ordered if schema[column].type == STRING)

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        """See ``HistoryStore``."""
        series = [self._series[one.series] for one in lookups]
        with redis_errors(self._store.address):
            pipeline = self._store.client.pipeline(transaction=False)
            for one, lookup in zip(series, lookups, strict=True):
                pipeline.zrange(record_key(one.prefix, lookup.key), 0, -1)
            pipeline.hget(self._store.documents.key, REVISION)
            *found, revision = pipeline.execute()
        self._store.documents.hear(revision)
        return [self._block(one, members) for one, members in zip(series, found, strict=True)]

    def _block(self, series: _ReadSeries, members: list[bytes]) -> Block | None:
        if not members:
            return None
        block = series.packing.block(members, self.strings, self._known)
        for column in series.ordered:
            self.strings.order_all(block.bits[column])
        return block

    def rows(self, table: TableName, schema: Schema) -> Rows:
        """See ``HistoryStore``."""
        version = self.version(table)
        known = self._rows.get(table)
        if known is not None and known[0] == version:
            return known[1]
        stored = self._table(table)
        log = next((series for series in stored.series if series.is_log), None)
        if log is None:
            raise UserError(f"the online store does not keep all rows of '{stored.qualified_name}'")
        with redis_errors(self._store.address):
            members = self._store.client.zrange(record_key(self._store.series_prefix(log), ()), 0, -1)
        block = Packing(schema, None).block(members, self.strings, self._known) if members else None
        rows = block_rows(block, schema, self.strings)
        self._rows[table] = version, rows
        return rows

    def version(self, table: TableName) -> int:
        """See ``HistoryStore``."""
        stored = self._table(table)
        with redis_errors(self._store.address):
            pipeline = self._store.client.pipeline(transaction=False)
            pipeline.get(self._store.written_key(stored))
            pipeline.hget(self._store.documents.key, REVISION)
            written, revision = pipeline.execute()
        self._store.documents.hear(revision)
        # A table that takes the place of another one has another number.
        return (stored.number << 48) + int(written or 0)

    def _table(self, name: TableName) -> StoredTable:
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = get_table(self._store.documents.read(), name)
        return table
