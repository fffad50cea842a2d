"""The HTTP server under load: `/predict` with the model in process, and a look-up beside Feast's feature server.

`python -m tests.bench.online_http` prints one JSON line per figure. The store holds the bench's million actions, the
model was trained on their features, and each request asks the full feature query. Load comes from a process of its own.
The look-up is the latest row of a user, which Feast's server answers from SQLite; `--no-feast` leaves it out.
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
sys.path[0] = str(ROOT)

import pyarrow.parquet as pq  # noqa: E402

from airflow_provider_mlfeat.online.deploying import deploy  # noqa: E402
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore  # noqa: E402
from airflow_provider_mlfeat.sql.planner import plan_query  # noqa: E402
from tests.bench.data import Size, folder  # noqa: E402
from tests.bench.measure import ONE_THREAD, describe_machine, print_figure, say, tree_cpu  # noqa: E402
from tests.bench.serving_data import prepare  # noqa: E402
from tests.hooks.conftest import free_port  # noqa: E402

LATEST = """
SELECT flattenRequest.user_id, age, sex, user_lv_cd FROM flattenRequest
LAST JOIN bo_user ORDER BY bo_user.ingestionTime ON flattenRequest.user_id = bo_user.user_id
"""
QUIET = {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
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
    if arguments.feast:
        _beside_feast(prepared.store, arguments.scale, arguments.workers, arguments.seconds)


def _beside_feast(store: str, scale: float, workers: int, seconds: float) -> None:
    """The latest row of a user, from both servers: CPU per request under as much load as each takes."""
    users = folder(Size(scale)) / "bo_user.parquet"
    names = pq.read_table(users, columns=["user_id"]).column("user_id").to_pylist()[:2_000]
    with EmbeddedStore(store) as opened:
        deploy(opened, "latest_user", LATEST, plan_query(LATEST, opened.catalog(), mode="request"))
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        asked = [json.dumps({"input": [["r", 2**40, "m", "p", name, "s", 0, 1, ""]]}) for name in names]
        (place / "ours.jsonl").write_text("\n".join(asked))
        features = [f"users:{name}" for name in ("age", "sex", "user_lv_cd")]
        asked = [json.dumps({"features": features, "entities": {"user_id": [name]}}) for name in names]
        (place / "feast.jsonl").write_text("\n".join(asked))
        path = "/dbs/default/deployments/latest_user"
        with server(store, workers) as (port, process):
            load(port, path, str(place / "ours.jsonl"), 2, 0)
            found, ours = _measured(process, port, path, str(place / "ours.jsonl"), seconds, 0)
            say(f"ours: {found}, {ours:.3f} ms of CPU per request")
        (place / "feast").mkdir()
        made = [sys.executable, str(ROOT / "tests" / "bench" / "rivals" / "feast_users.py"), str(place / "feast")]
        subprocess.run([*made, str(users)], check=True, env={**os.environ, **QUIET}, stdout=subprocess.DEVNULL)
        port = free_port()
        feast = [str(Path(sys.executable).with_name("feast")), "-c", str(place / "feast"), "serve", "--port", str(port)]
        command = [*feast, "--workers", str(workers), "--no-access-log", "--max-requests", "100000000"]
        with started(command, port, "/health") as process:
            load(port, "/get-online-features", str(place / "feast.jsonl"), 2, 0)
            told, theirs = _measured(process, port, "/get-online-features", str(place / "feast.jsonl"), seconds, 0)
            say(f"feast: {told}, {theirs:.3f} ms of CPU per request")
    if found["failures"] or told["failures"]:
        raise SystemExit(f"{found['failures']} of our look-ups failed, {told['failures']} of Feast's")
    print_figure("online.vs_feast", ours, "cpu_ms", "feast", theirs, theirs / ours)


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
    environment = {**os.environ, **ONE_THREAD, **QUIET, "PYTHONPATH": str(ROOT)}
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
    parser.add_argument("--no-feast", dest="feast", action="store_false", help="leave the rival out")
    parser.add_argument("--anew", action="store_true", help="make store and model with the code of today")
    return parser.parse_args()


if __name__ == "__main__":
    main()
