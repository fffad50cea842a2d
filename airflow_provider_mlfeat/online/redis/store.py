"""The Redis store: a sorted set per series and key, and documents in a hash.

What a row is stored as follows from its arrival number, so writing it again changes nothing: a writer that was cut off
begins again, with the numbers that it had taken. Keys of one table's bookkeeping share a hash tag, so that a cluster
has them in one place.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.history import block_rows
from airflow_provider_mlfeat.engine.rows import Rows, stack
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.errors import MlfeatError, TransientError, UserError
from airflow_provider_mlfeat.online.documents import Draft
from airflow_provider_mlfeat.online.events import REMEMBERED_EVENTS, check_events, event_key
from airflow_provider_mlfeat.online.opening import StoreAddress
from airflow_provider_mlfeat.online.redis.buckets import is_record_key, settle
from airflow_provider_mlfeat.online.redis.client import open_client, redis_errors
from airflow_provider_mlfeat.online.redis.documents import RedisDocuments
from airflow_provider_mlfeat.online.redis.packing import Packing
from airflow_provider_mlfeat.online.redis.reader import RedisHistory
from airflow_provider_mlfeat.online.redis.writer import remove_rows, write_series
from airflow_provider_mlfeat.online.retaining import ANY_REQUEST, LIVE_REQUESTS, Horizon
from airflow_provider_mlfeat.online.series import Need, Series, TableName
from airflow_provider_mlfeat.online.store import (
    Load,
    LoadState,
    OnlineStore,
    Size,
    check_order_keys,
    is_served,
    series_text,
)
from airflow_provider_mlfeat.online.tables import (
    StoredTable,
    find_table,
    get_table,
    new_replacement,
    new_table,
    put_in_place,
    tables_in,
    with_needs,
)
from airflow_provider_mlfeat.sql.catalog import TableDefinition

# Rows of a series that nothing asks for any more stay so long, for readers that have not heard of it yet.
_GRACE_SECONDS = 60
_BATCH = 5_000

# Numbers for a part of a load: those that it was given before, or new ones → first number, how many.
_RESERVE = """
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then return known end
local last = redis.call('INCRBY', KEYS[1], ARGV[2])
local reserved = string.format('%d %d', last - ARGV[2], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], reserved)
return reserved
"""
# Numbers for events: -1 for one that is stored already, else the number that it has or gets. Pending ones are those
# that were given a number, and may not be stored.
_EVENTS = """
local numbers = {}
for place, event in ipairs(ARGV) do
  local known = redis.call('ZSCORE', KEYS[2], event)
  if not known then
    known = redis.call('INCR', KEYS[1]) - 1
    redis.call('ZADD', KEYS[2], known, event)
    redis.call('SADD', KEYS[3], event)
    numbers[place] = string.format('%.0f', known)
  elseif redis.call('SISMEMBER', KEYS[3], event) == 1 then
    numbers[place] = known
  else
    numbers[place] = '-1'
  end
end
return numbers
"""


class RedisStore(OnlineStore):
    """A store in a Redis or a Redis Cluster.

    :param address: where it is.
    """

    documents: RedisDocuments

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        self.client = open_client(address)
        self._prefix = f"{address.key_prefix or 'mlfeat'}:".encode()
        self.documents = RedisDocuments(self.client, address, self._prefix + b"documents")

    # ── names of keys ───────────────────────────────────────────────────────────────────────────────────────────────

    def series_prefix(self, series: Series) -> bytes:
        """What the keys of a series begin with."""
        return self._prefix + b"s%d:" % series.number

    def written_key(self, table: StoredTable) -> bytes:
        """The counter of rows that were written."""
        return self._key(table, b"written")

    def _key(self, table: StoredTable, name: bytes) -> bytes:
        return self._prefix + b"{t%d}" % table.number + name

    # ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_table(self, definition: TableDefinition) -> StoredTable:
        """See ``OnlineStore``."""
        return self.documents.change(lambda draft: new_table(draft, definition))

    def keep(self, table: TableName, needs: Sequence[Need]) -> bool:
        """See ``OnlineStore``."""
        old = get_table(self.documents.read(), table)
        trial = with_needs(Draft({}), old, needs)
        if trial.series == old.series:
            return is_served(old, needs)
        kept = {series.number for series in old.series}
        complete = old.complete or self._arrivals(old) == old.emptied

        def begin(draft: Draft) -> tuple[StoredTable, StoredTable]:
            # While the new series are filled the old ones are written and read as well.
            found = get_table(draft, table)
            wanted = with_needs(draft, found, needs)
            there = {series.number for series in found.series}
            new = [replace(series, filling=True) for series in wanted.series if series.number not in there]
            filling = replace(found, series=(*found.series, *new))
            filling.save(draft)
            return filling, wanted

        _, wanted = self.documents.change(begin)
        fresh = [series for series in wanted.series if series.number not in kept]
        try:
            for rows, arrivals in self._rows_of(old) if fresh else ():
                check_order_keys(wanted, list(rows.columns))
                for series in fresh:
                    self._write(wanted, series, rows, arrivals, ANY_REQUEST)
        except UserError:
            self._take_back(old, fresh)
            raise
        has_log = any(series.is_log for series in wanted.series)

        def finish(draft: Draft) -> None:
            found = get_table(draft, table)
            replace(found, series=wanted.series, complete=complete and has_log).save(draft)

        self.documents.change(finish)
        numbers = {series.number for series in wanted.series}
        self._delete([series for series in old.series if series.number not in numbers], grace=True)
        return complete or is_served(old, needs)

    def truncate(self, table: TableName) -> None:
        """See ``OnlineStore``."""

        def edit(draft: Draft) -> tuple[StoredTable, StoredTable]:
            found = get_table(draft, table)
            made, _ = new_replacement(draft, found, "nothing")
            return made, put_in_place(draft, made, {}, 0)

        _, old = self.documents.change(edit)
        self._forget_rows(old)

    def drop_table(self, table: TableName) -> None:
        """See ``OnlineStore``."""

        def edit(draft: Draft) -> StoredTable:
            found = get_table(draft, table)
            draft.delete(found.document)
            return found

        self._forget_rows(self.documents.change(edit))

    def begin_replacement(self, table: TableName, purpose: str) -> StoredTable:
        """See ``OnlineStore``."""

        def edit(draft: Draft) -> tuple[StoredTable, StoredTable | None]:
            return new_replacement(draft, get_table(draft, table), purpose)

        made, given_up = self.documents.change(edit)
        if given_up is not None:
            self._forget_rows(given_up)
        return made

    def finish_replacement(self, made: StoredTable, source: Mapping[str, Any]) -> None:
        """See ``OnlineStore``."""
        arrivals = self._arrivals(made)
        old = self.documents.change(lambda draft: put_in_place(draft, made, source, arrivals))
        self._forget_rows(old)

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _put(self, table: StoredTable, rows: Rows, load: Load | None, events: Sequence[str] | None) -> int:
        table = self._current(table)
        check_order_keys(table, list(rows.columns))
        if load is not None:
            return self._put_load(table, rows, load)
        if events is not None:
            return self._put_events(table, rows, events)
        with redis_errors(self.address):
            first = self.client.incrby(self._key(table, b"arrivals"), rows.length) - rows.length
        arrivals = np.arange(first, first + rows.length)
        try:
            self._write_all(table, rows, arrivals, LIVE_REQUESTS)
        except Exception:
            # Nobody can name these rows again: whoever puts them once more would have them twice.
            with contextlib.suppress(MlfeatError):
                self._take_away(table, rows, arrivals)
            raise
        return rows.length

    def _put_load(self, table: StoredTable, rows: Rows, load: Load) -> int:
        state = self.load_state(table, load.name)
        if state.finished:
            return 0
        if load.start > state.rows:
            message = f"load '{load.name}' of '{table.qualified_name}' has {state.rows} rows in the store"
            raise UserError(f"{message}, so it cannot go on at row {load.start}")
        done = min(state.rows - load.start, rows.length)
        start, rest, added = load.start + done, rows.slice(done, rows.length), 0
        while rest.length:
            first, count = self._reserve(table, load.name, start, rest.length)
            part = rest.slice(0, min(count, rest.length))
            self._write_all(table, part, np.arange(first, first + part.length), Horizon(earliest=load.earliest))
            start, added = start + part.length, added + part.length
            rest = rest.slice(part.length, rest.length)
        self._note_load(table, load, max(start, state.rows))
        return added

    def _reserve(self, table: StoredTable, name: str, start: int, count: int) -> tuple[int, int]:
        keys = [self._key(table, b"arrivals"), self._key(table, b"parts")]
        with redis_errors(self.address):
            reserved = self.client.eval(_RESERVE, 2, *keys, f"{name}/{start}", count)
        first, reserved_count = reserved.split()
        return int(first), int(reserved_count)

    def _note_load(self, table: StoredTable, load: Load, rows: int) -> None:
        """Write how far a load has come; what the table remembers of its source comes first, and is not ahead of it."""
        if load.note is not None:
            note = dict(load.note)

            def edit(draft: Draft) -> None:
                found = find_table(draft, table.name, bool(table.loading))
                if found is not None and found.number == table.number:
                    replace(found, source=note).save(draft)

            self.documents.change(edit)
        with redis_errors(self.address):
            self.client.hset(self._key(table, b"loads"), load.name, json.dumps([rows, load.last]))

    def _put_events(self, table: StoredTable, rows: Rows, events: Sequence[str]) -> int:
        check_events(events, rows.length)
        keys = [self._key(table, name) for name in (b"arrivals", b"events", b"pending")]
        names = [event_key(table.number, event) for event in events]
        with redis_errors(self.address):
            found = self.client.eval(_EVENTS, 3, *keys, *names)
        numbers = np.array([int(number) for number in found], np.int64)
        # The same event twice in one call has one number: its first row counts.
        _, firsts = np.unique(numbers, return_index=True)
        places = np.sort(firsts[numbers[firsts] >= 0])
        if len(places):
            self._write_all(table, rows.take(places), numbers[places], LIVE_REQUESTS)
            with redis_errors(self.address):
                pipeline = self.client.pipeline(transaction=False)
                pipeline.srem(keys[2], *[names[place] for place in places.tolist()])
                pipeline.zremrangebyrank(keys[1], 0, -REMEMBERED_EVENTS - 1)
                pipeline.execute()
        return len(places)

    def _write_all(self, table: StoredTable, rows: Rows, arrivals: Bits, horizon: Horizon) -> None:
        """Write rows to every series of a table, also to those that it gets meanwhile."""
        written: set[int] = set()
        while True:
            for series in table.series:
                if series.number not in written:
                    self._write(table, series, rows, arrivals, horizon)
                    written.add(series.number)
            with redis_errors(self.address):
                self.client.incrby(self.written_key(table), rows.length)
            table = self._current(table)
            if all(series.number in written for series in table.series):
                return

    def _take_away(self, table: StoredTable, rows: Rows, arrivals: Bits) -> None:
        """Take rows away again that were written to some series, as far as Redis can be reached."""
        for series in dict.fromkeys((*table.series, *self._current(table).series)):
            prefix = self.series_prefix(series)
            for start in range(0, rows.length, _BATCH):
                stop = min(start + _BATCH, rows.length)
                part = rows.slice(start, stop)
                with redis_errors(self.address):
                    remove_rows(self.client, prefix, series, table.schema, part, arrivals[start:stop])
        with redis_errors(self.address):
            # Whoever has read them reads anew.
            self.client.incr(self.written_key(table))

    def _write(self, table: StoredTable, series: Series, rows: Rows, arrivals: Bits, horizon: Horizon) -> None:
        keys: set[bytes] = set()
        for start in range(0, rows.length, _BATCH):
            stop = min(start + _BATCH, rows.length)
            with redis_errors(self.address):
                keys.update(
                    write_series(
                        self.client,
                        self.series_prefix(series),
                        series,
                        table.schema,
                        rows.slice(start, stop),
                        arrivals[start:stop],
                        horizon,
                    )
                )
        if series.buckets is not None:
            names = [column.name for column in table.schema]
            packing = Packing(table.schema, None if series.order is None else names.index(series.order))
            with redis_errors(self.address):
                settle(self.client, keys, series.buckets, table.schema, packing)

    def load_state(self, table: StoredTable, load: str) -> LoadState:
        """See ``OnlineStore``."""
        with redis_errors(self.address):
            found = self.client.hget(self._key(table, b"loads"), load)
        return LoadState() if found is None else LoadState(*json.loads(found))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def history(self) -> RedisHistory:
        """See ``OnlineStore``."""
        return RedisHistory(self)

    def size(self) -> Size:
        """See ``OnlineStore``; the bytes are those of the whole Redis."""
        tables: dict[str, dict[str, int]] = {}
        for table in tables_in(self.documents.read()).values():
            tables[table.qualified_name] = {
                series_text(series): sum(map(self._cardinality, self._record_keys(series))) for series in table.series
            }
        with redis_errors(self.address):
            everywhere = {"target_nodes": "primaries"} if self.address.cluster else {}
            memory = self.client.info("memory", **everywhere)
        # One node answers for itself, several by their names.
        nodes = [memory] if "used_memory" in memory else list(memory.values())
        return Size(sum(int(node["used_memory"]) for node in nodes), tables)

    def close(self) -> None:
        """See ``OnlineStore``."""
        self.client.close()

    # ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _current(self, table: StoredTable) -> StoredTable:
        """The table as it is now; rows for one that was replaced or dropped are refused."""
        with redis_errors(self.address):
            text = self.client.hget(self.documents.key, table.document)
        found = (
            None
            if text is None
            else find_table(Draft({table.document: json.loads(text)}), table.name, bool(table.loading))
        )
        if found is None:
            raise UserError(f"the online store has no table '{table.qualified_name}'")
        if table.loading and found.number != table.number:
            raise TransientError(f"another load of '{table.qualified_name}' has begun")
        return found

    def _arrivals(self, table: StoredTable) -> int:
        with redis_errors(self.address):
            return int(self.client.get(self._key(table, b"arrivals")) or 0)

    def _cardinality(self, key: bytes) -> int:
        with redis_errors(self.address):
            return int(self.client.zcard(key))

    def _record_keys(self, series: Series) -> Iterator[bytes]:
        return filter(is_record_key, self._keys(series))

    def _keys(self, series: Series) -> Iterator[bytes]:
        """The keys of a series' rows, and of what belongs to them."""
        pattern = self.series_prefix(series).replace(b"[", b"\\[").replace(b"*", b"\\*").replace(b"?", b"\\?") + b"*"
        with redis_errors(self.address):
            yield from self.client.scan_iter(match=pattern, count=1_000)

    def _rows_of(self, table: StoredTable) -> Iterator[tuple[Rows, Bits]]:
        """All rows that any series of a table has, with their arrival numbers; some may come twice."""
        read = [series for series in table.series if not series.filling]
        log = [series for series in read if series.is_log]
        places = {column.name: place for place, column in enumerate(table.schema)}
        for series in log or read:
            packing = Packing(table.schema, None if series.order is None else places[series.order])
            keys = self._record_keys(series)
            while found := list(islice(keys, 256)):
                pool, known = StringPool(), {b"": 0}
                with redis_errors(self.address):
                    pipeline = self.client.pipeline(transaction=False)
                    for key in found:
                        pipeline.zrange(key, 0, -1)
                    members = [member for one in pipeline.execute() for member in one]
                if members:
                    block = packing.block(members, pool, known)
                    yield stack([block_rows(block, table.schema, pool)]), block.rows

    def _take_back(self, old: StoredTable, fresh: Sequence[Series]) -> None:
        """Undo the beginning of a change."""

        def edit(draft: Draft) -> None:
            replace(get_table(draft, old.name), series=old.series).save(draft)

        self.documents.change(edit)
        self._delete(fresh, grace=False)

    def _forget_rows(self, table: StoredTable) -> None:
        self._delete(table.series, grace=True)
        names = (b"arrivals", b"written", b"loads", b"parts", b"events", b"pending")
        with redis_errors(self.address):
            self.client.delete(*[self._key(table, name) for name in names])

    def _delete(self, series: Sequence[Series], grace: bool) -> None:
        for one in series:
            keys = self._keys(one)
            while found := list(islice(keys, 1_000)):
                with redis_errors(self.address):
                    pipeline = self.client.pipeline(transaction=False)
                    for key in found:
                        if grace:
                            pipeline.expire(key, _GRACE_SECONDS)
                        else:
                            pipeline.delete(key)
                    pipeline.execute()
