"""One real Airflow for all tests that need it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from local_airflow import LocalAirflow  # noqa: E402


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the DAGs' jobs write."""
    return tmp_path_factory.mktemp("live-output")


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, output: Path) -> Iterator[LocalAirflow]:
    """``airflow standalone`` that notices a lost worker within seconds."""
    running = LocalAirflow(
        state=tmp_path_factory.mktemp("live-state"),
        dags=ROOT / "tests" / "live" / "dags",
        environment={
            "MLFEAT_LIVE_OUTPUT": str(output),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "PYTHONPATH": os.environ["PYTHONPATH"],
            # MLflow in the state folder.
            "AIRFLOW_CONN_MLFEAT_MLFLOW_DEFAULT": '{"conn_type": "mlfeat_mlflow"}',
        },
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def api(airflow: LocalAirflow) -> Iterator[httpx.Client]:
    """A client that is logged in as admin."""
    with airflow.client() as client:
        yield client
