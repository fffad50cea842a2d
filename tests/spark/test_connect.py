"""The Spark driver through Spark Connect: a server of its own, which knows this package only by what is sent to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.sql.planner import plan_query
from tests.conformance.drivers import spark_is_here
from tests.spark.test_fragments import CATALOG, QUERIES, TABLES
from tests.spark.through_connect import FEW, rows_of

ROOT = Path(__file__).resolve().parents[2]
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
START_SECONDS, RUN_SECONDS = 90, 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with two slots, whose workers find no package but the one that is shipped."""
    if not spark_is_here():
        pytest.skip("Spark needs pyspark and a Java runtime")
    pytest.importorskip("grpc_status", reason="Spark Connect needs pyspark[connect]")
    import pyspark

    folder = tmp_path_factory.mktemp("connect")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(pyspark.__file__).parent
    settings = {
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.host": "127.0.0.1",
        "spark.connect.progress.reportInterval": "50ms",
        "spark.ui.enabled": "false",
    }
    command = [str(home / "bin" / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g", "--class", SERVER]
    command += [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SPARK_REMOTE")}
    environment |= {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "spark-internal"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(port, process)
        yield f"sc://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "the Spark Connect server ended"
            assert time.monotonic() < end, "the Spark Connect server does not listen"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def seen(server: str) -> dict[str, Any]:
    """What a client of that server saw."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.spark.through_connect", server],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_server_says_how_many_tasks_can_run(seen: dict[str, Any]) -> None:
    assert seen["slots"] == 2


@pytest.mark.parametrize("name", FEW)
def test_spread_queries_equal_batch(name: str, seen: dict[str, Any]) -> None:
    assert seen[name]["partitions"] == 2
    assert seen[name]["rows"] == rows_of(run_batch(plan_query(QUERIES[name], CATALOG), TABLES))


def test_progress_is_reported(seen: dict[str, Any]) -> None:
    told = [state for name in FEW for state in seen[name]["progress"]]
    assert max(known for _, known in told) > 1
    assert all(0 <= done <= known for done, known in told)


def test_a_data_error_is_one_sentence(seen: dict[str, Any]) -> None:
    assert seen["refused"] == (
        "a window's order key must not be NULL or negative, but is NULL (table t, column ts, row 41)"
    )
