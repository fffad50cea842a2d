"""Wait for a version of a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_mlfeat.hooks.arguments import number

if TYPE_CHECKING:
    from airflow.sdk import Context


class TableVersionSensor(BaseSensorOperator):
    """Wait until a table's current version is at least a given one, and has rows enough.

    A table that does not exist yet is waited for.

    XCom: ``table``, ``table_version``, ``rows`` and ``table_fingerprint`` of the version that was found.

    :param table: ``table`` or ``database.table``. (templated)
    :param version: the least version; 0 is the empty table, the first load makes 1. (templated)
    :param min_rows: how many rows the version needs. (templated)
    :param root: where the tables are, as for the operators. (templated)
    :param storage_conn_id: connection for an object store, as for the operators. (templated)
    :param deferrable: wait in the triggerer, without a worker slot.
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
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.version = version
        self.min_rows = min_rows
        self.root = root
        self.storage_conn_id = storage_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once, then wait in the triggerer; without `deferrable` wait as all sensors do."""
        if not self.deferrable:
            return super().execute(context)
        found = self._find()
        if found is None:
            self._defer()
        return found

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Back from the triggerer: look at the table itself, whatever the event says."""
        state = event.get("state") if isinstance(event, dict) else None
        if state == "failed":
            raise AirflowFailException(event["message"])
        if state not in ("found", "timeout"):
            raise RuntimeError(f"the trigger sent an event that is none of ours: {event!r}")
        found = self._find()
        if found is not None:
            return found
        if state == "found":
            # It was there and is gone again, for instance because an older version was restored.
            self._defer()
        message = f"'{self.table}' has no version {self.version} with {self.min_rows} rows within {self.timeout:.0f} s"
        raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(message)

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether the version is there."""
        found = self._find()
        return PokeReturnValue(found is not None, found)

    def _arguments(self) -> dict[str, Any]:
        return {
            "root": self.root or str(conf.get("mlfeat", "tables_root", fallback="")),
            "table": self.table,
            "version": number(int, self.version, "version"),
            "min_rows": number(int, self.min_rows, "min_rows"),
            "storage_conn_id": self.storage_conn_id,
        }

    def _find(self) -> dict[str, Any] | None:
        from airflow_provider_mlfeat.errors import UserError
        from airflow_provider_mlfeat.hooks.table_versions import find_version

        try:
            found = find_version(**self._arguments())
        except UserError as error:
            raise AirflowFailException(str(error)) from error
        if found is not None:
            self.log.info("'%s' is at version %d with %d rows", self.table, found["table_version"], found["rows"])
        return found

    def _defer(self) -> NoReturn:
        from airflow_provider_mlfeat.triggers.tables import TableVersionTrigger

        deadline = time.time() + self.timeout
        self.defer(
            trigger=TableVersionTrigger(**self._arguments(), poll_interval=self.poke_interval, deadline=deadline),
            method_name="execute_complete",
        )
        raise AssertionError("defer returned")
