"""Wait for a model on Triton servers in the triggerer."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger

if TYPE_CHECKING:
    from airflow_provider_mlfeat.hooks.triton import TritonHook


class TritonModelReadyTrigger(WaitingTrigger):
    """Fires when all servers of a connection hold a model ready, or when the time is up.

    :param triton_model: the model's name in Triton.
    :param triton_conn_id: connection of type ``mlfeat_triton``.
    :param version: the version to wait for; None is any.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    """

    arguments = ("triton_model", "triton_conn_id", "version")

    def __init__(
        self,
        triton_model: str,
        triton_conn_id: str,
        *,
        version: int | None = None,
        poll_interval: float = 5.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(poll_interval=poll_interval, deadline=deadline)
        self.triton_model = triton_model
        self.triton_conn_id = triton_conn_id
        self.version = version

    async def is_there(self) -> bool:
        """Ask all servers at once."""
        # Reading the connection blocks, so it is read in a thread; the hook keeps it.
        await asyncio.to_thread(lambda: self._hook.settings)
        return await self._hook.ready_everywhere(self.triton_model, self.version)

    @cached_property
    def _hook(self) -> TritonHook:
        from airflow_provider_mlfeat.hooks.triton import TritonHook

        return TritonHook(self.triton_conn_id)
