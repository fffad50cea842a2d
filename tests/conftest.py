"""What all tests share. Airflow reads its environment at its first import, so that is set here, before all else."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.places import JOB_IMAGE, JOB_KINDS, ROOT

_home = tempfile.mkdtemp(prefix="mlfeat-tests-")
os.environ.update(
    {
        "AIRFLOW_HOME": _home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home}/airflow.db",
        # Test jobs are a distribution of their own, found through its entry points, here and in child processes.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(JOB_KINDS), os.environ.get("PYTHONPATH", "")])),
    }
)
sys.path.insert(0, str(JOB_KINDS))
# py4j says goodbye from a finaliser, when pytest has closed the streams.
logging.getLogger("py4j").setLevel(logging.WARNING)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory per test."""
    directory = tmp_path / "state"
    monkeypatch.setenv("MLFEAT_STATE", str(directory))
    return directory


@pytest.fixture(scope="session", autouse=True)
def _remove_home() -> Iterator[None]:
    yield
    import shutil

    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(scope="session")
def docker_client() -> Iterator[Any]:
    """A Docker engine that has the job image."""
    import docker

    try:
        client = docker.APIClient(version="auto", timeout=10)
        client.inspect_image(JOB_IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"image {JOB_IMAGE} is not built: make docker-image")
    except docker.errors.DockerException:
        pytest.skip("no Docker engine: make docker-engine sets one up on Debian")
    yield client
    client.close()
