"""What all tests share. Airflow reads its environment at its first import, so that is set here, before all else."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
JOB_KINDS = TESTS / "job_kinds"

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
