"""Wait for a version of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from airflow_provider_mlfeat.hooks.arguments import number
from airflow_provider_mlfeat.sensors.waiting import WaitingSensor

if TYPE_CHECKING:
    from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class TableVersionSensor(WaitingSensor):
    """Wait until a table's current version is at least a given one, and has rows enough.

    A table that does not exist yet is waited for.

    XCom: ``table``, ``table_version``, ``rows`` and ``table_fingerprint`` of the version that was found.

    :param table: ``table`` or ``database.table``. (templated)
    :param version: the least version; 0 is the empty table, the first load makes 1. (templated)
    :param min_rows: how many rows the version needs. (templated)
    :param root: where the tables are, as for the operators. (templated)
    :param storage_conn_id: connection for an object store, as for the operators. (templated)
    """

    template_fields: Sequence[str] = ("table", "version", "min_rows", "root", "storage_conn_id")
    ui_color = "#dceaf7"

    def __init__(
        self,
        *,
        table: str,
        version: int | str = 1,
        min_rows: int | str = 0,
        root: str | None = None,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.version = version
        self.min_rows = min_rows
        self.root = root
        self.storage_conn_id = storage_conn_id

    def look(self) -> dict[str, Any] | None:
        """Look at the table."""
        from airflow_provider_mlfeat.hooks.table_versions import find_version

        found = find_version(**self._arguments())
        if found is not None:
            self.log.info("'%s' is at version %d with %d rows", self.table, found["table_version"], found["rows"])
        return found

    def trigger(self, poll_interval: float, deadline: float) -> WaitingTrigger:
        """Looks at the table too."""
        from airflow_provider_mlfeat.triggers.tables import TableVersionTrigger

        return TableVersionTrigger(**self._arguments(), poll_interval=poll_interval, deadline=deadline)

    def missing(self) -> str:
        """Which version."""
        return f"'{self.table}' has no version {self.version} with {self.min_rows} rows"

    def _arguments(self) -> dict[str, Any]:
        return {
            "root": self.root or str(conf.get("mlfeat", "tables_root", fallback="")),
            "table": self.table,
            "version": number(int, self.version, "version"),
            "min_rows": number(int, self.min_rows, "min_rows"),
            "storage_conn_id": self.storage_conn_id,
        }
