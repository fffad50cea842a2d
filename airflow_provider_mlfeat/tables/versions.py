"""The versions of a table: listed, read, restored, and old files taken away."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow import fs

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.commits import commits
from airflow_provider_mlfeat.tables.delta import DataFile, data_files, open_table
from airflow_provider_mlfeat.tables.links import is_link, resolve_link
from airflow_provider_mlfeat.tables.store import TableStore, filesystem, storage_errors


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A version of a table.

    :param database: the table's database; '' is the default one.
    :param table: its name.
    :param version: the number; each change makes the next.
    :param rows: how many it holds.
    :param fingerprint: equal for two versions that hold the same files under the same definition.
    :param committed_at: when it became current.
    """

    database: str
    table: str
    version: int
    rows: int
    fingerprint: str
    committed_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of a table's history.

    :param version: the version that it made.
    :param committed_at: when.
    :param operation: what: ``create``, ``write``, ``restore``, ``vacuum end``, …
    :param details: what the writer noted, for instance a load's id, files and numbers of rows.
    """

    version: int
    committed_at: datetime.datetime
    operation: str
    details: Mapping[str, Any]


def current(store: TableStore, database: str, table: str) -> TableVersion:
    """The newest version."""
    return describe(store, database, table)


def describe(store: TableStore, database: str, table: str, version: int | None = None) -> TableVersion:
    """A version of a table.

    :param store: where the table is.
    :param database: its database.
    :param table: its name.
    :param version: None is the newest.
    """
    delta = open_table(store, database, table, version)
    with storage_errors(f"reading table '{table}'"):
        held = data_files(delta)
        made = next((entry.timestamp for entry in commits(delta, store.storage_options)), None)
        # The log may have forgotten an old entry; the newest file is then the best that is known.
        committed = _time(max((file.arrived for file in held), default=0) if made is None else made)
    rows = sum(file.rows for file in held)
    return TableVersion(database, table, delta.version(), rows, fingerprint(delta), committed)


def fingerprint(delta: DeltaTable) -> str:
    """A digest of the files of a version, in order, and of the table's properties."""
    held = [[file.path, file.size] for file in data_files(delta)]
    return files.digest_text(files.canonical_json([delta.schema().to_json(), delta.metadata().configuration, held]))


def history(store: TableStore, database: str, table: str, limit: int | None = None) -> list[Change]:
    """What happened to a table, the newest first."""
    delta = open_table(store, database, table)
    with storage_errors(f"reading the history of '{table}'"):
        entries = list(islice(commits(delta, store.storage_options), limit))
    return [Change(entry.version, _time(entry.timestamp), entry.operation.lower(), entry.notes) for entry in entries]


def read(store: TableStore, database: str, table: str, version: int | None = None) -> ds.Dataset:
    """The rows of a version in order of arrival, as a dataset; linked files must be what they were.

    :param store: where the table is.
    :param database: its database.
    :param table: its name.
    :param version: None is the newest.
    """
    return dataset_of(open_table(store, database, table, version), store.options())


def paths(store: TableStore, database: str, table: str, version: int | None = None) -> list[str]:
    """The Parquet files of a version in order of arrival; parameters are those of `read`."""
    return files_of(open_table(store, database, table, version))


def files_of(delta: DeltaTable) -> list[str]:
    """The Parquet files of a Delta table in order of arrival; links are followed and checked."""
    return [_location(delta, file) for file in data_files(delta)]


def dataset_of(delta: DeltaTable, storage_options: dict[str, str]) -> ds.Dataset:
    """The rows of a Delta table in order of arrival."""
    with storage_errors(f"reading table '{delta.table_uri}'"):
        if delta.metadata().partition_columns:
            return delta.to_pyarrow_dataset()
        schema = pa.schema(delta.schema().to_arrow())
        found = data_files(delta)
        local = "://" not in delta.table_uri or delta.table_uri.startswith("file://")
        if local:
            system: Any = fs.LocalFileSystem()
            names = [_location(delta, file) for file in found]
            missing = next((name for name in names if not fs.LocalFileSystem().get_file_info(name).is_file), None)
            if missing is not None:
                message = f"'{missing}' of version {delta.version()} is gone; it was vacuumed or deleted"
                raise UserError(message)
        else:
            system = filesystem(delta.table_uri, storage_options)
            names = [file.path for file in found]
        form = ds.ParquetFileFormat()
        fragments = [form.make_fragment(name, filesystem=system) for name in names]
        return ds.FileSystemDataset(fragments, schema, form, system)


def _location(delta: DeltaTable, file: DataFile) -> str:
    """Where a file is; a link leads to the file that it names."""
    root = delta.table_uri.removeprefix("file://").rstrip("/")
    if is_link(file.path):
        return resolve_link(root, file.path)
    return f"{root}/{file.path}"


def restore(store: TableStore, database: str, table: str, version: int) -> TableVersion:
    """Make an older version's rows and definition current again, as a new version; the current one stays as it is.

    Loads that came after that version may be run again.

    :param store: where the table is.
    :param database: its database.
    :param table: its name.
    :param version: the version to go back to.
    """
    delta = open_table(store, database, table)
    if not 0 <= version <= delta.version():
        raise UserError(f"table '{table}' has no version {version}; its newest is {delta.version()}")
    if version == delta.version():
        return current(store, database, table)
    with storage_errors(f"restoring version {version} of table '{table}'"):
        delta.restore(version)
    return current(store, database, table)


def vacuum(
    store: TableStore, database: str, table: str, retention_hours: int = 168, dry_run: bool = False
) -> list[str]:
    """Delete files that no version of the last `retention_hours` needs, and what killed loads left behind.

    Older versions can then neither be read nor restored.

    :param store: where the table is.
    :param database: its database.
    :param table: its name.
    :param retention_hours: how long files stay after a version that dropped them; 0 keeps only the newest version, and
        is safe only while nobody loads.
    :param dry_run: delete nothing.
    :return: the files' names.
    """
    delta = open_table(store, database, table)
    with storage_errors(f"vacuuming table '{table}'"):
        return list(delta.vacuum(retention_hours, dry_run=dry_run, enforce_retention_duration=False, full=True))


def _time(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
