"""A second virtual environment, and every runtime that outlives its caller."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import uuid
from pathlib import Path

import pytest

from airflow_provider_mlfeat.runtimes.settings import Container, Mount, Process, RuntimeSettings
from tests.places import JOB_IMAGE, JOB_KINDS


@pytest.fixture(scope="session")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has what a job needs and nothing of Airflow: a virtual environment with pydantic only."""
    folder = tmp_path_factory.mktemp("other") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    ours = Path(sysconfig.get_paths()["purelib"])
    for name in ("pydantic", "pydantic_core", "annotated_types", "typing_inspection", "typing_extensions.py"):
        (site / name).symlink_to(ours / name)
    return str(folder / "bin" / "python")


@pytest.fixture(params=["process", "other environment", "container"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> RuntimeSettings:
    """Every runtime that outlives its caller."""
    if request.param == "process":
        return Process()
    if request.param == "other environment":
        return Process(python=request.getfixturevalue("other_python"))
    request.getfixturevalue("docker_client")
    return Container(
        image=JOB_IMAGE,
        mounts=(Mount(source=str(tmp_path)), Mount(source=str(JOB_KINDS), read_only=True)),
        environment={"PYTHONPATH": f"/opt/mlfeat:{JOB_KINDS}"},
    )


@pytest.fixture
def job_id() -> str:
    """A name that no other test uses; containers are visible to the whole engine."""
    return f"test-{uuid.uuid4().hex[:12]}"
