"""LOAD DATA: files become a new version of a table, all rows that are good or none."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_mlfeat.tables.load_options import LoadCancellation, LoadOptions, LoadProgress, LoadReport
from airflow_provider_mlfeat.tables.store import TableStore

__all__ = ["LoadOptions", "LoadReport", "load_files"]


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
    raise NotImplementedError
