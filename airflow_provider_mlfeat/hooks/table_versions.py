"""Looking at a table from a sensor or a trigger."""

from __future__ import annotations

from typing import Any


def find_version(
    root: str, table: str, version: int, min_rows: int, storage_conn_id: str | None
) -> dict[str, Any] | None:
    """What a table's current version is, when it is at least the one that is waited for; None otherwise.

    A table that does not exist yet has no version.

    :param root: where the tables are; empty is the default of jobs.
    :param table: ``table`` or ``database.table``.
    :param version: the least version.
    :param min_rows: how many rows it needs.
    :param storage_conn_id: connection for an object store.
    """
    from deltalake import DeltaTable

    from airflow_provider_mlfeat.hooks.storage import storage_options
    from airflow_provider_mlfeat.jobs.tables.store import default_root, join_name, split_name
    from airflow_provider_mlfeat.tables.store import TableStore, storage_errors
    from airflow_provider_mlfeat.tables.versions import current

    database, name = split_name(table)
    store = TableStore(root or default_root(), storage_options(storage_conn_id))
    with storage_errors(f"looking at table '{table}'"):
        if not DeltaTable.is_deltatable(store.uri(database, name), store.options()):
            return None
    found = current(store, database, name)
    if found.version < version or found.rows < min_rows:
        return None
    return {
        "table": join_name(database, name),
        "table_version": found.version,
        "rows": found.rows,
        "table_fingerprint": found.fingerprint,
    }
