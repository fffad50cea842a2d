"""What the tests of loading share: a store, tables from SQL, small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.sql.statements import CreateTable
from airflow_provider_mlfeat.sql.syntax import parse_script
from airflow_provider_mlfeat.tables.definitions import create_table
from airflow_provider_mlfeat.tables.load import LoadOptions, LoadReport, load_files
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.tables.versions import current, read

EVENTS = "CREATE TABLE events (id bigint NOT NULL, name string, at timestamp, score double, day date, small smallint)"


def create(store: TableStore, sql: str) -> None:
    """Create the tables of a script."""
    for statement in parse_script(sql):
        assert isinstance(statement, CreateTable)
        create_table(store, statement.table)


def load(store: TableStore, paths: Any, table: str = "t", load_id: str | None = None, **options: Any) -> LoadReport:
    """Load into a table of the default database."""
    return load_files(store, "", table, [str(path) for path in _list(paths)], LoadOptions(**options), load_id=load_id)


def rows(store: TableStore, table: str = "t", version: int | None = None) -> list[dict[str, Any]]:
    """The rows of a table in order."""
    return read(store, "", table, version).to_table().to_pylist()


def version_of(store: TableStore, table: str = "t") -> int:
    """The newest version's number."""
    return current(store, "", table).version


def write(path: Path, text: str | bytes) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """A Parquet file."""
    pq.write_table(pa.table(columns), path, **options)
    return path


def _list(paths: Any) -> list[Any]:
    return list(paths) if isinstance(paths, list | tuple) else [paths]
