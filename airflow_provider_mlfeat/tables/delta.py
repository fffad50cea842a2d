"""A table as Delta sees it: opened, its files in order of arrival, and changed by one commit or not at all."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction
from pyarrow import fs

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.sql.errors import nearest_name
from airflow_provider_mlfeat.tables.commits import METADATA, commits
from airflow_provider_mlfeat.tables.committing import write_version
from airflow_provider_mlfeat.tables.store import TableStore, storage_errors

_APPLICATION = "mlfeat-load:"
_ATTEMPTS = 50
# Features of other writers' tables that only change how files are read, and that plain Parquet readers do not know.
_UNREADABLE = ("deletionVectors", "columnMapping")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a table.

    :param path: below the table.
    :param size: in bytes.
    :param rows: in it.
    :param arrived: milliseconds; a later commit's files have a larger number.
    """

    path: str
    size: int
    rows: int
    arrived: int


def open_delta(uri: str, options: dict[str, str], version: int | None = None) -> DeltaTable:
    """A Delta table at a version or now; TableNotFoundError when there is none, UserError without the version."""
    with_name = f"opening table '{uri}'"
    try:
        table = DeltaTable(uri, storage_options=options)
        if version is not None:
            if not 0 <= version <= table.version():
                raise UserError(f"table '{uri}' has no version {version}; its newest is {table.version()}")
            table.load_as_version(version)
    except TableNotFoundError:
        raise
    except DeltaError as error:
        if version is not None:
            raise UserError(f"table '{uri}' cannot be read at version {version}: {error}") from error
        with storage_errors(with_name):
            raise
    return table


def open_table(store: TableStore, database: str, table: str, version: int | None = None) -> DeltaTable:
    """A stored table at a version or now; UserError when there is no such table or version."""
    with storage_errors(f"opening table '{table}'"):
        try:
            return open_delta(store.uri(database, table), store.options(), version)
        except TableNotFoundError:
            pass
        known = folders(store, store.database_uri(database))
    place = f" in database '{database}'" if database else ""
    raise UserError(". ".join(filter(None, (f"there is no table '{table}'{place}", nearest_name(table, known)))))


def folders(store: TableStore, uri: str) -> list[str]:
    """Names of the folders right below a place."""
    if store.is_local:
        from pathlib import Path

        if not Path(uri).is_dir():
            return []
    found = store.filesystem(uri).get_file_info(fs.FileSelector("", allow_not_found=True))
    names = sorted(info.base_name for info in found if info.type == fs.FileType.Directory)
    return [name for name in names if not name.startswith((".", "_"))]


def data_files(table: DeltaTable) -> list[DataFile]:
    """The files of a version in order of arrival."""
    if any(feature in _UNREADABLE for feature in table.protocol().reader_features or ()):
        raise UserError(f"table '{table.table_uri}' uses a feature of Delta that is not read here: deletion vectors")
    actions = pa.table(table.get_add_actions())
    names = ("path", "size_bytes", "num_records", "modification_time")
    columns = [actions.column(name).cast(pa.string() if name == "path" else pa.int64()).to_pylist() for name in names]
    files = [DataFile(path, size, rows, arrived) for path, size, rows, arrived in zip(*columns, strict=True)]
    return sorted(files, key=lambda file: (file.arrived, file.path))


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a commit adds.

    :param path: below the table.
    :param size: in bytes.
    :param rows: in it.
    """

    path: str
    size: int
    rows: int


def loaded_by(
    table: DeltaTable, load_id: str, storage_options: Mapping[str, str]
) -> tuple[int, Mapping[str, Any]] | None:
    """The version that a load made and what it noted, or None when the table does not hold it.

    A load that was taken back by restoring an older version does not count.

    :param table: at its newest version.
    :param load_id: what the load is called.
    :param storage_options: access to an object store.
    """
    version = table.transaction_version(application(load_id))
    if version is None:
        return None
    for entry in commits(table, storage_options):
        if entry.version > version and entry.operation == "RESTORE":
            restored = str(entry.parameters.get("version", ""))
            if restored.isdigit() and int(restored) < version:
                return None
        if entry.version == version:
            return version, entry.notes
    return version, {}


def application(load_id: str) -> str:
    """The name under which Delta remembers a load."""
    return _APPLICATION + hashlib.sha256(load_id.encode()).hexdigest()


Mode = Literal["append", "overwrite"]


def commit(
    open_again: Callable[[], DeltaTable],
    files: Sequence[NewFile],
    mode: Mode,
    *,
    load_id: str | None,
    notes: dict[str, Any],
    storage_options: Mapping[str, str],
    check: Callable[[DeltaTable], None] = lambda table: None,
) -> tuple[int, bool]:
    """Make a version that holds new files.

    Each attempt is against the newest version and for exactly the next one, so that of two writers one succeeds and
    the other tries again; the files' arrival is later than that of all files before.

    :param open_again: opens the newest version.
    :param files: already written below the table.
    :param mode: add to the rows, or take their place.
    :param load_id: remembered; when the table holds it already, nothing happens.
    :param notes: kept in the commit.
    :param storage_options: access to an object store.
    :param check: raises when the newest version does not allow this commit.
    :return: the version, and whether it was there already.
    """
    for attempt in range(_ATTEMPTS):
        table = open_again()
        if load_id is not None and (found := loaded_by(table, load_id, storage_options)) is not None:
            return found[0], True
        check(table)
        arrived = max((file.arrived for file in data_files(table)), default=0)
        arrived = max(arrived + 1, int(time.time() * 1000))
        version = table.version() + 1
        transactions = [Transaction(application(load_id), version)] if load_id is not None else None
        made = write_version(
            table,
            [
                AddAction(file.path, file.size, {}, arrived, True, json.dumps({"numRecords": file.rows}))
                for file in files
            ],
            mode,
            table.schema(),
            CommitProperties(custom_metadata={METADATA: notes}, max_commit_retries=0, app_transactions=transactions),
            storage_options,
        )
        if made is not None:
            return made, False
        time.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311 - it only spreads retries
    raise TransientError(
        f"table '{open_again().table_uri}' is written by so many at once that this commit never fitted"
    )
