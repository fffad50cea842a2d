"""What all sensors share: when they fail, skip, defer, and how long they wait."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.sensors.waiting import WaitingSensor
from airflow_provider_mlfeat.triggers.waiting import WaitingTrigger

FOUND = {"thing": 1}


class ThingTrigger(WaitingTrigger):
    """Waits for the answers that it is given to end in a true one."""

    arguments = ("answers",)

    def __init__(self, answers: list[Any], *, poll_interval: float = 0.01, deadline: float | None = None) -> None:
        super().__init__(poll_interval=poll_interval, deadline=deadline)
        self.answers = answers
        self.looks: list[float] = []

    async def is_there(self) -> bool:
        self.looks.append(time.time())
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)


class ThingSensor(WaitingSensor):
    """Finds the answers that it is given, one a look."""

    def __init__(self, *, answers: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.answers = answers

    def look(self) -> dict[str, Any] | None:
        answer: dict[str, Any] | Exception | None = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def trigger(self, poll_interval: float, deadline: float) -> WaitingTrigger:
        return ThingTrigger([], poll_interval=poll_interval, deadline=deadline)

    def missing(self) -> str:
        return "there is no thing"


def sensor(*answers: Any, **arguments: Any) -> ThingSensor:
    return ThingSensor(task_id="wait", answers=list(answers), **{"timeout": 60, "poke_interval": 3, **arguments})


def deferred(call: Any, *arguments: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        call(*arguments)
    return caught.value


def test_a_look_tells_a_mistake_from_a_service_that_is_away() -> None:
    waiting = sensor(TransientError("away"), None, FOUND, UserError("no such name"))
    assert [waiting.poke({}).is_done for _ in range(2)] == [False, False]
    assert waiting.poke({}).xcom_value == FOUND
    with pytest.raises(AirflowFailException, match="no such name"):
        waiting.poke({})


def test_a_mistake_at_the_first_look_is_skipped_as_airflow_skips_it() -> None:
    for flag in ("soft_fail", "never_fail"):
        for deferrable in (False, True):
            with pytest.raises(AirflowSkipException):
                sensor(UserError("wrong"), deferrable=deferrable, **{flag: True}).execute({})
    with pytest.raises(AirflowFailException, match="wrong"):
        sensor(UserError("wrong"), deferrable=True).execute({})


def test_what_is_there_needs_no_deferral() -> None:
    assert sensor(FOUND, deferrable=True).execute({}) == FOUND


def test_what_is_gone_again_is_waited_for_in_the_time_that_is_left() -> None:
    first = deferred(sensor(deferrable=True).execute, {})
    assert first.method_name == "execute_complete"
    deadline = first.kwargs["deadline"]
    assert 58 < deadline - time.time() <= 60
    assert first.trigger.serialize()[1] == {"answers": [], "poll_interval": 3, "deadline": deadline}
    again = deferred(sensor().execute_complete, {}, {"state": "found"}, deadline)
    assert again.kwargs == first.kwargs
    assert again.trigger.serialize() == first.trigger.serialize()


def test_the_end_of_waiting() -> None:
    assert sensor(FOUND).execute_complete({}, {"state": "timeout"}) == FOUND
    with pytest.raises(AirflowSensorTimeout, match="^there is no thing within 60 s$"):
        sensor().execute_complete({}, {"state": "timeout"})
    with pytest.raises(AirflowSkipException, match="^there is no thing within 60 s$"):
        sensor(soft_fail=True).execute_complete({}, {"state": "timeout"})
    with pytest.raises(AirflowFailException, match="a mistake"):
        sensor().execute_complete({}, {"state": "failed", "message": "a mistake"})
    for event in ({}, {"state": "success"}, None):
        with pytest.raises(RuntimeError, match="none of ours"):
            sensor().execute_complete({}, event)  # type: ignore[arg-type]


def first_event(trigger: WaitingTrigger) -> dict[str, Any]:
    async def wait() -> Any:
        return await asyncio.wait_for(anext(trigger.run()), 30)

    payload: dict[str, Any] = asyncio.run(wait()).payload
    return payload


def test_the_trigger_waits_out_what_passes() -> None:
    trigger = ThingTrigger([False, TransientError("away"), True])
    assert first_event(trigger) == {"state": "found"}
    assert len(trigger.looks) == 3
    assert first_event(ThingTrigger([UserError("no such name")])) == {"state": "failed", "message": "no such name"}


def test_the_last_look_is_at_the_deadline_however_long_the_interval_is() -> None:
    deadline = time.time() + 0.3
    trigger = ThingTrigger([], poll_interval=3600, deadline=deadline)
    assert first_event(trigger) == {"state": "timeout"}
    assert len(trigger.looks) == 2
    assert deadline - 0.01 <= trigger.looks[-1] < deadline + 5
    assert first_event(ThingTrigger([True], deadline=1)) == {"state": "found"}
