"""Wait for a version of a table in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class TableVersionTrigger(BaseTrigger):
    """Fires when a table has a version, or when the time is up.

    Credentials are no arguments: the trigger looks the connection up itself.

    :param root: where the tables are.
    :param table: ``table`` or ``database.table``.
    :param version: the least version to wait for.
    :param min_rows: how many rows the version needs.
    :param storage_conn_id: connection for an object store.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    """

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
        super().__init__()
        self.root = root
        self.table = table
        self.version = version
        self.min_rows = min_rows
        self.storage_conn_id = storage_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        arguments = ("root", "table", "version", "min_rows", "storage_conn_id", "poll_interval", "deadline")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the table until it has the version. A user's mistake ends the waiting with its sentence."""
        from airflow_provider_mlfeat.errors import TransientError, UserError
        from airflow_provider_mlfeat.hooks.table_versions import find_version

        while True:
            try:
                found = await asyncio.to_thread(
                    find_version, self.root, self.table, self.version, self.min_rows, self.storage_conn_id
                )
            except TransientError as error:
                self.log.warning("looking again later: %s", error)
                found = None
            except UserError as error:
                yield TriggerEvent({"state": "failed", "message": str(error)})
                return
            if found is not None:
                yield TriggerEvent({"state": "found"})
                return
            if self.deadline is not None and time.time() >= self.deadline:
                yield TriggerEvent({"state": "timeout"})
                return
            await asyncio.sleep(self.poll_interval)
