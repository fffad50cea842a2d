"""The HTTP server under load: `/predict` with the model in process, and a look-up beside Feast's feature server.

`python -m tests.bench.online_http` prints one JSON line per figure. The store holds the bench's million actions, the
model was trained on their features, and each request asks the full feature query. Load comes from a process of its own.
`--python` names an interpreter that has Feast; without it the rival is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.measure import ONE_THREAD, describe_machine, print_figure, say, tree_cpu  # noqa: E402
from tests.bench.serving_data import prepare  # noqa: E402
from tests.hooks.conftest import free_port  # noqa: E402

CONNECTIONS = 32
RATE = 500


def main() -> None:
    """Measure the rate that was asked for, then as much as goes, then the look-up beside Feast's."""
    arguments = _arguments()
    say(describe_machine())
    prepared = prepare(arguments.scale, anew=arguments.anew)
    with server(prepared.store, arguments.workers) as (port, process):
        load(port, "/predict", prepared.requests, 3, RATE)
        steady, cpu = _measured(process, port, "/predict", prepared.requests, arguments.seconds, RATE)
        say(f"{RATE} requests/s: {steady}, {cpu:.3f} ms of CPU per request; {describe_machine()}")
        print_figure("online.http_p50_ms", steady["p50_ms"], "ms")
        print_figure("online.http_p99_ms", steady["p99_ms"], "ms")
        full, cpu = _measured(process, port, "/predict", prepared.requests, arguments.seconds, 0)
        say(f"saturation: {full}, {cpu:.3f} ms of CPU per request; {describe_machine()}")
        print_figure("online.http_rps", full["per_second"], "requests/s")
        print_figure("online.http_cpu_ms", cpu, "cpu_ms")
        # More than comes from the connections waits in the kernel; nothing may fail.
        if steady["failures"] or full["failures"]:
            raise SystemExit(f"{steady['failures'] + full['failures']} requests failed")


@contextmanager
def server(store: str, workers: int, *more: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`mlfeat serve` on a free port, ready."""
    port = free_port()
    command = [*("-m", "airflow_provider_mlfeat.jobs.command", "serve", "--store", store, "--port", str(port))]
    with started([sys.executable, *command, "--workers", str(workers), *more], port, "/ready") as process:
        yield port, process


@contextmanager
def started(command: Sequence[str], port: int, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, once it answers at a path; ended with all that it started."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment, start_new_session=True)
        try:
            deadline = time.monotonic() + 90
            while not _answers(port, path):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{command[0]} does not answer: {log.read()[-2000:].decode(errors='replace')}")
                time.sleep(0.2)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def load(port: int, path: str, bodies: str, seconds: float, rate: float) -> dict[str, Any]:
    """Ask for some seconds; a rate of 0 is as fast as answers come."""
    script = [sys.executable, str(ROOT / "tests" / "bench" / "http_load.py"), str(port), path, bodies]
    command = [*script, str(seconds), str(rate), str(CONNECTIONS)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _measured(
    process: subprocess.Popen[bytes], port: int, path: str, bodies: str, seconds: float, rate: float
) -> tuple[dict[str, Any], float]:
    """What the load saw, and milliseconds of CPU that the server took per request."""
    before = tree_cpu(process.pid)
    found = load(port, path, bodies, seconds, rate)
    return found, 1000 * (tree_cpu(process.pid) - before) / max(found["requests"], 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the tables; 1 is a million actions")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--anew", action="store_true", help="make store and model with the code of today")
    return parser.parse_args()


if __name__ == "__main__":
    main()
