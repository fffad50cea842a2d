"""Waiting for a version of a table, as a task and in the triggerer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.sensors.tables import TableVersionSensor
from airflow_provider_mlfeat.triggers.tables import TableVersionTrigger


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "tables")


def fill(root: str, rows: int) -> None:
    values = ", ".join(f"({number})" for number in range(rows))
    sql = f"CREATE TABLE IF NOT EXISTS t (id int); INSERT INTO t VALUES {values};"
    run(parse_spec({"kind": "run_script", "root": root, "sql": sql}))


def sensor(root: str, **arguments: Any) -> TableVersionSensor:
    return TableVersionSensor(task_id="wait", table="t", root=root, **arguments)


def test_a_version_that_is_there(root: str) -> None:
    assert not sensor(root).poke({}).is_done
    fill(root, 2)
    found = sensor(root, version="1", min_rows=2).poke({})
    assert found.is_done
    assert (found.xcom_value["table"], found.xcom_value["table_version"], found.xcom_value["rows"]) == ("t", 1, 2)
    assert not sensor(root, version=2).poke({}).is_done
    assert not sensor(root, min_rows=3).poke({}).is_done


def test_a_mistake_fails_at_once(root: str) -> None:
    with pytest.raises(AirflowFailException, match="'a/b' cannot name a table"):
        TableVersionSensor(task_id="wait", table="a/b", root=root).poke({})


def test_it_defers_only_when_it_has_to_wait(root: str) -> None:
    fill(root, 1)
    assert sensor(root, deferrable=True).execute({})["rows"] == 1
    with pytest.raises(TaskDeferred) as caught:
        sensor(root, version=2, deferrable=True, timeout=60).execute({})
    path, arguments = caught.value.trigger.serialize()
    assert path == "airflow_provider_mlfeat.triggers.tables.TableVersionTrigger"
    assert TableVersionTrigger(**arguments).serialize() == (path, arguments)
    assert arguments["version"] == 2
    assert 0 < arguments["deadline"] - time.time() <= 60


def test_the_trigger_fires_when_the_version_comes(root: str) -> None:
    async def wait() -> dict[str, Any]:
        trigger = TableVersionTrigger(root, "t", version=1, poll_interval=0.05)
        events = trigger.run()
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.2)
        assert not first.done()
        await asyncio.to_thread(fill, root, 1)
        payload: dict[str, Any] = (await asyncio.wait_for(first, 30)).payload
        return payload

    assert asyncio.run(wait()) == {"state": "found"}
    assert sensor(root).execute_complete({}, {"state": "found"})["table_version"] == 1


@pytest.mark.parametrize(("table", "state"), [("t", "timeout"), ("a/b", "failed")])
def test_the_trigger_ends(root: str, table: str, state: str) -> None:
    async def first() -> dict[str, Any]:
        trigger = TableVersionTrigger(root, table, poll_interval=0.01, deadline=time.time() + 0.05)
        payload: dict[str, Any] = (await asyncio.wait_for(anext(trigger.run()), 30)).payload
        return payload

    assert asyncio.run(first())["state"] == state


def test_back_from_the_triggerer(root: str) -> None:
    with pytest.raises(AirflowSensorTimeout, match="'t' has no version 1 with 0 rows"):
        sensor(root).execute_complete({}, {"state": "timeout"})
    with pytest.raises(AirflowSkipException):
        sensor(root, soft_fail=True).execute_complete({}, {"state": "timeout"})
    with pytest.raises(TaskDeferred):
        sensor(root).execute_complete({}, {"state": "found"})
    with pytest.raises(AirflowFailException, match="no such thing"):
        sensor(root).execute_complete({}, {"state": "failed", "message": "no such thing"})
    with pytest.raises(RuntimeError, match="none of ours"):
        sensor(root).execute_complete({}, {})
