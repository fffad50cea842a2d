from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_mlfeat.errors import CancelledError, JobLostError, TransientError
from airflow_provider_mlfeat.jobs.directory import State
from airflow_provider_mlfeat.operators.job import JobOperator, RunJobOperator
from airflow_provider_mlfeat.runtimes.process import ProcessRuntime
from airflow_provider_mlfeat.runtimes.settings import Process
from airflow_provider_mlfeat.triggers.job import JobTrigger
from tests.places import JOB_IMAGE, JOB_KINDS


def operator(tmp_path: Path, *, fields: dict[str, Any] | None = None, **arguments: Any) -> RunJobOperator:
    spec = {"kind": "test_steps", "output": str(tmp_path / "out"), **(fields or {})}
    return RunJobOperator(task_id="task", spec=spec, poll_interval=0.05, **arguments)


def starts(tmp_path: Path) -> int:
    path = tmp_path / "out.starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def execute_until_cancelled(task: RunJobOperator, context: Any) -> threading.Thread:
    def execute() -> None:
        with pytest.raises(CancelledError):
            task.execute(context)

    thread = threading.Thread(target=execute)
    thread.start()
    return thread


@pytest.mark.parametrize("runtime", ["in_process", "process"])
def test_the_result_contract_is_the_same_in_every_runtime(tmp_path: Path, context: Any, runtime: str) -> None:
    result = operator(tmp_path, runtime=runtime).execute(context)
    assert json.loads(json.dumps(result)) == result
    assert result["artifacts"] == {"count": str(tmp_path / "out")}
    assert (result["kind"], result["steps"], result["cached"]) == ("test_steps", 3, False)
    assert set(result) == {
        *("kind", "job_id", "fingerprint", "cached", "seconds", "artifacts", "steps", "process", "secret_digest")
    }


def test_a_container_is_reached_through_the_docker_provider(tmp_path: Path, context: Any, docker_client: Any) -> None:
    runtime = {
        "kind": "container",
        "image": JOB_IMAGE,
        "mounts": [{"source": str(tmp_path)}, {"source": str(JOB_KINDS), "read_only": True}],
        "environment": {"PYTHONPATH": f"/opt/mlfeat:{JOB_KINDS}"},
    }
    result = operator(tmp_path, runtime=runtime).execute(context)
    assert (result["steps"], result["artifacts"]) == (3, {"count": str(tmp_path / "out")})
    assert docker_client.containers(all=True, filters={"label": f"mlfeat.job={result['job_id']}"}) == []


def test_outlets_get_version_and_fingerprint(tmp_path: Path, context: Any) -> None:
    asset = Asset("counted")
    result = operator(tmp_path, runtime="in_process", outlets=[asset]).execute(context)
    extra = context["outlet_events"][asset].extra
    assert extra["fingerprint"] == result["fingerprint"]
    assert extra["steps"] == 3
    assert "artifacts" not in extra


def test_the_link_is_pushed_before_the_job_ends(tmp_path: Path, context: Any) -> None:
    task = operator(tmp_path, fields={"steps": 1000, "pause": 0.05})
    thread = execute_until_cancelled(task, context)
    wait_until(lambda: "_link_JobLink" in context["ti"].pushed)
    url = context["ti"].pushed["_link_JobLink"]
    task.on_kill()
    thread.join()
    assert url.endswith(f"/mlfeat/dags/tests/jobs/{context['task_state_store'].values['mlfeat_job']['job_id']}")
    assert JobOperator.operator_extra_links[0].get_link(task, ti_key=None) == url  # type: ignore[arg-type]


def test_a_users_mistake_fails_without_retry(tmp_path: Path, context: Any) -> None:
    for runtime in ("in_process", "process"):
        with pytest.raises(AirflowFailException, match="column 'age' does not exist"):
            operator(tmp_path, fields={"fail": "user"}, runtime=runtime).execute(context)
    with pytest.raises(AirflowFailException, match="unknown field 'stepz'; did you mean 'steps'"):
        operator(tmp_path, fields={"stepz": 1}).execute(context)
    with pytest.raises(AirflowFailException, match="unknown runtime 'dokcer'"):
        operator(tmp_path, runtime="dokcer").execute(context)


def test_transient_and_lost_jobs_may_be_retried(tmp_path: Path, context: Any) -> None:
    with pytest.raises(TransientError):
        operator(tmp_path, fields={"fail": "transient"}).execute(context)
    with pytest.raises(JobLostError):
        operator(tmp_path, fields={"fail": "killed"}).execute(context)


def test_a_later_try_finds_the_running_job(tmp_path: Path, context: Any) -> None:
    fields = {"steps": 40, "pause": 0.05}
    first = operator(tmp_path, fields=fields)
    handle = first.submit_job(context)
    context["task_state_store"].set("mlfeat_job", handle)
    result = operator(tmp_path, fields=fields).execute(context)
    assert result["steps"] == 40
    assert starts(tmp_path) == 1


def test_a_try_that_died_before_it_stored_the_job_finds_it_too(tmp_path: Path, context: Any) -> None:
    fields = {"steps": 40, "pause": 0.05}
    operator(tmp_path, fields=fields).submit_job(context)
    assert operator(tmp_path, fields=fields).execute(context)["steps"] == 40
    assert starts(tmp_path) == 1


def test_a_result_that_nobody_fetched_is_fetched(tmp_path: Path, context: Any) -> None:
    first = operator(tmp_path)
    handle = first.submit_job(context)
    context["task_state_store"].set("mlfeat_job", handle)
    wait_until(lambda: ProcessRuntime(Process()).state(handle) is State.SUCCEEDED)
    assert operator(tmp_path).execute(context)["steps"] == 3
    assert starts(tmp_path) == 1


def test_clearing_a_finished_task_asks_for_the_work_anew(tmp_path: Path, context: Any) -> None:
    data = tmp_path / "data"
    data.write_text("1")
    fields = {"read": str(data)}
    first = operator(tmp_path, fields=fields).execute(context)
    unchanged = operator(tmp_path, fields=fields).execute(context)
    data.write_text("2")
    changed = operator(tmp_path, fields=fields).execute(context)
    assert [first["cached"], unchanged["cached"], changed["cached"]] == [False, True, False]
    assert starts(tmp_path) == 2


def test_other_templates_cancel_the_job_of_the_old_ones(tmp_path: Path, context: Any) -> None:
    old = operator(tmp_path, fields={"steps": 1000, "pause": 0.05})
    handle = old.submit_job(context)
    context["task_state_store"].set("mlfeat_job", handle)
    assert operator(tmp_path, fields={"steps": 2}).execute(context)["steps"] == 2
    assert ProcessRuntime(Process()).state(handle) is State.CANCELLED


@pytest.mark.parametrize("runtime", ["in_process", "process"])
def test_killing_the_task_kills_the_job(tmp_path: Path, context: Any, runtime: str) -> None:
    task = operator(tmp_path, fields={"steps": 1000, "pause": 0.05}, runtime=runtime)
    # As Airflow does it: a signal handler that calls on_kill while execute goes on.
    signal.signal(signal.SIGUSR1, lambda *_: task.on_kill())
    waiter = threading.Thread(
        target=lambda: (wait_until(lambda: starts(tmp_path)), os.kill(os.getpid(), signal.SIGUSR1))
    )
    waiter.start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        task.execute(context)
    waiter.join()
    assert time.monotonic() - began < 10
    assert not (tmp_path / "out").exists()


def test_a_job_may_outlive_a_killed_task(tmp_path: Path, context: Any) -> None:
    fields = {"steps": 40, "pause": 0.05}
    task = operator(tmp_path, fields=fields, cancel_on_kill=False)
    thread = execute_until_cancelled(task, context)
    wait_until(lambda: starts(tmp_path))
    task.on_kill()
    thread.join()
    assert operator(tmp_path, fields=fields, cancel_on_kill=False).execute(context)["steps"] == 40
    assert starts(tmp_path) == 1


def test_progress_goes_to_the_state_store(tmp_path: Path, context: Any) -> None:
    operator(tmp_path).execute(context)
    assert context["task_state_store"].values["progress"]["stage"] == "count"


def test_deferring_hands_the_job_over_once(tmp_path: Path, context: Any) -> None:
    fields = {"steps": 20, "pause": 0.05}
    task = operator(tmp_path, fields=fields, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    with pytest.raises(TaskDeferred) as again:
        operator(tmp_path, fields=fields, deferrable=True).execute(context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, JobTrigger)
    assert again.value.trigger.serialize() == trigger.serialize()
    handle = deferred.value.kwargs["handle"]
    wait_until(lambda: ProcessRuntime(Process()).state(handle).is_final)
    resumed = operator(tmp_path, fields=fields, deferrable=True)
    result = resumed.execute_complete(context, {"state": "succeeded"}, handle)
    assert result["steps"] == 20
    assert starts(tmp_path) == 1
    assert context["ti"].pushed["_link_JobLink"]


def test_an_event_is_not_believed(tmp_path: Path, context: Any) -> None:
    task = operator(tmp_path, fields={"fail": "bug"}, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    handle = deferred.value.kwargs["handle"]
    with pytest.raises(Exception, match="ZeroDivisionError"):
        task.execute_complete(context, {"state": "succeeded"}, handle)
    with pytest.raises(RuntimeError, match="none of ours"):
        task.execute_complete(context, {}, handle)


def test_a_deferred_job_has_a_deadline(tmp_path: Path, context: Any) -> None:
    from datetime import timedelta

    task = operator(
        tmp_path,
        fields={"steps": 1000, "pause": 0.05},
        deferrable=True,
        execution_timeout=timedelta(seconds=60),
    )
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    handle = deferred.value.kwargs["handle"]
    with pytest.raises(TimeoutError, match="did not end within 0:01:00"):
        task.execute_complete(context, {"state": "timeout"}, handle)
    assert ProcessRuntime(Process()).state(handle) is State.CANCELLED


def test_deferring_needs_a_runtime_that_outlives_the_task(tmp_path: Path, context: Any) -> None:
    with pytest.raises(AirflowFailException, match="deferrable=True needs a runtime that outlives the task"):
        operator(tmp_path, runtime="in_process", deferrable=True).execute(context)


def test_templates_render_in_spec_and_runtime(tmp_path: Path) -> None:
    task = RunJobOperator(
        task_id="task",
        spec={"kind": "test_steps", "output": "{{ folder }}/out"},
        runtime={"kind": "process", "python": "{{ python }}"},
    )
    task.render_template_fields({"folder": "/data", "python": "/opt/python"})  # type: ignore[arg-type]
    assert task.spec["output"] == "/data/out"
    assert task.runtime == {"kind": "process", "python": "/opt/python"}
