"""The process that runs one job from its folder: ``python -m airflow_provider_mlfeat.jobs.worker JOB_DIRECTORY``.

It reads the spec, writes progress, log and result into the folder, and stops at SIGTERM. Secrets come as one JSON line
on standard input (``--secrets``), so that they stand neither in the environment, nor in a file, nor in what
``docker inspect`` shows.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from airflow_provider_mlfeat.errors import MlfeatError, UserError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.directory import HEARTBEAT_SECONDS, ErrorReport, JobDirectory
from airflow_provider_mlfeat.jobs.logs import JsonFormatter, log_to_stream
from airflow_provider_mlfeat.jobs.progress import CallbackSink, LogSink, Progress

log = logging.getLogger("mlfeat.job")
GRACE_SECONDS = 10.0


def main(arguments: list[str]) -> int:
    """Run the job and return its exit code."""
    directory = JobDirectory(Path(arguments[0]).name, Path(arguments[0]).parent)
    secrets = json.loads(sys.stdin.readline() or "{}") if "--secrets" in arguments else {}
    _redirect_output(directory.log_path)
    log_to_stream(JsonFormatter())
    cancellation = Cancellation()
    _cancel_on_sigterm(cancellation)
    _beat(directory, cancellation)
    try:
        _work(directory, cancellation, secrets)
    except ModuleNotFoundError as error:
        missing = UserError(f"{sys.executable} has no module '{error.name}', which the job needs")
        log.error("%s", missing)
        directory.write("error", _as_document(ErrorReport.of(missing)))
        return missing.exit_code
    except MlfeatError as error:
        log.error("%s", error)
        directory.write("error", _as_document(ErrorReport.of(error)))
        return error.exit_code
    except Exception as error:
        log.exception("the job failed")
        directory.write("error", _as_document(ErrorReport.of(error, traceback.format_exc())))
        return 1
    return 0


def _work(directory: JobDirectory, cancellation: Cancellation, secrets: dict[str, str]) -> None:
    from airflow_provider_mlfeat.jobs.run import parse_spec, run

    sinks = (LogSink(), CallbackSink(lambda snapshot: directory.write("progress", snapshot), seconds=0.5))
    progress = Progress(sinks, cancellation)
    result = run(
        parse_spec(directory.read("spec")),
        progress,
        cancellation,
        secrets=secrets,
        scratch_parent=directory.scratch_path,
    )
    directory.write("result", result.model_dump(mode="json"))


def _as_document(report: ErrorReport) -> dict[str, str]:
    return {"kind": report.kind, "message": report.message, "details": report.details}


def _redirect_output(path: Path) -> None:
    """Send all that this process and its children print to the log file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _cancel_on_sigterm(cancellation: Cancellation) -> None:
    """Wait for SIGTERM in a thread of its own: a Python handler would wait until the main thread leaves native code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        _cancel(cancellation)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


def _cancel(cancellation: Cancellation) -> None:
    """Ask the job to stop; one that does not in time is killed with its whole process group."""
    killer = threading.Timer(GRACE_SECONDS, lambda: os.killpg(os.getpgid(0), signal.SIGKILL))
    killer.daemon = True
    killer.start()
    cancellation.request()


def _beat(directory: JobDirectory, cancellation: Cancellation) -> None:
    """Show that the worker lives, and look whether anybody still waits for it."""

    def beat() -> None:
        while directory.path.exists() and not cancellation.wait(HEARTBEAT_SECONDS):
            directory.beat()
            if directory.is_abandoned():
                log.warning("nobody waits for this job any more: stopping")
                _cancel(cancellation)

    directory.beat()
    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
