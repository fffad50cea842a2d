"""Wait for a job while showing what it says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_provider_mlfeat.errors import CancelledError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.directory import State
from airflow_provider_mlfeat.jobs.logs import LogTail, parse_line
from airflow_provider_mlfeat.runtimes.runtime import Handle, Runtime, directory_of, failure_of

# Asking an engine costs more than looking at a file; a job's end shows in its files at once.
_STATE_SECONDS = 2.0


def follow(
    runtime: Runtime,
    handle: Handle,
    cancellation: Cancellation,
    on_log: Callable[[int, str, dict[str, Any] | None], None],
    poll_seconds: float = 0.5,
    *,
    from_end: bool = False,
    cancel_job: bool = True,
) -> dict[str, Any]:
    """The job's result document when it ends well; raises what it failed with otherwise.

    :param runtime: where it runs.
    :param handle: the job.
    :param cancellation: ends the waiting.
    :param on_log: called with level, text and progress of each new log line.
    :param poll_seconds: how often to look.
    :param from_end: leave out the log lines that are there already.
    :param cancel_job: whether the job ends when the waiting is cancelled.
    """
    directory = directory_of(handle)
    tail = LogTail(directory.log_path, from_end=from_end)
    next_state = time.monotonic()
    state = State.RUNNING
    while not state.is_final:
        cancelled = cancellation.wait(poll_seconds)
        state = directory.outcome()
        if not state.is_final and (cancelled or time.monotonic() >= next_state):
            if cancelled and not cancel_job:
                raise CancelledError(f"nobody waits for job {handle['job_id']} any more; it goes on")
            if cancelled:
                runtime.cancel(handle)
            state = runtime.state(handle)
            next_state = time.monotonic() + _STATE_SECONDS
            directory.watch()
        for line in tail.read():
            on_log(*parse_line(line))
    return collect(runtime, handle)


def collect(runtime: Runtime, handle: Handle) -> dict[str, Any]:
    """The result document of a job that has ended; raises what it failed with."""
    directory = directory_of(handle)
    result = directory.read("result")
    if result is None:
        failure = failure_of(runtime, handle)
        runtime.release(handle)
        raise failure
    runtime.release(handle)
    assert isinstance(result, dict)
    return result
