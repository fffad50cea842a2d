"""Wait for a model on Triton servers in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class TritonModelReadyTrigger(BaseTrigger):
    """Fires when all servers of a connection hold a model ready, or when the time is up.

    Credentials are no arguments: the trigger looks the connection up itself.

    :param triton_model: the model's name in Triton.
    :param triton_conn_id: connection of type ``mlfeat_triton``.
    :param version: the version to wait for; None is any.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    """

    def __init__(
        self,
        triton_model: str,
        triton_conn_id: str,
        *,
        version: int | None = None,
        poll_interval: float = 5.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__()
        self.triton_model = triton_model
        self.triton_conn_id = triton_conn_id
        self.version = version
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        arguments = ("triton_model", "triton_conn_id", "version", "poll_interval", "deadline")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask the servers until all are ready. A user's mistake ends the waiting with its sentence."""
        from airflow_provider_mlfeat.errors import TransientError, UserError
        from airflow_provider_mlfeat.hooks.triton import TritonHook

        hook = TritonHook(self.triton_conn_id)
        while True:
            try:
                await asyncio.to_thread(lambda: hook.settings)
                ready = await hook.ready_everywhere(self.triton_model, self.version)
            except TransientError as error:
                self.log.warning("looking again later: %s", error)
                ready = False
            except UserError as error:
                yield TriggerEvent({"state": "failed", "message": str(error)})
                return
            if ready:
                yield TriggerEvent({"state": "found"})
                return
            if self.deadline is not None and time.time() >= self.deadline:
                yield TriggerEvent({"state": "timeout"})
                return
            await asyncio.sleep(self.poll_interval)
