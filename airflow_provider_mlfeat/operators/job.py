"""The operator that all others build on: a job, a runtime, and everything that can happen in between."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, ResumableJobMixin
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.links.job import JobLink, job_page_url
from airflow_provider_mlfeat.operators.resources import JobResources, runs_in_a_pod

if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink, Context

    from airflow_provider_mlfeat.runtimes.runtime import Handle, Runtime

# Keys of the task state store. A stored job is found again by later tries; renaming a key orphans running jobs.
_JOB_KEY = "mlfeat_job"
_ROUND_KEY = "mlfeat_round"
_PROGRESS_KEY = "progress"
_PROGRESS_SECONDS = 5.0


class JobOperator(ResumableJobMixin, BaseOperator):
    """Run a job and return what it made; the base of every operator of this provider.

    Subclasses build the spec and may add to the result. What they share: the job runs where `runtime` says; a retry
    finds the running job instead of starting a second one; killing the task kills the job; the job's log lines and
    progress appear in the task's log and state store; an unchanged job returns its earlier result.

    XCom: a flat dict with ``kind``, ``job_id``, ``fingerprint``, ``cached``, ``seconds``, ``artifacts`` (name → path)
    and the fields of the kind's result. It is the same however the result came about. Each outlet's asset event
    carries the same values, apart from ``artifacts``, as ``extra``.

    :param runtime: ``in_process``, ``process``, or a document with a ``kind`` and options, for instance
        ``{"kind": "container", "image": "…", "gpus": 1}``; the default is ``[mlfeat] runtime``. (templated)
    :param docker_conn_id: connection of type ``docker`` for the container runtime; None connects without logging in.
        (templated)
    :param resources: what the job may use: a map of ``gpus``, ``cpus`` and ``memory`` (``8g``). The container runtime
        gets them as limits and a device request, the process runtime `cpus` as its number of threads, the worker's pod
        under a Kubernetes executor as its limits, and a task in a pool takes a slot per GPU; `pool_slots` and
        `executor_config` of your own stand.
    :param deferrable: wait in the triggerer, without a worker slot. Needs a runtime other than ``in_process``.
    :param poll_interval: seconds between two looks at the job.
    :param cancel_on_kill: whether the job stops when the task is killed. False lets long work go on while workers are
        drained; the next try finds it.
    :param abandoned_after: the job stops by itself when neither task nor triggerer has looked at it for so long: its
        worker was lost and nothing retries, or a person killed the task in the moment between two watchers. None is
        never.
    """

    template_fields: Sequence[str] = ("runtime", "docker_conn_id")
    template_fields_renderers: Mapping[str, str] = {"runtime": "json"}
    operator_extra_links: Sequence[BaseOperatorLink] = (JobLink(),)
    external_id_key = _JOB_KEY
    ui_color = "#e8f4f2"

    def __init__(
        self,
        *,
        runtime: str | dict[str, Any] | None = None,
        docker_conn_id: str | None = None,
        resources: Mapping[str, Any] | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 1.0,
        cancel_on_kill: bool = True,
        abandoned_after: timedelta | None = timedelta(hours=1),
        **kwargs: Any,
    ) -> None:
        limits = JobResources.parse(resources)
        # Airflow itself reads a DAG's default arguments later, in the operator that all are made of.
        given = {**(kwargs.get("default_args") or {}), **kwargs}
        if limits.gpus and given.get("pool") and "pool_slots" not in given:
            kwargs["pool_slots"] = limits.gpus
        if limits.for_kubernetes() and runs_in_a_pod(given.get("executor"), runtime) and "executor_config" not in given:
            kwargs["executor_config"] = limits.executor_config()
        super().__init__(resources=limits.for_airflow(), **kwargs)
        self._limits = limits
        self.runtime = runtime
        self.docker_conn_id = docker_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.cancel_on_kill = cancel_on_kill
        self.abandoned_after = abandoned_after
        self.job_url: str | None = None
        self._handle: Handle | None = None
        self._cancel: Callable[[], None] | None = None
        self._result: dict[str, Any] | None = None
        self._next_progress = 0.0

    # ── what subclasses say ──────────────────────────────────────────────────────────────────────────────────────────

    def build_spec(self, context: Context) -> dict[str, Any]:
        """The job's spec, from rendered fields only."""
        raise TypeError(f"{type(self).__name__} does not say which job it runs")

    def secrets(self, context: Context) -> dict[str, str]:
        """What the job needs from connections, by name. Travels beside the spec and is written nowhere."""
        return {}

    def limits(self) -> JobResources:
        """What the job may use."""
        return self._limits

    # ── Airflow's side ───────────────────────────────────────────────────────────────────────────────────────────────

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job, or find the one that runs, and return its result."""
        try:
            settings = self._settings()
            if settings["kind"] == "in_process":
                return self._finish(self._run_here(context), context)
            if self.deferrable:
                return self._defer(context)
            result = self.execute_resumable(context)
        except Exception as error:
            raise _for_airflow(error) from error
        assert isinstance(result, dict)
        return result

    def execute_complete(self, context: Context, event: dict[str, Any], handle: Handle) -> dict[str, Any]:
        """Back from the triggerer: look at the job itself, whatever the event says."""
        try:
            self._remember(handle, context)
            if not isinstance(event, dict) or "state" not in event:
                raise RuntimeError(f"the trigger sent an event that is none of ours: {event!r}")
            if event["state"] == "timeout":
                self._runtime().cancel(handle)
                raise TimeoutError(f"job {handle['job_id']} did not end within {self.execution_timeout}")
            return self._follow(handle, context, from_end=False)
        except Exception as error:
            raise _for_airflow(error) from error

    def on_kill(self) -> None:
        """Stop the job for sure, within the seconds that Airflow leaves."""
        if self._cancel is not None:
            self._cancel()
        if self.cancel_on_kill and self._handle is not None:
            self._runtime().cancel(self._handle)

    # ── the job ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _settings(self) -> dict[str, Any]:
        from airflow_provider_mlfeat.errors import UserError
        from airflow_provider_mlfeat.runtimes.settings import parse_runtime

        chosen = self.runtime or conf.get("mlfeat", "runtime", fallback="process")
        settings = self.limits().applied_to(parse_runtime(chosen).model_dump(mode="json"))
        if self.deferrable and settings["kind"] == "in_process":
            raise UserError("deferrable=True needs a runtime that outlives the task: 'process' or 'container'")
        return settings

    def _runtime(self) -> Runtime:
        from airflow_provider_mlfeat.hooks.runtime import runtime_for

        return runtime_for(self._settings(), self.docker_conn_id)

    def _job_id(self, spec: dict[str, Any], context: Context) -> str:
        """A name that all tries of this piece of work share: same task, same rendered spec, same code, same round."""
        from airflow_provider_mlfeat import files
        from airflow_provider_mlfeat.jobs.fingerprint import code_version

        round_number = context["task_state_store"].get(_ROUND_KEY, 0)
        identity = [self._origin(context), spec, self._settings(), code_version(), round_number]
        digest = files.digest_text(files.canonical_json(identity))[:16]
        return f"{re.sub('[^A-Za-z0-9_-]', '-', self.task_id)[:60]}-{digest}"

    def _origin(self, context: Context) -> dict[str, str]:
        instance = context["ti"]
        return {
            "dag_id": instance.dag_id,
            "run_id": instance.run_id,
            "task_id": instance.task_id,
            "map_index": str(instance.map_index),
        }

    def _remember(self, handle: Handle, context: Context) -> None:
        """Make the job visible at once: to `on_kill`, and as a link in the UI."""
        self._handle = handle
        self.job_url = job_page_url(context["ti"].dag_id, handle["job_id"])
        context["ti"].xcom_push(key=JobLink().xcom_key, value=self.job_url)

    def _run_here(self, context: Context) -> dict[str, Any]:
        from airflow_provider_mlfeat.jobs.cancellation import Cancellation
        from airflow_provider_mlfeat.jobs.progress import CallbackSink, LogSink, Progress
        from airflow_provider_mlfeat.jobs.run import parse_spec, run

        cancellation = Cancellation()
        self._cancel = cancellation.request
        store = context["task_state_store"]
        sinks = (LogSink(), CallbackSink(lambda snapshot: store.set(_PROGRESS_KEY, snapshot), _PROGRESS_SECONDS))
        spec = parse_spec(self.build_spec(context))
        result = run(spec, Progress(sinks, cancellation), cancellation, secrets=self.secrets(context))
        return {**result.model_dump(mode="json"), "job_id": ""}

    def _defer(self, context: Context) -> dict[str, Any]:
        from airflow_provider_mlfeat.triggers.job import JobTrigger

        # Submitting finds a job of the same name, so a retry of a deferred task needs no memory of its own.
        handle = self.submit_job(context)
        deadline = time.time() + self.execution_timeout.total_seconds() if self.execution_timeout else None
        self.defer(
            trigger=JobTrigger(
                runtime=self._settings(),
                handle=handle,
                docker_conn_id=self.docker_conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                cancel_on_kill=self.cancel_on_kill,
            ),
            method_name="execute_complete",
            kwargs={"handle": handle},
        )
        raise AssertionError("defer returned")

    def submit_job(self, context: Context) -> Handle:
        """Start the job; its handle is what the state store keeps."""
        from airflow_provider_mlfeat.jobs.run import parse_spec
        from airflow_provider_mlfeat.runtimes.runtime import Submission

        spec = parse_spec(self.build_spec(context)).model_dump(mode="json")
        job_id = self._job_id(spec, context)
        lease = self.abandoned_after.total_seconds() if self.abandoned_after else None
        submission = Submission(job_id, spec, self._origin(context), self.secrets(context), lease)
        handle = self._runtime().submit(submission)
        self._remember(handle, context)
        self.log.info("job %s: %s", job_id, self.job_url)
        return handle

    def get_job_status(self, external_id: Any, context: Context) -> str:
        """The job's state; ``stale`` when what is asked now is not what the stored job was asked."""
        from airflow_provider_mlfeat.jobs.run import parse_spec

        spec = parse_spec(self.build_spec(context)).model_dump(mode="json")
        runtime = self._runtime()
        state = runtime.state(external_id)
        if external_id["job_id"] == self._job_id(spec, context):
            return state.value
        if not state.is_final:
            self.log.info("job %s was asked something else: cancelling it", external_id["job_id"])
            runtime.cancel(external_id)
        return "stale"

    def is_job_active(self, status: str) -> bool:
        """Whether there is something to wait for."""
        return status == "running"

    def is_job_succeeded(self, status: str) -> bool:
        """Whether there is a result that nobody has fetched."""
        return status == "succeeded"

    def poll_until_complete(self, external_id: Any, context: Context) -> Any:
        """Wait, and return the result: on the way of a reattached job nobody else asks for it."""
        found_running = self._handle is None
        self._remember(external_id, context)
        return self._follow(external_id, context, from_end=found_running)

    def get_job_result(self, external_id: Any, context: Context) -> Any:
        """The result of a job that has succeeded."""
        if self._result is not None:
            # The mixin asks again after waiting.
            return self._result
        self._remember(external_id, context)
        return self._follow(external_id, context, from_end=True)

    def _follow(self, handle: Handle, context: Context, *, from_end: bool) -> dict[str, Any]:
        from airflow_provider_mlfeat.jobs.cancellation import Cancellation
        from airflow_provider_mlfeat.runtimes.follow import follow

        cancellation = Cancellation()
        self._cancel = cancellation.request
        if from_end:
            self.log.info("job %s: found, waiting for it", handle["job_id"])

        def show(level: int, text: str, progress: dict[str, Any] | None) -> None:
            logging.getLogger("mlfeat.job").log(level, "%s", text)
            if progress is not None and time.monotonic() >= self._next_progress:
                self._next_progress = time.monotonic() + _PROGRESS_SECONDS
                context["task_state_store"].set(_PROGRESS_KEY, progress)

        result = follow(
            self._runtime(),
            handle,
            cancellation,
            show,
            self.poll_interval,
            from_end=from_end,
            cancel_job=self.cancel_on_kill,
        )
        return self._finish({**result, "job_id": handle["job_id"]}, context)

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """Turn a result into XCom and asset events, and close the round: clearing the task asks for the work anew."""
        result["artifacts"] = {artifact["name"]: artifact["path"] for artifact in result["artifacts"]}
        result.pop("version", None)
        extra = {name: value for name, value in result.items() if name != "artifacts"}
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = extra
        store = context["task_state_store"]
        store.set(_ROUND_KEY, store.get(_ROUND_KEY, 0) + 1)
        store.delete(_JOB_KEY)
        self._result = result
        return result


class RunJobOperator(JobOperator):
    """Run a job of any kind; ``mlfeat jobs`` lists the kinds.

    :param spec: the job's spec: ``kind`` and the kind's fields. (templated)
    """

    template_fields: Sequence[str] = ("spec", *JobOperator.template_fields)
    template_fields_renderers: Mapping[str, str] = {"spec": "json", **JobOperator.template_fields_renderers}

    def __init__(self, *, spec: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def build_spec(self, context: Context) -> dict[str, Any]:
        """The spec as rendered."""
        return self.spec


def _for_airflow(error: Exception) -> Exception:
    """A user's mistake fails the task at once, without retries; everything else keeps its type for retry rules."""
    from airflow_provider_mlfeat.errors import UserError

    return AirflowFailException(str(error)) if isinstance(error, UserError) else error
