"""The Redis store as the request driver reads it: one round trip for all windows of a request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.history import Lookup, SeriesKey, block_rows
from airflow_provider_mlfeat.engine.partials import NotExactError
from airflow_provider_mlfeat.engine.pruning import references
from airflow_provider_mlfeat.engine.request_long import Summarized
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.redis.buckets import EXACT, partials_of, read_span
from airflow_provider_mlfeat.online.redis.client import redis_errors
from airflow_provider_mlfeat.online.redis.documents import REVISION
from airflow_provider_mlfeat.online.redis.packing import Packing
from airflow_provider_mlfeat.online.series import Buckets
from airflow_provider_mlfeat.online.tables import StoredTable, get_table
from airflow_provider_mlfeat.sql.plan import FrameCall, Schema, expression_to_text
from airflow_provider_mlfeat.sql.types import STRING

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.redis.store import RedisStore
    from airflow_provider_mlfeat.online.series import TableName

_MOST_STRINGS = 2_000_000


def record_key(prefix: bytes, values: Sequence[Any]) -> bytes:
    """The key of a series' rows with these key values; what belongs to it has the same part in braces.

    :param prefix: of the series.
    :param values: Python values; dates as they are.
    """
    digest = hashlib.sha256(b"".join(map(_key_text, values))).digest()[:16]
    return prefix + b"{" + digest.replace(b"}", b"~") + b"}"


def _key_text(value: Any) -> bytes:
    if value is None:
        return b"n"
    text = str(int(value) if isinstance(value, bool) else value).encode()
    return b"%d:%s" % (len(text), text)


def _ask(pipeline: Any, key: bytes, lookup: Lookup) -> int:
    """Ask for the rows that a look-up reaches, the newest first → by how many commands."""
    time, reaches = lookup.time, lookup.reach
    if lookup.series.order is None:
        limits = [reach.rows for reach in reaches if reach.time is None and reach.rows is not None]
        is_limited = limits and len(limits) == len(reaches)
        pipeline.zrevrange(key, 0, max(0, max(limits) - 1) if is_limited else -1)
        return 1
    if not reaches or time is None or not 0 <= time < EXACT:
        pipeline.zrevrange(key, 0, -1)
        return 1
    for rows, span in reaches:
        oldest = "-inf" if span is None else time - span
        if rows is None:
            pipeline.zrevrangebyscore(key, time, oldest)
        else:
            pipeline.zrevrangebyscore(key, time, oldest, start=0, num=rows)
    return len(reaches)


class _ReadSeries:
    """A series that a program reads.

    :param prefix: of its keys.
    :param packing: of its rows.
    """

    def __init__(self, prefix: bytes, packing: Packing) -> None:
        self.prefix, self.packing = prefix, packing
        self.ordered: list[int] = []
        self.texts: list[int] = []
        self.buckets: Buckets | None = None


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

    def revision(self) -> int:
        """See ``StoredHistory``; every look-up brings it along."""
        return self._store.documents.revision()

    def prepare(
        self, series: SeriesKey, schema: Schema, ordered: Iterable[int], columns: Iterable[int] | None = None
    ) -> None:
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
            known.buckets = stored.buckets
        texts = {place for place, column in enumerate(schema) if column.type == STRING}
        known.ordered = sorted(texts.intersection(ordered).union(known.ordered))
        known.texts = sorted(texts.intersection(texts if columns is None else columns).union(known.texts))

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        """See ``HistoryStore``."""
        series = [self._series[one.series] for one in lookups]
        with redis_errors(self._store.address):
            pipeline = self._store.client.pipeline(transaction=False)
            counts = [
                _ask(pipeline, record_key(one.prefix, lookup.key), lookup)
                for one, lookup in zip(series, lookups, strict=True)
            ]
            pipeline.hget(self._store.documents.key, REVISION)
            *found, revision = pipeline.execute()
        self._store.documents.hear(revision)
        answers = iter(found)
        # Answers to one look-up all begin with the newest row: the longest holds the others.
        members = [max(islice(answers, count), key=len) for count in counts]
        return [self._block(one, newest_first[::-1]) for one, newest_first in zip(series, members, strict=True)]

    def prepare_partials(self, series: SeriesKey, schema: Schema, parts: Sequence[FrameCall]) -> Sequence[int] | None:
        """See ``SummarizedStore``."""
        self.prepare(series, schema, (), sorted(references(*parts)))
        buckets = self._series[series].buckets
        texts = [expression_to_text(part) for part in parts]
        if buckets is None or not set(texts).issubset(buckets.parts):
            return None
        return [buckets.parts.index(text) for text in texts]

    def fetch_partials(self, lookup: Lookup, first: int, last: int, places: Sequence[int]) -> Summarized:
        """See ``SummarizedStore``; the rows are those of buckets that lie partly in the span, or were just written."""
        series = self._series[lookup.series]
        assert series.buckets is not None, "it was prepared"
        if last >= EXACT:
            raise NotExactError
        key = record_key(series.prefix, lookup.key)
        with redis_errors(self._store.address):
            settled, members = read_span(self._store.client, key, first, last, series.buckets.span)
        partials = partials_of(settled, places, len(series.buckets.parts)) if settled else None
        return Summarized(self._block(series, members), partials)

    def _block(self, series: _ReadSeries, members: list[bytes]) -> Block | None:
        if not members:
            return None
        block = series.packing.block(members, self.strings, self._known, series.texts)
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
