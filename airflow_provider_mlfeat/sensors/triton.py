"""Wait for a model on Triton servers."""

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


class TritonModelReadySensor(BaseSensorOperator):
    """Wait until all servers of a connection hold a model, or one version of it, ready to be asked.

    A server that is away is waited for.

    XCom: ``triton_model`` and ``servers`` (address → versions that are ready).

    :param triton_model: the model's name in Triton. (templated)
    :param version: the version to wait for; None is any. (templated)
    :param triton_conn_id: connection of type ``mlfeat_triton``. (templated)
    :param deferrable: wait in the triggerer, without a worker slot.
    """

    template_fields: Sequence[str] = ("triton_model", "version", "triton_conn_id")
    ui_color = "#e3f0dc"

    def __init__(
        self,
        *,
        triton_model: str,
        version: int | str | None = None,
        triton_conn_id: str = "mlfeat_triton_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.triton_model = triton_model
        self.version = version
        self.triton_conn_id = triton_conn_id
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
        """Back from the triggerer: ask the servers themselves, whatever the event says."""
        state = event.get("state") if isinstance(event, dict) else None
        if state == "failed":
            raise AirflowFailException(event["message"])
        if state not in ("found", "timeout"):
            raise RuntimeError(f"the trigger sent an event that is none of ours: {event!r}")
        found = self._find()
        if found is not None:
            return found
        if state == "found":
            # It was ready and is no longer, for instance because a server restarted.
            self._defer()
        what = "no version" if self.version is None else f"not version {self.version}"
        message = f"the servers hold {what} of '{self.triton_model}' ready within {self.timeout:.0f} s"
        raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(message)

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether the model is ready everywhere."""
        found = self._find()
        return PokeReturnValue(found is not None, found)

    def _find(self) -> dict[str, Any] | None:
        from airflow_provider_mlfeat.errors import TransientError, UserError
        from airflow_provider_mlfeat.hooks.triton import TritonHook

        try:
            version = optional_number(int, self.version, "version")
            held = TritonHook(self.triton_conn_id).ready_versions(self.triton_model)
        except UserError as error:
            raise AirflowFailException(str(error)) from error
        except TransientError as error:
            self.log.warning("looking again later: %s", error)
            return None
        if not all(versions if version is None else version in versions for versions in held.values()):
            return None
        self.log.info("'%s' is ready: %s", self.triton_model, held)
        return {"triton_model": self.triton_model, "servers": held}

    def _defer(self) -> NoReturn:
        from airflow_provider_mlfeat.triggers.triton import TritonModelReadyTrigger

        trigger = TritonModelReadyTrigger(
            self.triton_model,
            self.triton_conn_id,
            version=optional_number(int, self.version, "version"),
            poll_interval=self.poke_interval,
            deadline=time.time() + self.timeout,
        )
        self.defer(trigger=trigger, method_name="execute_complete")
        raise AssertionError("defer returned")
