"""Wait until a prediction server answers with a release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.hooks.arguments import number

if TYPE_CHECKING:
    from airflow.sdk import Context


class ServingReadySensor(BaseSensorOperator):
    """Wait until a prediction server answers with a service, and with at least a given release of it.

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

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether the release answers."""
        from airflow_provider_mlfeat.errors import TransientError, UserError
        from airflow_provider_mlfeat.jobs.serving.server import ServerPlace

        wanted = number(int, self.release, "release")
        try:
            said = ServerPlace(urls=(self.server,)).ask(self.server, "GET", "/services", self._secrets())
        except TransientError as error:
            self.log.info("not yet: %s", error)
            return PokeReturnValue(False)
        except UserError as error:
            raise AirflowFailException(str(error)) from error
        found = next((one for one in said["services"] if one["service"] == self.service), None)
        if found is None or found["release"] < wanted:
            now = "no release" if found is None else f"release {found['release']}"
            self.log.info("not yet: service '%s' answers with %s", self.service, now)
            return PokeReturnValue(False)
        return PokeReturnValue(True, found)

    def _secrets(self) -> dict[str, str]:
        if self.server_conn_id is None:
            return {}
        from airflow.sdk import BaseHook

        from airflow_provider_mlfeat.jobs.serving.server import TOKEN_SECRET

        token = BaseHook.get_connection(self.server_conn_id).password
        return {TOKEN_SECRET: token} if token else {}
