"""One commit: whether a version was made is known, whatever else went wrong, before anybody deletes its files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.tables.commits import adds

log = logging.getLogger("mlfeat.job")


class UnknownCommitError(TransientError):
    """Nobody can say whether the version was made, so its files have to stay; another try finds out."""


def write_version(
    table: DeltaTable,
    files: Sequence[AddAction],
    mode: Literal["append", "overwrite"],
    schema: pa.Schema,
    properties: CommitProperties,
    storage_options: Mapping[str, str],
) -> int | None:
    """Make the version after the one that is open: its number, or None when another writer made it first.

    Delta may fail when the version is in the log already: at the checkpoint that follows some versions, or because an
    object store's answer was lost. The log itself then says what happened.

    :param table: open at the newest version.
    :param files: with names that no other commit has.
    :param mode: add to the rows, or take their place.
    :param schema: of the table.
    :param properties: of the commit; it must not try again by itself.
    :param storage_options: access to an object store.
    """
    version = int(table.version()) + 1
    try:
        table.create_write_transaction(files, mode, schema, commit_properties=properties)
    except Exception as error:
        if _was_made(table, version, files, storage_options, error):
            log.warning("version %d is there, though what comes after a commit failed: %s", version, error)
            return version
        if isinstance(error, CommitFailedError) and _newest(table, storage_options) >= version:
            return None
        raise
    return version


def _was_made(
    table: DeltaTable,
    version: int,
    files: Sequence[AddAction],
    storage_options: Mapping[str, str],
    error: Exception,
) -> bool:
    try:
        return bool(files) and adds(table, version, files[0].path, storage_options)
    except Exception as failure:  # noqa: BLE001 - whatever keeps the log from being read
        message = f"whether version {version} of '{table.table_uri}' was written cannot be told ({failure}): {error}"
        raise UnknownCommitError(message) from error


def _newest(table: DeltaTable, storage_options: Mapping[str, str]) -> int:
    return int(DeltaTable(table.table_uri, storage_options=dict(storage_options)).version())
