"""Wait until a look finds something: as a task, or in the triggerer."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger


class WaitingSensor(BaseSensorOperator):
    """What the sensors of this provider share: subclasses say how to look, with which trigger, and what was missing.

    A user's mistake fails the task at once; a service that is away is waited for.

    :param deferrable: wait in the triggerer, without a worker slot.
    """

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable

    # ── what subclasses say ──────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def look(self) -> dict[str, Any] | None:
        """Look once: what goes into XCom, or None when it is not there yet."""

    @abstractmethod
    def trigger(self, poll_interval: float, deadline: float) -> WaitingTrigger:
        """The trigger that looks for the same."""

    @abstractmethod
    def missing(self) -> str:
        """What is not there, as the beginning of a sentence that ends with the time."""

    # ── Airflow's side ───────────────────────────────────────────────────────────────────────────────────────────────

    def execute(self, context: Context) -> Any:
        """Look once, then wait in the triggerer; without `deferrable` wait as all sensors do."""
        if not self.deferrable:
            return super().execute(context)
        try:
            found = self._look()
        except AirflowFailException as error:
            # Airflow does the same for a look of a sensor that does not defer, and after a deferral.
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        if found is None:
            self._defer(time.time() + self.timeout)
        return found

    def execute_complete(self, context: Context, event: dict[str, Any], deadline: float | None = None) -> Any:
        """Back from the triggerer: look again, whatever the event says."""
        state = event.get("state") if isinstance(event, dict) else None
        if state == "failed":
            raise AirflowFailException(event["message"])
        if state not in ("found", "timeout"):
            raise RuntimeError(f"the trigger sent an event that is none of ours: {event!r}")
        found = self._look()
        if found is not None:
            return found
        if state == "found":
            # It was there and is gone again. Only the time that is left is waited for.
            self._defer(time.time() + self.timeout if deadline is None else deadline)
        message = f"{self.missing()} within {self.timeout:.0f} s"
        raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(message)

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether it is there."""
        found = self._look()
        return PokeReturnValue(found is not None, found)

    def _look(self) -> dict[str, Any] | None:
        from airflow_provider_mlfeat.errors import TransientError, UserError

        try:
            return self.look()
        except TransientError as error:
            self.log.warning("looking again later: %s", error)
            return None
        except UserError as error:
            raise AirflowFailException(str(error)) from error

    def _defer(self, deadline: float) -> NoReturn:
        self.defer(
            trigger=self.trigger(self.poke_interval, deadline),
            method_name="execute_complete",
            kwargs={"deadline": deadline},
        )
        raise AssertionError("defer returned")
