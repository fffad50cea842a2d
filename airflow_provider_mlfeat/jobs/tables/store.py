"""Where the tables of a job are: the part that the specs of all table jobs share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import JobResult, JobSpec

if TYPE_CHECKING:
    from airflow_provider_mlfeat.tables.store import TableStore

ROOT_VARIABLE = "MLFEAT_TABLES"
# Secrets of a job whose names begin so are storage options.
STORAGE_SECRET = "storage."  # noqa: S105 - a prefix of names


def default_root() -> str:
    """Where tables are when nobody says: ``$MLFEAT_TABLES``, else ``tables/`` below the state directory."""
    return os.environ.get(ROOT_VARIABLE) or str(files.state_directory() / "tables")


class StorageSpec(JobSpec):
    """What the specs of jobs share that may reach an object store.

    :param storage_options: options of the object store that are no secrets, such as ``AWS_REGION``.
    """

    storage_options: dict[str, str] = Field(default_factory=dict)

    def all_storage_options(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The spec's storage options and those among a job's secrets."""
        hidden = {
            name.removeprefix(STORAGE_SECRET): value
            for name, value in secrets.items()
            if name.startswith(STORAGE_SECRET)
        }
        return {**self.storage_options, **hidden}


class TableJobSpec(StorageSpec):
    """What the specs of all table jobs share.

    :param root: folder or object-store prefix of all databases; empty is ``$MLFEAT_TABLES``, else ``tables/`` below
        the state directory.
    """

    root: str = ""

    def store(self, secrets: Mapping[str, str]) -> TableStore:
        """The store, with the storage options that the job's secrets hold."""
        from airflow_provider_mlfeat.tables.store import TableStore

        return TableStore(self.root or default_root(), self.all_storage_options(secrets))


class TableJobResult(JobResult):
    """What the results of jobs that leave one table behind share.

    :param table: ``database.table``.
    :param table_version: the table's version that the job made or found.
    :param rows: how many rows that version has.
    :param table_fingerprint: identity of that version's contents.
    """

    table: str
    table_version: int
    rows: int
    table_fingerprint: str


def split_name(name: str, database: str = "") -> tuple[str, str]:
    """Database and table of ``database.table``, or of a table in `database`."""
    qualifier, _, table = name.rpartition(".")
    if not table:
        raise UserError(f"'{name}' names no table: write TABLE or DATABASE.TABLE")
    return qualifier or database, table


def join_name(database: str, table: str) -> str:
    """``database.table``, or only the table in the default database."""
    return f"{database}.{table}" if database else table
