"""Wait for a job in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow_provider_mlfeat.runtimes.runtime import Runtime


class JobTrigger(BaseTrigger):
    """Fires when a job has ended, or when its time is up.

    It holds nothing but the handle: a triggerer that restarts goes on waiting, and the job goes on working. Only a
    person who acts on the deferred task stops the job.

    :param runtime: the runtime's settings as a document.
    :param handle: the job's handle.
    :param docker_conn_id: Docker connection for the container runtime.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    :param cancel_on_kill: whether the job stops when a person acts on the deferred task.
    """

    def __init__(
        self,
        runtime: dict[str, Any],
        handle: dict[str, Any],
        *,
        docker_conn_id: str | None = None,
        poll_interval: float = 2.0,
        deadline: float | None = None,
        cancel_on_kill: bool = True,
    ) -> None:
        super().__init__()
        self.runtime = runtime
        self.handle = handle
        self.docker_conn_id = docker_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        arguments = ("runtime", "handle", "docker_conn_id", "poll_interval", "deadline", "cancel_on_kill")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the job until it has ended."""
        from airflow_provider_mlfeat.runtimes.runtime import directory_of

        runtime = await asyncio.to_thread(self._runtime)
        while True:
            directory_of(self.handle).watch()
            state = await asyncio.to_thread(runtime.state, self.handle)
            if state.is_final:
                yield TriggerEvent({"state": state.value})
                return
            if self.deadline is not None and time.time() >= self.deadline:
                yield TriggerEvent({"state": "timeout"})
                return
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """Stop the job: a person marked the task or cleared it."""
        if self.cancel_on_kill:
            runtime = await asyncio.to_thread(self._runtime)
            await asyncio.to_thread(runtime.cancel, self.handle)

    def _runtime(self) -> Runtime:
        from airflow_provider_mlfeat.hooks.runtime import runtime_for

        return runtime_for(self.runtime, self.docker_conn_id)
