from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.jobs.directory import State
from airflow_provider_mlfeat.runtimes.process import ProcessRuntime
from airflow_provider_mlfeat.runtimes.runtime import Submission
from airflow_provider_mlfeat.runtimes.settings import Process
from airflow_provider_mlfeat.triggers.job import JobTrigger

RUNTIME = ProcessRuntime(Process())


def start(tmp_path: Path, **fields: Any) -> dict[str, Any]:
    return RUNTIME.submit(Submission("triggered", {"kind": "test_steps", "output": str(tmp_path / "out"), **fields}))


def trigger(handle: dict[str, Any], **arguments: Any) -> JobTrigger:
    return JobTrigger(Process().model_dump(mode="json"), handle, poll_interval=0.05, **arguments)


async def first_event(waiting: JobTrigger) -> Any:
    return (await anext(aiter(waiting.run()))).payload


def test_it_survives_serialisation(tmp_path: Path) -> None:
    original = trigger({"job_id": "x", "directory": "/x"}, deadline=5.0)
    path, arguments = original.serialize()
    assert path == "airflow_provider_mlfeat.triggers.job.JobTrigger"
    assert JobTrigger(**json.loads(json.dumps(arguments))).serialize() == original.serialize()


def test_it_fires_when_the_job_has_ended(tmp_path: Path) -> None:
    assert asyncio.run(first_event(trigger(start(tmp_path)))) == {"state": "succeeded"}


def test_it_fires_for_a_failed_job(tmp_path: Path) -> None:
    assert asyncio.run(first_event(trigger(start(tmp_path, fail="user")))) == {"state": "failed"}


def test_a_restarted_triggerer_goes_on_waiting_and_the_job_goes_on_working(tmp_path: Path) -> None:
    handle = start(tmp_path, steps=30, pause=0.05)

    async def restart() -> Any:
        waiting = asyncio.create_task(first_event(trigger(handle)))
        await asyncio.sleep(0.3)
        waiting.cancel()
        await trigger(handle).cleanup()
        return await first_event(trigger(handle))

    assert asyncio.run(restart()) == {"state": "succeeded"}


def test_its_deadline(tmp_path: Path) -> None:
    handle = start(tmp_path, steps=1000, pause=0.05)
    assert asyncio.run(first_event(trigger(handle, deadline=time.time() + 0.3))) == {"state": "timeout"}
    asyncio.run(trigger(handle).on_kill())


def test_a_persons_kill_reaches_the_job_unless_told_otherwise(tmp_path: Path) -> None:
    handle = start(tmp_path, steps=1000, pause=0.05)
    asyncio.run(trigger(handle, cancel_on_kill=False).on_kill())
    assert RUNTIME.state(handle) is State.RUNNING
    asyncio.run(trigger(handle).on_kill())
    assert RUNTIME.state(handle) is State.CANCELLED
