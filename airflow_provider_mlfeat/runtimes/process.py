"""Jobs in processes of their own, in a process group that is killed as one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import airflow_provider_mlfeat
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.directory import JobDirectory, State
from airflow_provider_mlfeat.jobs.logs import last_lines, parse_line
from airflow_provider_mlfeat.runtimes.runtime import Handle, Submission, directory_of
from airflow_provider_mlfeat.runtimes.settings import Process

_PACKAGE = Path(airflow_provider_mlfeat.__file__).parent
# Airflow sends SIGKILL about five seconds after SIGTERM: by then the job must be gone.
_KILL_AFTER_SECONDS = 3.0


class ProcessRuntime:
    """Runs jobs as `settings` say.

    :param settings: interpreter and environment.
    """

    def __init__(self, settings: Process) -> None:
        self._settings = settings

    def submit(self, submission: Submission) -> Handle:
        """Start the worker process, unless the job runs or has succeeded already."""
        directory = JobDirectory(submission.job_id)
        with directory.locked():
            handle = directory.read("handle")
            if handle is not None and self.state(handle) in (State.RUNNING, State.SUCCEEDED):
                assert isinstance(handle, dict)
                return handle
            directory.begin(submission.spec, submission.origin, submission.lease_seconds)
            process = self._start(directory, submission)
            handle = {
                "job_id": submission.job_id,
                "directory": str(directory.path),
                "host": socket.gethostname(),
                "process": process.pid,
                "started": _start_time(process.pid),
            }
            directory.write("handle", handle)
            return handle

    def _start(self, directory: JobDirectory, submission: Submission) -> subprocess.Popen[bytes]:
        python = self._settings.python or sys.executable
        if shutil.which(python) is None:
            raise UserError(f"runtime 'process': no interpreter at {python}")
        code = directory.path / "code"
        code.mkdir()
        (code / _PACKAGE.name).symlink_to(_PACKAGE)
        with directory.log_path.open("ab") as log:
            process = subprocess.Popen(
                [python, "-m", "airflow_provider_mlfeat.jobs.worker", str(directory.path), "--secrets"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=directory.path,
                env=self._environment(code),
                start_new_session=True,
            )
        assert process.stdin is not None
        # A worker that dies at once has closed the pipe; its state tells the story.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(dict(submission.secrets)).encode() + b"\n")
            process.stdin.close()
        return process

    def _environment(self, code: Path) -> dict[str, str]:
        """The caller's variables without Airflow's, which hold its connections and keys."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
        environment = {**inherited, **self._settings.environment}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(code), environment.get("PYTHONPATH", "")]))
        environment["PYTHONUNBUFFERED"] = "1"
        return environment

    def state(self, handle: Handle) -> State:
        """By the folder's files, and where they do not say, by whether the process lives."""
        directory = directory_of(handle)
        outcome = directory.outcome()
        if outcome.is_final or self._is_alive(handle, directory):
            return outcome if outcome.is_final else State.RUNNING
        # It may have written its result between the two looks.
        return directory.outcome_of_dead()

    def _is_alive(self, handle: Handle, directory: JobDirectory) -> bool:
        if handle["host"] != socket.gethostname():
            return directory.has_fresh_heartbeat()
        return bool(_start_time(handle["process"]) == handle["started"])

    def cancel(self, handle: Handle) -> None:
        """SIGTERM to the process group, SIGKILL to what is left of it."""
        directory = directory_of(handle)
        directory.request_cancellation()
        if handle["host"] != socket.gethostname():
            raise UserError(f"job {handle['job_id']} runs on host {handle['host']} and can only be cancelled there")
        if not self._is_alive(handle, directory):
            return
        group = handle["process"]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
            deadline = time.monotonic() + _KILL_AFTER_SECONDS
            while time.monotonic() < deadline and self._is_alive(handle, directory):
                time.sleep(0.05)
            os.killpg(group, signal.SIGKILL)

    def release(self, handle: Handle) -> None:
        """Nothing: the process is gone."""

    def explain_loss(self, handle: Handle) -> str:
        """The last words of the log, or that there were none."""
        directory = directory_of(handle)
        lines = [parse_line(line)[1] for line in last_lines(directory.log_path, 3)]
        last = f"; its last lines: {' | '.join(lines)}" if lines else ""
        return f"the process of job {handle['job_id']} is gone without a result (killed, or out of memory){last}"


def _start_time(process_id: int) -> int | None:
    """Clock ticks since boot at which a process started: with the id, its identity. None when it is gone."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process_id, os.WNOHANG)
    try:
        text = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may hold blanks.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
