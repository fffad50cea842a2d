"""Wait in the triggerer until a look finds something."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent


class WaitingTrigger(BaseTrigger):
    """Looks again and again; fires when there is something, when the time is up, or when waiting cannot help.

    Its event says which: ``found``, ``timeout``, or ``failed`` with a ``message``. What was found is no part of it: the
    task looks itself.

    Credentials are no arguments: a trigger stands in Airflow's database, and looks its connection up itself.

    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    """

    # The arguments of the concrete trigger, which keeps each as an attribute of the same name.
    arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, poll_interval: float, deadline: float | None) -> None:
        super().__init__()
        self.poll_interval = poll_interval
        self.deadline = deadline

    @abstractmethod
    async def is_there(self) -> bool:
        """Look once. A UserError ends the waiting with its sentence, a TransientError is waited out."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        names = (*self.arguments, "poll_interval", "deadline")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an event; the last look is at the deadline."""
        from airflow_provider_mlfeat.errors import TransientError, UserError

        while True:
            left = self.poll_interval if self.deadline is None else self.deadline - time.time()
            try:
                found = await self.is_there()
            except TransientError as error:
                self.log.warning("looking again later: %s", error)
                found = False
            except UserError as error:
                yield TriggerEvent({"state": "failed", "message": str(error)})
                return
            if found:
                yield TriggerEvent({"state": "found"})
                return
            if self.deadline is not None and left <= 0:
                yield TriggerEvent({"state": "timeout"})
                return
            await asyncio.sleep(min(self.poll_interval, left))
