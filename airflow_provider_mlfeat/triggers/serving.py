"""Wait for a release of a prediction server in the triggerer."""

from __future__ import annotations

import asyncio

from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class ServingReadyTrigger(WaitingTrigger):
    """Fires when a prediction server answers with a release, or when the time is up.

    :param server: its address.
    :param service: which service.
    :param release: the least release.
    :param server_conn_id: connection whose password is the server's bearer token.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch at which waiting ends; None is never.
    """

    arguments = ("server", "service", "release", "server_conn_id")

    def __init__(
        self,
        server: str,
        *,
        service: str = "default",
        release: int = 0,
        server_conn_id: str | None = None,
        poll_interval: float = 5.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(poll_interval=poll_interval, deadline=deadline)
        self.server = server
        self.service = service
        self.release = release
        self.server_conn_id = server_conn_id

    async def is_there(self) -> bool:
        """Ask the server."""
        from airflow_provider_mlfeat.hooks.serving_releases import find_release

        found = await asyncio.to_thread(find_release, self.server, self.service, self.release, self.server_conn_id)
        return found is not None
