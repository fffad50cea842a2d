"""Wait for a version of a registered model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_mlfeat.hooks.arguments import optional_number

if TYPE_CHECKING:
    from airflow.sdk import Context


class ModelVersionSensor(BaseSensorOperator):
    """Wait until an alias points to a version that is ready, and is another one than a given version.

    A model or alias that does not exist yet is waited for.

    XCom: ``model_name``, ``model_version`` (a number), ``model_uri``, ``model_fingerprint``, ``plan_id``, ``alias`` and
    ``version_url``.

    :param model_name: the registered model's name. (templated)
    :param alias: which alias; None waits for any new version. (templated)
    :param after: number of the version that is known already, for instance the one that is deployed; the sensor waits
        for another one, or without an alias for a newer one. None takes what is there. (templated)
    :param mlflow_conn_id: connection of type ``mlfeat_mlflow``. (templated)
    :param deferrable: wait in the triggerer, without a worker slot.
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
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.alias = alias
        self.after = after
        self.mlflow_conn_id = mlflow_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once, then wait in the triggerer; without `deferrable` wait as all sensors do."""
        if not self.deferrable:
            return super().execute(context)
        found = self._find()
        if found is None:
            self._defer()
        return found

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Back from the triggerer: look at the registry itself, whatever the event says."""
        state = event.get("state") if isinstance(event, dict) else None
        if state == "failed":
            raise AirflowFailException(event["message"])
        if state not in ("found", "timeout"):
            raise RuntimeError(f"the trigger sent an event that is none of ours: {event!r}")
        found = self._find()
        if found is not None:
            return found
        if state == "found":
            # It was there and has moved on again.
            self._defer()
        wanted = f"alias '{self.alias}'" if self.alias else "new version"
        message = f"model '{self.model_name}' has no {wanted} to wait for within {self.timeout:.0f} s"
        raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(message)

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether the version is there."""
        found = self._find()
        return PokeReturnValue(found is not None, found)

    def _arguments(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "alias": self.alias or "",
            "after": optional_number(int, self.after, "after") or 0,
            "mlflow_conn_id": self.mlflow_conn_id,
        }

    def _find(self) -> dict[str, Any] | None:
        from airflow_provider_mlfeat.errors import TransientError, UserError
        from airflow_provider_mlfeat.hooks.model_versions import find_model_version

        try:
            found = find_model_version(**self._arguments())
        except TransientError as error:
            self.log.warning("looking again later: %s", error)
            return None
        except UserError as error:
            raise AirflowFailException(str(error)) from error
        if found is not None:
            self.log.info("'%s' is at version %d", self.model_name, found["model_version"])
        return found

    def _defer(self) -> NoReturn:
        from airflow_provider_mlfeat.triggers.models import ModelVersionTrigger

        deadline = time.time() + self.timeout
        self.defer(
            trigger=ModelVersionTrigger(**self._arguments(), poll_interval=self.poke_interval, deadline=deadline),
            method_name="execute_complete",
        )
        raise AssertionError("defer returned")
