"""Waiting for a release of a prediction server, as a task and in the triggerer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_mlfeat.jobs.serving.server import TOKEN_SECRET, ServerPlace
from airflow_provider_mlfeat.sensors.serving import ServingReadySensor
from airflow_provider_mlfeat.triggers.serving import ServingReadyTrigger

SERVER = "http://127.0.0.1:1"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the server answers, one a call; the last one for ever. What it was sent comes behind."""
    said: list[Any] = []

    def ask(place: ServerPlace, url: str, method: str, path: str, secrets: dict[str, str]) -> Any:
        assert (url, method, path) == (SERVER, "GET", "/services")
        assert secrets == {TOKEN_SECRET: "t0ken"}
        return said.pop(0) if len(said) > 1 else said[0]

    monkeypatch.setattr(ServerPlace, "ask", ask)
    monkeypatch.setenv("AIRFLOW_CONN_SERVER", json.dumps({"conn_type": "http", "password": "t0ken"}))
    return said


def release(number: int, *others: int) -> dict[str, Any]:
    """The answer of a worker with a release; the others of its server may have other ones."""
    workers = [{"process": one, "releases": {"default": one}, "failures": {}} for one in (number, *others)]
    return {"services": [{"service": "default", "release": number}], "failures": {}, "workers": workers}


def sensor(**arguments: Any) -> ServingReadySensor:
    return ServingReadySensor(task_id="ready", server=SERVER, server_conn_id="server", **arguments)


def test_it_defers_until_the_release_answers(answers: list[Any]) -> None:
    answers += [release(1), release(1), {"services": [], "workers": []}, release(2)]
    with pytest.raises(TaskDeferred) as caught:
        sensor(release="2", deferrable=True, timeout=60, poke_interval=0.01).execute({})
    path, arguments = caught.value.trigger.serialize()
    assert path == "airflow_provider_mlfeat.triggers.serving.ServingReadyTrigger"
    assert "t0ken" not in json.dumps(arguments)
    trigger = ServingReadyTrigger(**arguments)
    assert trigger.serialize() == (path, arguments)

    async def wait() -> Any:
        return await asyncio.wait_for(anext(trigger.run()), 30)

    assert asyncio.run(wait()).payload == {"state": "found"}
    assert sensor(release=2).execute_complete({}, {"state": "found"}) == release(2)["services"][0]


def test_the_time_is_up(answers: list[Any]) -> None:
    answers.append(release(1))
    with pytest.raises(
        AirflowSensorTimeout, match=f"{SERVER} does not answer with release 2 of service 'default' within"
    ):
        sensor(release=2).execute_complete({}, {"state": "timeout"})


def test_all_workers_have_to_answer_with_it(answers: list[Any]) -> None:
    fresh = release(2)
    fresh["workers"].append({"process": 3, "releases": {}, "failures": {"default": "no memory"}})
    answers += [release(2, 1), fresh, release(2, 3, 2)]
    assert not sensor(release=2).poke({})
    assert not sensor().poke({})
    assert sensor(release=2).poke({}).xcom_value == {"service": "default", "release": 2}


def test_mistakes_fail_at_once(answers: list[Any]) -> None:
    answers.append(["not", "ours"])
    with pytest.raises(
        AirflowFailException, match="is no prediction server: its /services names no services and workers"
    ):
        sensor().poke({})
    with pytest.raises(AirflowFailException, match="release takes a number, not 'two'"):
        sensor(release="two").poke({})
