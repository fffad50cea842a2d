"""What every runtime that outlives its caller can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_mlfeat.errors import JobLostError, MlfeatError
from airflow_provider_mlfeat.jobs.directory import JobDirectory, State
from airflow_provider_mlfeat.runtimes.settings import Container, RuntimeSettings

# A handle is plain JSON: it waits in the task state store and in trigger arguments.
Handle = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to start.

    :param job_id: its name; submitting the same name again finds the job instead of starting a second one.
    :param spec: the spec as JSON.
    :param origin: who asked (dag, run, task …), for people and for access checks.
    :param secrets: what connections hold, by name.
    :param lease_seconds: the job stops when nobody has waited for it for so long; None is never.
    """

    job_id: str
    spec: dict[str, Any]
    origin: dict[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    lease_seconds: float | None = None


class Runtime(Protocol):
    """Starts jobs and tells about them. All calls are short; none waits for the job."""

    def submit(self, submission: Submission) -> Handle:
        """Start the job, or find it when it runs or has succeeded already."""
        ...

    def state(self, handle: Handle) -> State:
        """Where the job is in its life."""
        ...

    def cancel(self, handle: Handle) -> None:
        """Stop the job for sure; returns when it is gone."""
        ...

    def release(self, handle: Handle) -> None:
        """Give back what a job that has ended still holds; its folder stays."""
        ...

    def explain_loss(self, handle: Handle) -> str:
        """Why a lost job is gone, as far as one can tell."""
        ...


def runtime_of(settings: RuntimeSettings, docker_client: Any = None) -> Runtime:
    """The runtime that runs by `settings`.

    :param settings: of a runtime that outlives its caller.
    :param docker_client: a ``docker.APIClient`` that is logged in; the default connects to the settings' engine.
    """
    if isinstance(settings, Container):
        from airflow_provider_mlfeat.runtimes.container import ContainerRuntime

        return ContainerRuntime(settings, docker_client)
    from airflow_provider_mlfeat.runtimes.process import ProcessRuntime
    from airflow_provider_mlfeat.runtimes.settings import Process

    assert isinstance(settings, Process), "the in-process runtime has no handle"
    return ProcessRuntime(settings)


def directory_of(handle: Handle) -> JobDirectory:
    """The folder of a handle's job."""
    from pathlib import Path

    path = Path(handle["directory"])
    return JobDirectory(path.name, path.parent)


def failure_of(runtime: Runtime, handle: Handle) -> MlfeatError:
    """The exception for a job that ended otherwise than well."""
    directory = directory_of(handle)
    if (error := directory.error()) is not None:
        return error.to_exception()
    if directory.outcome_of_dead() is State.CANCELLED:
        from airflow_provider_mlfeat.errors import CancelledError

        return CancelledError("the job was cancelled")
    return JobLostError(runtime.explain_loss(handle))
