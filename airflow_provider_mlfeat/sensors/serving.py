"""Wait until a prediction server answers with a release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.hooks.arguments import number
from airflow_provider_mlfeat.sensors.waiting import WaitingSensor

if TYPE_CHECKING:
    from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class ServingReadySensor(WaitingSensor):
    """Wait until all workers of a prediction server answer with a service, and with at least a given release of it.

    A server that cannot be reached is waited for.

    XCom: ``service``, ``release``, ``deployment``, ``plan_id`` and ``model`` (name and version) of what answers.

    :param server: its address, such as ``http://127.0.0.1:8000``. (templated)
    :param service: which service. (templated)
    :param release: the least release; 0 is any. (templated)
    :param server_conn_id: connection whose password is the server's bearer token. (templated)
    """

    template_fields: Sequence[str] = ("server", "service", "release", "server_conn_id")
    ui_color = "#f7ecd9"

    def __init__(
        self,
        *,
        server: str,
        service: str = "default",
        release: int | str = 0,
        server_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.server = server
        self.service = service
        self.release = release
        self.server_conn_id = server_conn_id

    def look(self) -> dict[str, Any] | None:
        """Ask the server."""
        from airflow_provider_mlfeat.hooks.serving_releases import find_release

        return find_release(**self._arguments())

    def trigger(self, poll_interval: float, deadline: float) -> WaitingTrigger:
        """Asks the server too."""
        from airflow_provider_mlfeat.triggers.serving import ServingReadyTrigger

        return ServingReadyTrigger(**self._arguments(), poll_interval=poll_interval, deadline=deadline)

    def missing(self) -> str:
        """Which release."""
        what = f"release {self.release}" if self.release else "any release"
        return f"{self.server} does not answer with {what} of service '{self.service}'"

    def _arguments(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "service": self.service,
            "release": number(int, self.release, "release"),
            "server_conn_id": self.server_conn_id,
        }
