"""What holds in every runtime: the same job gives the same result, and killing it kills all of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mlfeat_test_jobs import StepsSpec

from airflow_provider_mlfeat.errors import CancelledError, JobFailedError, JobLostError, TransientError, UserError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.directory import State
from airflow_provider_mlfeat.jobs.run import run
from airflow_provider_mlfeat.runtimes.follow import follow
from airflow_provider_mlfeat.runtimes.runtime import Runtime, Submission, directory_of, runtime_of
from airflow_provider_mlfeat.runtimes.settings import Container, Process, RuntimeSettings


def submission(job_id: str, tmp_path: Path, **fields: Any) -> Submission:
    spec = StepsSpec(output=str(tmp_path / "out"), **fields).model_dump(mode="json")
    return Submission(job_id, spec, {"dag_id": "tests"}, {"password": "hunter2"})


def wait(runtime: Runtime, handle: dict[str, Any], cancellation: Cancellation | None = None) -> dict[str, Any]:
    return follow(runtime, handle, cancellation or Cancellation(), lambda *_: None, 0.05)


def starts(tmp_path: Path) -> list[int]:
    path = tmp_path / "out.starts"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for_start(tmp_path: Path) -> None:
    deadline = time.monotonic() + 30
    while not starts(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_result_is_the_same_everywhere(settings: RuntimeSettings, tmp_path: Path, job_id: str) -> None:
    given = submission(job_id, tmp_path, secret="password")
    runtime = runtime_of(settings)
    there = wait(runtime, runtime.submit(given))
    (tmp_path / "out").unlink()
    here = run(StepsSpec(**given.spec), secrets=given.secrets).model_dump(mode="json")
    for result in (there, here):
        result["seconds"] = result["process"] = None
    assert there == here
    assert there["secret_digest"] == hashlib.sha256(b"hunter2").hexdigest()
    assert (tmp_path / "out").stat().st_uid == os.getuid()


def test_secrets_are_written_nowhere(settings: RuntimeSettings, tmp_path: Path, job_id: str) -> None:
    runtime = runtime_of(settings)
    handle = runtime.submit(submission(job_id, tmp_path, steps=100, pause=0.05, secret="password"))
    wait_for_start(tmp_path)
    shown = json.dumps(handle)
    if isinstance(settings, Container):
        shown += json.dumps(runtime._inspect(handle))  # type: ignore[attr-defined]
    else:
        shown += Path(f"/proc/{handle['process']}/environ").read_text()
        shown += Path(f"/proc/{handle['process']}/cmdline").read_text()
    runtime.cancel(handle)
    folder = directory_of(handle).path
    shown += "".join(path.read_text() for path in folder.iterdir() if path.is_file())
    assert "hunter2" not in shown


def test_submitting_again_finds_the_running_job(settings: RuntimeSettings, tmp_path: Path, job_id: str) -> None:
    runtime = runtime_of(settings)
    given = submission(job_id, tmp_path, steps=20, pause=0.05)
    first = runtime.submit(given)
    wait_for_start(tmp_path)
    second = runtime_of(settings).submit(given)
    assert first == second
    assert wait(runtime, second)["steps"] == 20
    assert len(starts(tmp_path)) == 1


@pytest.mark.parametrize("deaf", [False, True])
def test_cancelling_stops_everything(settings: RuntimeSettings, tmp_path: Path, job_id: str, deaf: bool) -> None:
    runtime = runtime_of(settings)
    handle = runtime.submit(submission(job_id, tmp_path, steps=1000, pause=0.05, fail="deaf" if deaf else ""))
    wait_for_start(tmp_path)
    cancellation = Cancellation()
    threading.Timer(0.2, cancellation.request).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        wait(runtime, handle, cancellation)
    assert time.monotonic() - began < 8
    assert runtime.state(handle) is State.CANCELLED
    assert not (tmp_path / "out").exists()
    assert not _is_running(runtime, handle)


def _is_running(runtime: Runtime, handle: dict[str, Any]) -> bool:
    if "container" in handle:
        return runtime._inspect(handle) is not None  # type: ignore[attr-defined]
    return any(
        f" {handle['process']} " in stat.read_text()
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.exists() and ") Z " not in stat.read_text()
    )


@pytest.mark.parametrize(
    ("fail", "error", "message"),
    [
        ("user", UserError, "column 'age' does not exist; did you mean 'ages'?"),
        ("transient", TransientError, "the server is away"),
        ("bug", JobFailedError, "ZeroDivisionError: division by zero"),
        ("killed", JobLostError, "result"),
    ],
)
def test_failures_keep_their_kind_and_sentence(
    settings: RuntimeSettings, tmp_path: Path, job_id: str, fail: str, error: type[Exception], message: str
) -> None:
    runtime = runtime_of(settings)
    with pytest.raises(error, match=message.replace("?", r"\?")):
        wait(runtime, runtime.submit(submission(job_id, tmp_path, fail=fail)))
    assert not (tmp_path / "out").exists()


def test_a_failed_job_can_be_submitted_again(settings: RuntimeSettings, tmp_path: Path, job_id: str) -> None:
    runtime = runtime_of(settings)
    broken = tmp_path / "broken"
    broken.touch()
    given = submission(job_id, tmp_path, fail="bug", fail_while=str(broken))
    with pytest.raises(JobFailedError):
        wait(runtime, runtime.submit(given))
    broken.unlink()
    assert wait(runtime, runtime.submit(given))["steps"] == 3


def test_log_lines_and_progress_arrive(settings: RuntimeSettings, tmp_path: Path, job_id: str) -> None:
    seen: list[tuple[str, dict[str, Any] | None]] = []
    runtime = runtime_of(settings)
    handle = runtime.submit(submission(job_id, tmp_path))
    follow(runtime, handle, Cancellation(), lambda _, text, progress: seen.append((text, progress)), 0.05)
    assert seen[-1][1] is not None
    assert seen[-1][1]["done"] == 3
    assert seen[-1][1]["metrics"] == {"auc": 0.75}
    assert directory_of(handle).read("progress")["stage"] == "count"


def test_airflows_variables_stay_outside(tmp_path: Path, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SECRET", "hunter2")
    monkeypatch.setenv("MLFEAT_MARK", "inherited")
    runtime = runtime_of(Process(environment={"MORE": "set"}))
    handle = runtime.submit(submission(job_id, tmp_path, steps=100, pause=0.05))
    wait_for_start(tmp_path)
    environment = Path(f"/proc/{handle['process']}/environ").read_text()
    runtime.cancel(handle)
    assert "hunter2" not in environment
    assert "MORE=set" in environment
    assert "MLFEAT_MARK=inherited" in environment


def test_an_interpreter_that_is_none(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(UserError, match="no interpreter at /nowhere/python"):
        runtime_of(Process(python="/nowhere/python")).submit(submission(job_id, tmp_path))


def test_an_environment_without_the_packages_is_named(tmp_path: Path, job_id: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "empty")], check=True)
    runtime = runtime_of(Process(python=str(tmp_path / "empty" / "bin" / "python")))
    with pytest.raises(UserError, match="empty/bin/python has no module 'pydantic', which the job needs"):
        wait(runtime, runtime.submit(submission(job_id, tmp_path)))


def test_a_job_that_nobody_waits_for_stops(tmp_path: Path, job_id: str) -> None:
    runtime = runtime_of(Process())
    given = submission(job_id, tmp_path, steps=1000, pause=0.05)
    handle = runtime.submit(Submission(given.job_id, given.spec, lease_seconds=1))
    deadline = time.monotonic() + 20
    while not runtime.state(handle).is_final:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert runtime.state(handle) is State.CANCELLED
    assert "nobody waits for this job any more" in directory_of(handle).log_path.read_text()
