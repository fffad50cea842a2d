"""A job kind that another distribution brings: it counts steps, and can fail in every way that the tests need."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec


class StepsSpec(JobSpec):
    kind: Literal["test_steps"] = "test_steps"
    output: str
    steps: int = 3
    pause: float = 0.0
    read: str | None = None
    fail: Literal["", "user", "transient", "bug", "killed", "deaf"] = ""
    fail_while: str | None = None
    secret: str | None = None


class StepsResult(JobResult):
    kind: Literal["test_steps"] = "test_steps"
    steps: int
    process: int
    secret_digest: str = ""


class StepsJob(Job[StepsSpec, StepsResult]):
    """Count steps slowly."""

    kind: ClassVar[str] = "test_steps"
    spec_type: ClassVar[type[JobSpec]] = StepsSpec
    result_type: ClassVar[type[JobResult]] = StepsResult

    def inputs(self, spec: StepsSpec) -> Sequence[Path]:
        return [Path(spec.read)] if spec.read else []

    def run(self, spec: StepsSpec, context: JobContext) -> StepsResult:
        output = Path(spec.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.with_suffix(".starts").open("a") as starts:
            starts.write(f"{os.getpid()}\n")
        fails = bool(spec.fail) and (spec.fail_while is None or Path(spec.fail_while).exists())
        if fails and spec.fail == "deaf":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        context.progress.stage("count", total=spec.steps, unit="steps")
        with files.staged_file(output) as staging:
            for step in range(spec.steps):
                staging.write_text(f"{step + 1} of {spec.steps}\n")
                if spec.fail == "deaf":
                    import time

                    time.sleep(spec.pause)
                else:
                    context.cancellation.wait(spec.pause)
                    context.progress.advance()
            context.progress.metric(auc=0.75)
            if fails:
                _fail(spec.fail)
        secret = context.secrets.get(spec.secret, "") if spec.secret else ""
        return StepsResult(
            steps=spec.steps,
            process=os.getpid(),
            secret_digest=hashlib.sha256(secret.encode()).hexdigest() if secret else "",
            artifacts=(Artifact.of("count", output),),
        )


def _fail(how: str) -> None:
    if how == "user":
        raise UserError("column 'age' does not exist; did you mean 'ages'?")
    if how == "transient":
        raise TransientError("the server is away")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "bug":
        raise ZeroDivisionError("division by zero")
