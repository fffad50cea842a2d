"""The promises that only Airflow itself can prove: lost workers, killed tasks, live links, forms."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from local_airflow import LocalAirflow

pytestmark = pytest.mark.live
TASK = "count"


def wait_for(what: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.5)
    return value


def start(api: httpx.Client, dag_id: str) -> str:
    wait_for(lambda: api.get(f"/api/v2/dags/{dag_id}").status_code == 200)
    api.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
    run = api.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None}).raise_for_status()
    return str(run.json()["dag_run_id"])


def task(api: httpx.Client, dag_id: str, run_id: str, suffix: str = "") -> Any:
    return api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{TASK}{suffix}").raise_for_status().json()


def wait_for_state(api: httpx.Client, dag_id: str, run_id: str, *states: str, seconds: float = 120) -> Any:
    def reached() -> Any:
        instance = task(api, dag_id, run_id)
        return instance if instance["state"] in states else None

    return wait_for(reached, seconds)


def started_jobs(output: Path, dag_id: str) -> list[int]:
    path = output / f"{dag_id}.starts"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_retry_finds_the_job_of_a_worker_that_was_killed(api: httpx.Client, output: Path) -> None:
    run_id = start(api, "worker_loss")
    job = wait_for(lambda: started_jobs(output, "worker_loss"))[0]
    wait_for(lambda: task(api, "worker_loss", run_id, "/links")["extra_links"].get("Job"))
    runner = parent_of(job)
    supervisor = parent_of(runner)
    # The task's process and the worker that watches it, as if the machine had lost them; the job is not touched.
    os.kill(supervisor, signal.SIGKILL)
    os.kill(runner, signal.SIGKILL)
    assert is_alive(job)
    instance = wait_for_state(api, "worker_loss", run_id, "success", "failed", seconds=180)
    assert (instance["state"], instance["try_number"]) == ("success", 2)
    assert started_jobs(output, "worker_loss") == [job]
    result = task(api, "worker_loss", run_id, "/xcomEntries/return_value")["value"]
    assert result["process"] == job
    assert set(result["artifacts"]) == {"count"}


def test_marking_a_deferred_task_failed_kills_its_job(api: httpx.Client, output: Path) -> None:
    run_id = start(api, "deferred")
    wait_for_state(api, "deferred", run_id, "deferred")
    wait_for(lambda: task(api, "deferred", run_id).get("triggerer_job"))
    job = wait_for(lambda: started_jobs(output, "deferred"))[0]
    assert is_alive(job)
    answer = api.patch(f"/api/v2/dags/deferred/dagRuns/{run_id}/taskInstances/{TASK}", json={"new_state": "failed"})
    answer.raise_for_status()
    wait_for(lambda: not is_alive(job), seconds=60)
    assert not (output / "deferred").exists()


def test_a_users_mistake_is_red_at_once(api: httpx.Client, airflow: LocalAirflow) -> None:
    run_id = start(api, "users_mistake")
    instance = wait_for_state(api, "users_mistake", run_id, "failed", "success", "up_for_retry")
    assert (instance["state"], instance["try_number"]) == ("failed", 1)
    log = task(api, "users_mistake", run_id, "/logs/1?full_content=true")
    assert "column 'age' does not exist; did you mean 'ages'?" in str(log)


def test_the_jobs_page_asks_who_you_are(api: httpx.Client, airflow: LocalAirflow) -> None:
    run_id = start(api, "users_mistake")
    wait_for_state(api, "users_mistake", run_id, "failed")
    url = task(api, "users_mistake", run_id, "/links")["extra_links"]["Job"]
    page = api.get(url)
    assert page.status_code == 200
    assert "did you mean &#x27;ages&#x27;?" in page.text
    assert api.get(f"{url}/status").json()["state"] == "failed"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer nonsense"}).status_code == 403
    assert api.get(url.replace("/dags/users_mistake/", "/dags/deferred/")).status_code == 404
    assert api.get(f"{airflow.url}/mlfeat/dags/deferred/jobs/..%2F..%2Fetc").status_code == 404


def test_connection_forms_are_served(api: httpx.Client) -> None:
    types = {
        entry["connection_type"]: entry for entry in api.get("/ui/connections/hook_meta").raise_for_status().json()
    }
    ours = {name: entry for name, entry in types.items() if name.startswith("mlfeat_")}
    assert set(ours) == {"mlfeat_triton", "mlfeat_mlflow", "mlfeat_online", "mlfeat_spark"}
    assert all(entry["extra_fields"] for entry in ours.values())


def test_nothing_of_ours_fails_to_import(api: httpx.Client) -> None:
    assert api.get("/api/v2/importErrors").raise_for_status().json()["import_errors"] == []
    assert api.get("/api/v2/plugins/importErrors").raise_for_status().json()["import_errors"] == []
