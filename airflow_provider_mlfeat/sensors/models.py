"""Wait for a version of a registered model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.hooks.arguments import optional_number
from airflow_provider_mlfeat.sensors.waiting import WaitingSensor

if TYPE_CHECKING:
    from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class ModelVersionSensor(WaitingSensor):
    """Wait until an alias points to a version that is ready, and is another one than a given version.

    A model or alias that does not exist yet is waited for.

    XCom: ``model_name``, ``model_version`` (a number), ``model_uri``, ``model_fingerprint``, ``plan_id``, ``alias`` and
    ``version_url``.

    :param model_name: the registered model's name. (templated)
    :param alias: which alias; None waits for any new version. (templated)
    :param after: number of the version that is known already, for instance the one that is deployed; the sensor waits
        for another one, or without an alias for a newer one. None takes what is there. (templated)
    :param mlflow_conn_id: connection of type ``mlfeat_mlflow``. (templated)
    """

    template_fields: Sequence[str] = ("model_name", "alias", "after", "mlflow_conn_id")
    ui_color = "#f0e6f6"

    def __init__(
        self,
        *,
        model_name: str,
        alias: str | None = "champion",
        after: int | str | None = None,
        mlflow_conn_id: str = "mlfeat_mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.alias = alias
        self.after = after
        self.mlflow_conn_id = mlflow_conn_id

    def look(self) -> dict[str, Any] | None:
        """Look at the registry."""
        from airflow_provider_mlfeat.hooks.model_versions import find_model_version

        found = find_model_version(**self._arguments())
        if found is not None:
            self.log.info("'%s' is at version %d", self.model_name, found["model_version"])
        return found

    def trigger(self, poll_interval: float, deadline: float) -> WaitingTrigger:
        """Looks at the registry too."""
        from airflow_provider_mlfeat.triggers.models import ModelVersionTrigger

        return ModelVersionTrigger(**self._arguments(), poll_interval=poll_interval, deadline=deadline)

    def missing(self) -> str:
        """Which version."""
        wanted = f"alias '{self.alias}'" if self.alias else "new version"
        return f"model '{self.model_name}' has no {wanted} to wait for"

    def _arguments(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "alias": self.alias or "",
            "after": optional_number(int, self.after, "after") or 0,
            "mlflow_conn_id": self.mlflow_conn_id,
        }
