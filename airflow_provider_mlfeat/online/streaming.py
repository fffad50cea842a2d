"""Rows from a Redis Stream into a store: every event counts once, however often it is delivered.

An entry of the stream has the field ``row`` (JSON: a list in the order of the table's columns, or an object), and may
have ``table`` and ``event`` (the event's id; without it the entry's own). A group of consumers shares the entries. An
entry is acknowledged when its row is safe in the store; what a consumer that died had taken is taken over by another
one. An entry that is no row of the table goes to the stream ``NAME:rejected`` with the reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.online.redis.client import open_client, redis_errors
from airflow_provider_mlfeat.online.rows import RowReader

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.opening import StoreAddress
    from airflow_provider_mlfeat.online.store import OnlineStore
    from airflow_provider_mlfeat.online.tables import StoredTable

_BATCH = 1_000
_WAIT_SECONDS = 1.0
# An entry whose consumer has not acknowledged it for so long is taken over.
_ABANDONED_MILLISECONDS = 30_000
_REJECTED_KEPT = 100_000
_PAUSE_SECONDS = 1.0


@dataclass
class Ingested:
    """What was read so far.

    :param entries: entries that were read.
    :param rows: rows that were put.
    :param repeated: entries whose event was in the store already.
    :param rejected: entries that are no rows.
    """

    entries: int = 0
    rows: int = 0
    repeated: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class _Entry:
    """An entry of the stream.

    :param number: its id in the stream.
    :param fields: what it holds.
    """

    number: bytes
    fields: dict[bytes, bytes]

    @property
    def event(self) -> str:
        """The event's id."""
        return self.fields.get(b"event", self.number).decode(errors="replace")


class StreamIngest:
    """One consumer of a stream.

    :param store: where the rows go.
    :param address: the Redis that has the stream.
    :param stream: its key.
    :param table: the table of entries that name none; empty where all do.
    :param group: the group of consumers.
    :param consumer: this consumer's name, which it keeps when it comes back.
    """

    def __init__(
        self, store: OnlineStore, address: StoreAddress, stream: str, table: str = "", group: str = "mlfeat",
        consumer: str = "1",
    ) -> None:  # fmt: skip
        self._store, self._address = store, address
        self._stream, self._group, self._consumer = stream, group, consumer
        self._table = table
        self._tables: dict[str, tuple[StoredTable, RowReader]] = {}
        self._client = open_client(address)
        self.done = Ingested()

    def run(self, stop: Callable[[], bool], idle_seconds: float | None = None) -> Ingested:
        """Read until told to stop, or until nothing came for a while.

        :param stop: asked between batches.
        :param idle_seconds: end when nothing came for so long; None waits for ever.
        """
        self._make_group()
        # What this consumer had taken before it went away comes first.
        after = b"0"
        quiet_since = time.monotonic()
        while not stop():
            try:
                entries = self._take(after)
                if not entries and after == b"0":
                    after = b">"
                    continue
                if entries:
                    self._ingest(entries)
                    quiet_since = time.monotonic()
            except TransientError:
                if idle_seconds is not None and time.monotonic() - quiet_since > idle_seconds + 30:
                    raise
                # Entries that were read and not acknowledged are read again.
                after = b"0"
                time.sleep(_PAUSE_SECONDS)
                continue
            if idle_seconds is not None and time.monotonic() - quiet_since > idle_seconds:
                break
        return self.done

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    # ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _make_group(self) -> None:
        try:
            with redis_errors(self._address):
                self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except UserError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _take(self, after: bytes) -> list[_Entry]:
        with redis_errors(self._address):
            if after == b">":
                taken_over = self._client.xautoclaim(
                    self._stream, self._group, self._consumer, _ABANDONED_MILLISECONDS, "0-0", count=_BATCH
                )[1]
                if taken_over:
                    return [_Entry(number, fields or {}) for number, fields in taken_over]
            wait = {"block": int(1000 * min(_WAIT_SECONDS, self._address.timeout / 2))} if after == b">" else {}
            found = self._client.xreadgroup(
                self._group, self._consumer, {self._stream: after.decode()}, count=_BATCH, **wait
            )
        return [_Entry(number, fields or {}) for _, entries in found or () for number, fields in entries]

    def _ingest(self, entries: Sequence[_Entry]) -> None:
        """Put the rows of entries, and acknowledge them."""
        self.done.entries += len(entries)
        by_table: dict[str, list[tuple[_Entry, tuple[Any, ...]]]] = {}
        refused: list[tuple[_Entry, str]] = []
        for entry in entries:
            try:
                name = entry.fields.get(b"table", b"").decode() or self._table
                row = self._read(name, entry)
                by_table.setdefault(name, []).append((entry, row))
            except UserError as error:
                refused.append((entry, str(error)))
        for name, rows in by_table.items():
            refused += self._put(name, rows)
        with redis_errors(self._address):
            pipeline = self._client.pipeline(transaction=False)
            for entry, reason in refused:
                fields = {**entry.fields, b"entry": entry.number, b"reason": reason.encode()}
                pipeline.xadd(f"{self._stream}:rejected", fields, maxlen=_REJECTED_KEPT, approximate=True)
            pipeline.xack(self._stream, self._group, *[entry.number for entry in entries])
            pipeline.execute()
        self.done.rejected += len(refused)

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, name: str, entry: _Entry) -> tuple[Any, ...]:
        if not name:
            raise UserError("the entry names no table")
        _, reader = self._open(name)
        try:
            given = json.loads(entry.fields[b"row"])
        except KeyError:
            raise UserError("the entry has no field 'row'") from None
        except ValueError as error:
            raise UserError(f"the field 'row' is no JSON: {error}") from None
        return reader(given)

    def _put(self, name: str, rows: Sequence[tuple[_Entry, tuple[Any, ...]]]) -> list[tuple[_Entry, str]]:
        """Put rows of one table → those that the table does not take, with the reason."""
        table, reader = self._open(name)
        data = reader.table([row for _, row in rows])
        try:
            put = self._store.put(table, data, events=[entry.event for entry, _ in rows])
        except UserError as error:
            if len(rows) == 1:
                return [(rows[0][0], str(error))]
            # One row spoils them all: one by one it is found.
            return [refused for one in rows for refused in self._put(name, [one])]
        self.done.rows += put
        self.done.repeated += len(rows) - put
        return []

    def _open(self, name: str) -> tuple[StoredTable, RowReader]:
        found = self._tables.get(name)
        if found is None:
            database, _, table = name.rpartition(".")
            stored = self._store.table(database, table)
            found = self._tables[name] = stored, RowReader.of_table(stored.definition)
        return found
