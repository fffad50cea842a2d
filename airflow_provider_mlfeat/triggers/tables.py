"""Wait for a version of a table in the triggerer."""

from __future__ import annotations

import asyncio

from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class TableVersionTrigger(WaitingTrigger):
    """Fires when a table has a version, or when the time is up.

    :param root: where the tables are.
    :param table: ``table`` or ``database.table``.
    :param version: the least version to wait for.
    :param min_rows: how many rows the version needs.
    :param storage_conn_id: connection for an object store.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    """

    arguments = ("root", "table", "version", "min_rows", "storage_conn_id")

    def __init__(
        self,
        root: str,
        table: str,
        *,
        version: int = 0,
        min_rows: int = 0,
        storage_conn_id: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(poll_interval=poll_interval, deadline=deadline)
        self.root = root
        self.table = table
        self.version = version
        self.min_rows = min_rows
        self.storage_conn_id = storage_conn_id

    async def is_there(self) -> bool:
        """Look at the table."""
        from airflow_provider_mlfeat.hooks.table_versions import find_version

        found = await asyncio.to_thread(
            find_version, self.root, self.table, self.version, self.min_rows, self.storage_conn_id
        )
        return found is not None
