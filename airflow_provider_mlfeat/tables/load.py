"""LOAD DATA: files become a new version of a table, all rows that are good or none."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from uuid import uuid4

from deltalake import DeltaTable

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.catalog import TableDefinition
from airflow_provider_mlfeat.tables.committing import UnknownCommitError
from airflow_provider_mlfeat.tables.conform import Conformer
from airflow_provider_mlfeat.tables.definitions import definition_of
from airflow_provider_mlfeat.tables.delta import Mode, NewFile, commit, data_files, loaded_by, open_table
from airflow_provider_mlfeat.tables.formats.opening import open_reader
from airflow_provider_mlfeat.tables.formats.reader import Part, Reader
from airflow_provider_mlfeat.tables.linking import link_files
from airflow_provider_mlfeat.tables.links import remove_link
from airflow_provider_mlfeat.tables.load_options import LoadCancellation, LoadOptions, LoadProgress, LoadReport
from airflow_provider_mlfeat.tables.matching import Matching, match_columns
from airflow_provider_mlfeat.tables.part_files import PartFile
from airflow_provider_mlfeat.tables.quarantine import SHOWN, BadRows, write_quarantine
from airflow_provider_mlfeat.tables.source_files import find_files
from airflow_provider_mlfeat.tables.store import TableStore, storage_errors
from airflow_provider_mlfeat.tables.texts import Texts

__all__ = ["LoadOptions", "LoadReport", "load_files"]

# Small files share an output file of about this many bytes of input.
_TASK_BYTES = 64 << 20


def load_files(
    store: TableStore,
    database: str,
    table: str,
    paths: str | Sequence[str],
    options: LoadOptions | None = None,
    *,
    load_id: str | None = None,
    progress: LoadProgress | None = None,
    cancellation: LoadCancellation | None = None,
) -> LoadReport:
    """Load files into a table.

    :param store: where the table is.
    :param database: its database; '' is the default one.
    :param table: its name.
    :param paths: files, folders or globs, of this machine or of an object store.
    :param options: how to read them.
    :param load_id: what the load is called; loading the same id into the same table again changes nothing and answers
        the same.
    :param progress: told rows as they are written.
    :param cancellation: looked at between blocks of rows.
    """
    options = options or LoadOptions()
    delta = open_table(store, database, table)
    if load_id is not None and (found := loaded_by(delta, load_id, store.storage_options)) is not None:
        return _earlier(delta, database, table, *found)
    definition = replace(definition_of(delta, database), database=database)
    if delta.metadata().partition_columns:
        message = (
            f"table '{definition.qualified_name}' is partitioned; only tables that CREATE TABLE made can be loaded"
        )
        raise UserError(message)
    _check_mode(delta, definition, options)
    readers = [open_reader(file, options, definition) for file in find_files(paths, store.storage_options)]
    load = _Load(store, store.uri(database, table), definition, options, readers, load_id)
    return load.run(progress, cancellation)


def _check_mode(delta: DeltaTable, definition: TableDefinition, options: LoadOptions) -> None:
    rows = sum(file.rows for file in data_files(delta)) if options.mode == "error_if_exists" else 0
    if rows:
        message = f"table '{definition.qualified_name}' has {rows} rows; mode='append' adds to them"
        raise UserError(f"{message}, mode='overwrite' takes their place")


def _earlier(delta: DeltaTable, database: str, table: str, version: int, notes: Mapping[str, Any]) -> LoadReport:
    """The report of a load that was done before."""
    known = {name: value for name, value in notes.get("load", {}).items() if name != "load_id"}
    known["defaulted"] = tuple(known.get("defaulted", ()))
    known.setdefault("columns", {})
    known.update(database=database, table=table, version=version, already_loaded=True)
    known["rows_in_table"] = sum(file.rows for file in data_files(delta))
    return LoadReport(**known)


@dataclass(frozen=True, slots=True)
class _Task:
    """Parts of files, in order, that one worker turns into one file of the table."""

    number: int
    parts: tuple[tuple[int, Part], ...]


@dataclass(frozen=True, slots=True)
class _Done:
    """What a task made: its file, and the rows that it read of each source file."""

    file: NewFile | None
    rows: dict[int, int]


class _Load:
    """One load while it runs."""

    def __init__(
        self,
        store: TableStore,
        uri: str,
        definition: TableDefinition,
        options: LoadOptions,
        readers: Sequence[Reader],
        load_id: str | None,
    ) -> None:
        self._store, self._uri, self._definition, self._options = store, uri, definition, options
        self._readers, self._load_id = readers, load_id
        texts = Texts(options.time_zone)
        self._conformers = [self._conformer(reader, texts) for reader in readers]
        # Names that sort in order of arrival: readers such as Spark take a table's files in the order of their names.
        self._name = f"{time.time_ns() // 1_000_000:013}-{uuid4().hex}"
        most = options.max_bad_rows
        self._bad = BadRows(0 if most is None and options.max_bad_share is None else most)
        self._stop = threading.Event()
        self._written: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._files: list[PartFile] = []
        self._links: list[NewFile] = []

    def _conformer(self, reader: Reader, texts: Texts) -> Conformer:
        by_order = self._options.positional or not reader.has_names
        matching: Matching = match_columns(self._definition, reader.names, reader.file.name, by_order)
        conformer = Conformer(self._definition, matching, texts)
        if reader.types is not None:
            conformer.check_types(reader.types, reader.file.name)
        return conformer

    def run(self, progress: LoadProgress | None, cancellation: LoadCancellation | None) -> LoadReport:
        """Read, write and commit."""
        if progress is not None:
            progress.stage("load", sum(reader.estimate_rows() for reader in self._readers), "rows")
        try:
            if self._options.deep_copy:
                done = self._copy(progress, cancellation)
                return self._commit(done)
            return self._link()
        except UnknownCommitError:
            raise
        except BaseException:
            self._discard()
            raise
        finally:
            self._bad.close()

    # ── reading and writing ─────────────────────────────────────────────────────────────────────────────────────────

    def _tasks(self, workers: int) -> Iterator[_Task]:
        """Parts put together, in order, to pieces of work of about the same size."""
        number, size = 0, 0
        parts: list[tuple[int, Part]] = []
        for place, reader in enumerate(self._readers):
            for part in reader.parts(workers):
                parts.append((place, part))
                size += part.size
                if size >= min(_TASK_BYTES, max(1, sum(r.file.size for r in self._readers) // workers)):
                    yield _Task(number, tuple(parts))
                    number, size, parts = number + 1, 0, []
        if parts:
            yield _Task(number, tuple(parts))

    def _copy(self, progress: LoadProgress | None, cancellation: LoadCancellation | None) -> list[_Done]:
        """Run the tasks, a few at a time; the first error, in order of the tasks, ends all."""
        workers = self._options.threads or os.cpu_count() or 1
        tasks = self._tasks(workers)
        done: list[_Done] = []
        running: dict[Future[_Done], int] = {}
        results: dict[int, Future[_Done]] = {}
        with ThreadPoolExecutor(workers, "mlfeat-load") as pool:
            try:
                while True:
                    for task in islice(tasks, workers + 1 - len(running)):
                        future = pool.submit(self._work, task)
                        running[future] = task.number
                        results[task.number] = future
                    if not running:
                        break
                    finished, _ = wait(running, 0.2, FIRST_COMPLETED)
                    for future in finished:
                        del running[future]
                        future.result()
                    self._tell(progress, cancellation)
            except BaseException:
                self._stop.set()
                raise
        done = [results[number].result() for number in sorted(results)]
        self._tell(progress, cancellation)
        return done

    def _tell(self, progress: LoadProgress | None, cancellation: LoadCancellation | None) -> None:
        rows = 0
        while not self._written.empty():
            rows += self._written.get()
        if cancellation is not None:
            cancellation.check()
        if progress is not None and rows:
            progress.advance(rows)

    def _work(self, task: _Task) -> _Done:
        """Turn a task's rows into a file."""
        schema = self._conformers[0].schema
        file = PartFile(self._store, self._uri, f"{self._name}-{task.number:05}.parquet", schema)
        self._files.append(file)
        rows: dict[int, int] = {}
        for place, part in task.parts:
            for chunk in self._readers[place].chunks(part, self._conformers[place]):
                before = rows.get(place, 0)
                rows[place] = before + chunk.rows
                if chunk.rejected:
                    with storage_errors("collecting refused rows"):
                        self._bad.add(task.number, place, before, chunk.rejected)
                if self._stop.is_set() or self._bad.stops(task.number):
                    return _Done(None, rows)
                with storage_errors(f"writing table '{self._definition.qualified_name}'"):
                    file.write(chunk.good)
                self._written.put(chunk.rows)
        with storage_errors(f"writing table '{self._definition.qualified_name}'"):
            return _Done(file.finish(), rows)

    # ── refused rows ────────────────────────────────────────────────────────────────────────────────────────────────

    def _refused(self, done: Sequence[_Done]) -> Iterator[tuple[str, int, str, str, str]]:
        """Refused rows in order: file, row from 1, column, value and reason."""
        before: dict[int, int] = {}
        for number, result in enumerate(done):
            for file, row, column, value, reason in self._bad.of_task(number):
                place = int(file)
                name = self._readers[place].file.name
                yield name, before.get(place, 0) + int(row) + 1, column, value, reason
            for place, rows in result.rows.items():
                before[place] = before.get(place, 0) + rows

    def _check_refused(self, done: Sequence[_Done], rows_read: int) -> str | None:
        """The quarantine file; UserError when more was refused than the options allow."""
        if not self._bad.rows:
            return None
        with storage_errors("writing the file of refused rows"):
            quarantine = write_quarantine(self._store, self._uri, self._load_id, self._refused(done))
        options = self._options
        allowed = options.max_bad_rows
        too_many = allowed is not None and self._bad.rows > allowed
        share = options.max_bad_share
        if share is not None:
            too_many = too_many or self._bad.rows > share * rows_read
        if too_many or (allowed is None and share is None):
            first = "; ".join(_sentence(*refused) for refused in islice(self._refused(done), SHOWN))
            limits = [f"max_bad_rows={allowed or 0}"] if allowed is not None or share is None else []
            limits += [f"max_bad_share={share}"] if share is not None else []
            count = f"{self._bad.rows} bad row{'s' if self._bad.rows > 1 else ''}"
            name = self._definition.qualified_name
            raise UserError(
                f"table '{name}' is as it was: {count} of {rows_read} read, {' and '.join(limits)} allowed. {first}."
                f" All are in '{quarantine}'"
            )
        return quarantine

    # ── committing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _commit(self, done: Sequence[_Done]) -> LoadReport:
        rows_read = sum(sum(result.rows.values()) for result in done)
        quarantine = self._check_refused(done, rows_read)
        new = [result.file for result in done if result.file is not None]
        return self._finish(new, rows_read, quarantine)

    def _link(self) -> LoadReport:
        """Link the files in place of copying them."""
        self._links = link_files(self._readers, self._conformers, self._store, self._uri)
        return self._finish(self._links, sum(file.rows for file in self._links), None)

    def _discard(self) -> None:
        """Take away what was written for nothing."""
        for file in self._files:
            file.discard()
        for link in self._links:
            remove_link(self._uri, link.path)

    def _finish(self, new: Sequence[NewFile], rows_read: int, quarantine: str | None) -> LoadReport:
        matching = self._conformers[0].matching
        report = LoadReport(
            database=self._definition.database,
            table=self._definition.name,
            version=-1,
            files=len(self._readers),
            rows_read=rows_read,
            rows_loaded=sum(file.rows for file in new),
            rows_rejected=self._bad.rows,
            columns=matching.report(self._definition),
            defaulted=matching.defaulted(self._definition),
            quarantine=quarantine,
        )
        notes = report.to_document() | {"load_id": self._load_id}
        for name in ("database", "table", "version", "already_loaded", "rows_in_table"):
            del notes[name]
        sources = [reader.file.name for reader in self._readers]
        mode: Mode = "overwrite" if self._options.mode == "overwrite" else "append"

        def newest() -> DeltaTable:
            return open_table(self._store, self._definition.database, self._definition.name)

        with storage_errors(f"committing to table '{self._definition.qualified_name}'"):
            version, was_there = commit(
                newest,
                new,
                mode,
                load_id=self._load_id,
                notes={"load": notes, "files": sources[:100]},
                storage_options=self._store.storage_options,
                check=lambda delta: _check_mode(delta, self._definition, self._options),
            )
        if was_there:
            self._discard()
            assert self._load_id is not None
            delta = newest()
            found = loaded_by(delta, self._load_id, self._store.storage_options)
            assert found is not None
            return _earlier(delta, report.database, report.table, *found)
        # They are the table's from now on, whatever fails behind the commit.
        self._files.clear()
        self._links.clear()
        delta = open_table(self._store, report.database, report.table, version)
        return replace(report, version=version, rows_in_table=sum(file.rows for file in data_files(delta)))


def _sentence(file: str, row: int, column: str, value: str, reason: str) -> str:
    where = f"'{file}' row {row}"
    return f"{where}, column '{column}': '{value}' {reason}" if column else f"{where}: {reason}"
