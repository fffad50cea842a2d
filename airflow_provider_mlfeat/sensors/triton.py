"""Wait for a model on Triton servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.hooks.arguments import optional_number
from airflow_provider_mlfeat.sensors.waiting import WaitingSensor

if TYPE_CHECKING:
    from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class TritonModelReadySensor(WaitingSensor):
    """Wait until all servers of a connection hold a model, or one version of it, ready to be asked.

    A server that is away is waited for.

    XCom: ``triton_model`` and ``servers`` (address → versions that are ready).

    :param triton_model: the model's name in Triton. (templated)
    :param version: the version to wait for; None is any. (templated)
    :param triton_conn_id: connection of type ``mlfeat_triton``. (templated)
    """

    template_fields: Sequence[str] = ("triton_model", "version", "triton_conn_id")
    ui_color = "#e3f0dc"

    def __init__(
        self,
        *,
        triton_model: str,
        version: int | str | None = None,
        triton_conn_id: str = "mlfeat_triton_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.triton_model = triton_model
        self.version = version
        self.triton_conn_id = triton_conn_id

    def look(self) -> dict[str, Any] | None:
        """Ask all servers."""
        from airflow_provider_mlfeat.hooks.triton import TritonHook

        version = self._version()
        held = TritonHook(self.triton_conn_id).ready_versions(self.triton_model)
        if not all(versions if version is None else version in versions for versions in held.values()):
            return None
        self.log.info("'%s' is ready: %s", self.triton_model, held)
        return {"triton_model": self.triton_model, "servers": held}

    def trigger(self, poll_interval: float, deadline: float) -> WaitingTrigger:
        """Asks the servers too."""
        from airflow_provider_mlfeat.triggers.triton import TritonModelReadyTrigger

        return TritonModelReadyTrigger(
            self.triton_model,
            self.triton_conn_id,
            version=self._version(),
            poll_interval=poll_interval,
            deadline=deadline,
        )

    def missing(self) -> str:
        """Which version."""
        what = "no version" if self.version is None else f"not version {self.version}"
        return f"the servers hold {what} of '{self.triton_model}' ready"

    def _version(self) -> int | None:
        return optional_number(int, self.version, "version")
