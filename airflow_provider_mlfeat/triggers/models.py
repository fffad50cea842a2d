"""Wait for a version of a registered model in the triggerer, and turn moves of an alias into asset events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class ModelVersionTrigger(WaitingTrigger):
    """Fires when there is a version, or when the time is up.

    :param model_name: the registered model's name.
    :param alias: that has to point to a version; empty waits for any new version.
    :param after: number of the version that is known already.
    :param mlflow_conn_id: connection of type ``mlfeat_mlflow``.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    """

    arguments = ("model_name", "alias", "after", "mlflow_conn_id")

    def __init__(
        self,
        model_name: str,
        *,
        alias: str = "",
        after: int = 0,
        mlflow_conn_id: str = "mlfeat_mlflow_default",
        poll_interval: float = 30.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(poll_interval=poll_interval, deadline=deadline)
        self.model_name = model_name
        self.alias = alias
        self.after = after
        self.mlflow_conn_id = mlflow_conn_id

    async def is_there(self) -> bool:
        """Look at the registry."""
        from airflow_provider_mlfeat.hooks.model_versions import find_model_version

        found = await asyncio.to_thread(
            find_model_version, self.mlflow_conn_id, self.model_name, self.alias, self.after
        )
        return found is not None


class ModelAliasTrigger(BaseEventTrigger):
    """Emits an event each time an alias points to another version; for the watcher of an asset.

    The event carries ``model_name``, ``model_version``, ``model_uri``, ``model_fingerprint``, ``plan_id`` and
    ``alias``. Airflow may deliver an event twice: consumers go by the version. The version that the alias points to
    when the watching begins is no event, unless `emit_present` says so.

    :param model_name: the registered model's name.
    :param alias: which alias.
    :param mlflow_conn_id: connection of type ``mlfeat_mlflow``.
    :param poll_interval: seconds between two looks.
    :param emit_present: whether the present version is an event too.
    """

    def __init__(
        self,
        model_name: str,
        *,
        alias: str = "champion",
        mlflow_conn_id: str = "mlfeat_mlflow_default",
        poll_interval: float = 30.0,
        emit_present: bool = False,
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.alias = alias
        self.mlflow_conn_id = mlflow_conn_id
        self.poll_interval = poll_interval
        self.emit_present = emit_present

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        arguments = ("model_name", "alias", "mlflow_conn_id", "poll_interval", "emit_present")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for ever; an MLflow that is away is waited for."""
        from airflow_provider_mlfeat.errors import MlfeatError
        from airflow_provider_mlfeat.hooks.model_versions import find_model_version

        known: int | None = 0 if self.emit_present else None
        while True:
            try:
                found = await asyncio.to_thread(
                    find_model_version, self.mlflow_conn_id, self.model_name, self.alias, known or 0
                )
            except MlfeatError as error:
                self.log.warning("looking again later: %s", error)
            else:
                if known is None:
                    # The first look that worked: what is there now is where watching begins.
                    known = found["model_version"] if found else 0
                elif found is not None:
                    known = found["model_version"]
                    yield TriggerEvent(found)
            await asyncio.sleep(self.poll_interval)
