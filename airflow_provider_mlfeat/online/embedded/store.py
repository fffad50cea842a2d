"""The embedded store: rows and documents in LMDB, each change one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np

from airflow_provider_mlfeat.engine.blocks import stored_bits
from airflow_provider_mlfeat.engine.column import Column, validity
from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.documents import Documents, Draft, Result
from airflow_provider_mlfeat.online.embedded.environment import Environment, close_environment, open_environment
from airflow_provider_mlfeat.online.embedded.reader import EmbeddedHistory
from airflow_provider_mlfeat.online.embedded.records import ARRIVAL, VALUES, Part
from airflow_provider_mlfeat.online.embedded.strings import StringWriter
from airflow_provider_mlfeat.online.embedded.writer import (
    SeriesWriter,
    all_rows,
    count_rows,
    delete_prefix,
    forget_series,
    read_series,
)
from airflow_provider_mlfeat.online.events import REMEMBERED_EVENTS, check_events, event_key
from airflow_provider_mlfeat.online.retaining import ANY_REQUEST, LIVE_REQUESTS, Horizon
from airflow_provider_mlfeat.online.series import Need, TableName
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
    document_name,
    get_table,
    new_replacement,
    new_table,
    put_in_place,
    tables_in,
    with_needs,
)
from airflow_provider_mlfeat.sql.catalog import TableDefinition

_REVISION = b"revision"
_EVENTS = b"events"
_NUMBER = Struct("=Q")


class EmbeddedDocuments(Documents):
    """Documents in the store's files.

    :param environment: the open files.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def revision(self) -> int:
        """See ``Documents``."""
        with self._environment.lmdb.begin(buffers=True) as transaction:
            return self.revision_in(transaction)

    def revision_in(self, transaction: Any) -> int:
        """The revision within a transaction that is open."""
        return read_number(transaction, self._environment, _REVISION)

    def read(self) -> Draft:
        """See ``Documents``."""
        with self._environment.read() as transaction:
            return self.read_in(transaction)

    def read_in(self, transaction: Any) -> Draft:
        """All documents within a transaction that is open."""
        with transaction.cursor(db=self._environment.documents) as cursor:
            return Draft({bytes(name).decode(): json.loads(bytes(text)) for name, text in cursor})

    def table_in(self, transaction: Any, name: TableName, loading: bool = False) -> StoredTable:
        """One table within a transaction that is open."""
        document = document_name(name, loading)
        text = transaction.get(document.encode(), db=self._environment.documents)
        return get_table(Draft({} if text is None else {document: json.loads(bytes(text))}), name, loading)

    def change(self, edit: Callable[[Draft], Result]) -> Result:
        """See ``Documents``."""
        with self._environment.write() as transaction:
            draft = self.read_in(transaction)
            result = edit(draft)
            self.save(transaction, draft)
            return result

    def save(self, transaction: Any, draft: Draft) -> None:
        """Write what a draft changed within a transaction that is open."""
        environment = self._environment
        for name, document in draft.written.items():
            if document is None:
                transaction.delete(name.encode(), db=environment.documents)
            else:
                text = json.dumps(document, sort_keys=True, separators=(",", ":"))
                transaction.put(name.encode(), text.encode(), db=environment.documents)
        if draft.written:
            add_number(transaction, environment, _REVISION, 1)

    def arrivals(self, transaction: Any, table: StoredTable) -> int:
        """How many arrival numbers of a table were given away."""
        return read_number(transaction, self._environment, arrivals_key(table))


class EmbeddedStore(OnlineStore):
    """A store in a folder of this machine: one process writes at a time, any number reads.

    :param folder: where the files are, on a local disk; it is made when it does not exist.
    """

    is_local = True
    documents: EmbeddedDocuments

    def __init__(self, folder: Path | str) -> None:
        self._environment = open_environment(Path(folder))
        self.documents = EmbeddedDocuments(self._environment)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._environment.folder

    def create_table(self, definition: TableDefinition) -> StoredTable:
        """See ``OnlineStore``."""
        return self.documents.change(lambda draft: new_table(draft, definition))

    def keep(self, table: TableName, needs: Sequence[Need]) -> bool:
        """See ``OnlineStore``."""
        environment = self._environment
        with environment.write() as transaction:
            draft = self.documents.read_in(transaction)
            old = get_table(draft, table)
            new = with_needs(draft, old, needs)
            if new == old:
                return is_served(old, needs)
            numbers = {series.number for series in new.series}
            kept = {series.number for series in old.series}
            fresh = [series for series in new.series if series.number not in kept]
            gone = [series for series in old.series if series.number not in numbers]
            if fresh:
                rows = self._rows_of(transaction, old)
                check_order_keys(new, self._columns(transaction, new, rows))
                for series in fresh:
                    writer = SeriesWriter(transaction, environment, series, new.schema, ANY_REQUEST)
                    writer.add(rows.matrix[VALUES:], rows.kept[1:], rows.matrix[ARRIVAL])
            for series in gone:
                forget_series(transaction, environment, series)
            has_log = any(series.is_log and series.retention.everything for series in new.series)
            complete = old.complete or self.documents.arrivals(transaction, old) == old.emptied
            # Without a series of all rows, those that no series wants are gone, now or from the next one on.
            replace(new, complete=complete and has_log).save(draft)
            self.documents.save(transaction, draft)
            return complete or is_served(old, needs)

    def truncate(self, table: TableName) -> None:
        """See ``OnlineStore``."""
        environment = self._environment
        with environment.write() as transaction:
            draft = self.documents.read_in(transaction)
            found = get_table(draft, table)
            self._forget_rows(transaction, found)
            has_log = any(series.is_log for series in found.series)
            arrivals = self.documents.arrivals(transaction, found)
            replace(found, complete=has_log, emptied=arrivals, source={}).save(draft)
            self.documents.save(transaction, draft)

    def drop_table(self, table: TableName) -> None:
        """See ``OnlineStore``."""
        with self._environment.write() as transaction:
            draft = self.documents.read_in(transaction)
            found = get_table(draft, table)
            self._forget_rows(transaction, found)
            draft.delete(found.document)
            self.documents.save(transaction, draft)

    def begin_replacement(self, table: TableName, purpose: str) -> StoredTable:
        """See ``OnlineStore``."""
        with self._environment.write() as transaction:
            draft = self.documents.read_in(transaction)
            made, given_up = new_replacement(draft, get_table(draft, table), purpose)
            if given_up is not None:
                self._forget_rows(transaction, given_up)
            self.documents.save(transaction, draft)
            return made

    def finish_replacement(self, made: StoredTable, source: Mapping[str, Any]) -> None:
        """See ``OnlineStore``."""
        with self._environment.write() as transaction:
            draft = self.documents.read_in(transaction)
            old = put_in_place(draft, made, source, self.documents.arrivals(transaction, made))
            self._forget_rows(transaction, old)
            self.documents.save(transaction, draft)

    def _put(self, table: StoredTable, rows: Rows, load: Load | None, events: Sequence[str] | None) -> int:
        environment = self._environment
        with environment.write() as transaction:
            current = self.documents.table_in(transaction, table.name, bool(table.loading))
            if current.series != table.series:
                check_order_keys(current, list(rows.columns))
            if load is not None:
                rows = self._unloaded(transaction, current, rows, load)
                if load.note is not None:
                    draft = Draft({})
                    replace(current, source=load.note).save(draft)
                    self.documents.save(transaction, draft)
            if events is not None:
                rows = self._unseen(transaction, current, rows, events)
            if not rows.length:
                return 0
            strings = StringWriter(transaction, environment)
            bits = np.stack([_bits(column, strings) for column in rows.columns])
            strings.save()
            valid = np.stack([validity(column) for column in rows.columns]).astype(np.uint8)
            first = add_number(transaction, environment, arrivals_key(current), rows.length) - rows.length
            arrivals = np.arange(first, first + rows.length)
            horizon = LIVE_REQUESTS if load is None else Horizon(earliest=load.earliest)
            for series in current.series:
                SeriesWriter(transaction, environment, series, current.schema, horizon).add(bits, valid, arrivals)
            return rows.length

    def load_state(self, table: StoredTable, load: str) -> LoadState:
        """See ``OnlineStore``."""
        with self._environment.read() as transaction:
            return self._load_state(transaction, table, load)

    def history(self) -> EmbeddedHistory:
        """See ``OnlineStore``."""
        return EmbeddedHistory(self._environment, self.documents)

    def size(self) -> Size:
        """See ``OnlineStore``."""
        environment = self._environment
        with environment.read() as transaction:
            tables = {}
            for table in tables_in(self.documents.read_in(transaction)).values():
                tables[table.qualified_name] = {
                    series_text(series): count_rows(transaction, environment.rows, series) for series in table.series
                }
            pages = environment.lmdb.info()["last_pgno"] + 1
            return Size(pages * environment.lmdb.stat()["psize"], tables)

    def close(self) -> None:
        """See ``OnlineStore``."""
        close_environment(self._environment)

    # ── parts of a transaction ──────────────────────────────────────────────────────────────────────────────────────

    def _rows_of(self, transaction: Any, table: StoredTable) -> Part:
        """All rows that any series of a table has, in order of arrival."""
        log = [series for series in table.series if series.is_log and series.retention.everything]
        parts = [
            part for series in log or table.series for part in read_series(transaction, self._environment.rows, series)
        ]
        return all_rows(parts, len(table.schema))

    def _columns(self, transaction: Any, table: StoredTable, rows: Part) -> list[Column]:
        """Columns of stored rows; only numbers are looked at here, so codes stand for strings."""
        columns = []
        for place, column in enumerate(table.schema):
            valid = rows.kept[1 + place].astype(np.bool_)
            columns.append(Column(column.type, rows.matrix[VALUES + place], valid))
        return columns

    def _forget_rows(self, transaction: Any, table: StoredTable) -> None:
        environment = self._environment
        for series in table.series:
            forget_series(transaction, environment, series)
        delete_prefix(transaction, environment.counters, _load_key(table, ""))
        add_number(transaction, environment, arrivals_key(table), 1)

    def _load_state(self, transaction: Any, table: StoredTable, load: str) -> LoadState:
        found = transaction.get(_load_key(table, load), db=self._environment.counters)
        if found is None:
            return LoadState()
        rows, finished = json.loads(bytes(found))
        return LoadState(rows, finished)

    def _unloaded(self, transaction: Any, table: StoredTable, rows: Rows, load: Load) -> Rows:
        """The rows of a load that are not in the store; the transaction that adds them notes it."""
        state = self._load_state(transaction, table, load.name)
        if state.finished:
            return rows.slice(0, 0)
        if load.start > state.rows:
            message = f"load '{load.name}' of '{table.qualified_name}' has {state.rows} rows in the store"
            raise UserError(f"{message}, so it cannot go on at row {load.start}")
        done = min(state.rows - load.start, rows.length)
        mark = json.dumps([load.start + max(done, rows.length), load.last])
        transaction.put(_load_key(table, load.name), mark.encode(), db=self._environment.counters)
        return rows.slice(done, rows.length)

    def _unseen(self, transaction: Any, table: StoredTable, rows: Rows, events: Sequence[str]) -> Rows:
        """The rows whose events were not put before; the transaction that adds them remembers the events."""
        environment = self._environment
        check_events(events, rows.length)
        keep = np.zeros(rows.length, np.bool_)
        last = read_number(transaction, environment, _EVENTS)
        for place, event in enumerate(events):
            key = event_key(table.number, event)
            if transaction.put(key, b"", overwrite=False, db=environment.events):
                last += 1
                transaction.put(_NUMBER.pack(last), key, append=True, db=environment.event_order)
                keep[place] = True
        transaction.put(_EVENTS, _NUMBER.pack(last), db=environment.counters)
        with transaction.cursor(db=environment.event_order) as cursor:
            while cursor.first() and _NUMBER.unpack(cursor.key())[0] <= last - REMEMBERED_EVENTS:
                transaction.delete(cursor.value(), db=environment.events)
                cursor.delete()
        return rows if keep.all() else rows.filter(keep)


def arrivals_key(table: StoredTable) -> bytes:
    """The counter of a table's arrivals."""
    return f"arrivals/{table.number}".encode()


def read_number(transaction: Any, environment: Environment, name: bytes) -> int:
    """A counter."""
    found = transaction.get(name, db=environment.counters)
    return 0 if found is None else int(_NUMBER.unpack(found)[0])


def add_number(transaction: Any, environment: Environment, name: bytes, amount: int) -> int:
    """Add to a counter → its new value."""
    value = read_number(transaction, environment, name) + amount
    transaction.put(name, _NUMBER.pack(value), db=environment.counters)
    return value


def _load_key(table: StoredTable, load: str) -> bytes:
    name = f"load/{table.number}/".encode()
    return name + hashlib.sha256(load.encode()).hexdigest().encode() if load else name


def _bits(column: Column, strings: StringWriter) -> Bits:
    """The patterns of a column; strings become codes of the store."""
    if column.dictionary is None:
        return stored_bits(column, None)  # type: ignore[arg-type]  # only strings need a pool
    bits: Bits = strings.codes(column.dictionary.strings)[column.values]
    if column.valid is not None:
        bits[~column.valid] = 0
    return bits
