"""What only a container can do, on a real engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.runtimes.container import ContainerRuntime
from airflow_provider_mlfeat.runtimes.runtime import Submission
from airflow_provider_mlfeat.runtimes.settings import Container, Mount, parse_runtime

SPEC = {"kind": "file_manifest", "paths": ["/etc/hostname"], "manifest": "/tmp/manifest.json"}


def test_limits_reach_the_engine(docker_client: Any, tmp_path: Path, job_id: str) -> None:
    settings = Container(
        image="mlfeat/job:latest", memory="256m", shared_memory="64m", cpus=0.5, mounts=(Mount(source=str(tmp_path)),)
    )
    runtime = ContainerRuntime(settings, docker_client)
    handle = runtime.submit(Submission(job_id, SPEC))
    inspected = docker_client.inspect_container(handle["container"])
    runtime.cancel(handle)
    host = inspected["HostConfig"]
    assert (host["Memory"], host["ShmSize"], host["NanoCpus"]) == (256 << 20, 64 << 20, 500_000_000)
    assert (host["NetworkMode"], host["CapDrop"], host["Init"]) == ("none", ["ALL"], True)
    assert inspected["Config"]["Labels"]["mlfeat.job"] == job_id


def test_gpus_become_a_device_request(docker_client: Any, job_id: str) -> None:
    """An engine without the NVIDIA runtime refuses the request: which proves that it was made."""
    if "nvidia" in json.dumps(docker_client.info().get("Runtimes", {})):
        pytest.skip("this engine has GPUs: the request would succeed")
    runtime = ContainerRuntime(Container(image="mlfeat/job:latest", gpus=-1), docker_client)
    with pytest.raises((UserError, TransientError), match="could not select device driver"):
        runtime.submit(Submission(job_id, SPEC))
    runtime.cancel({"container": f"mlfeat-{job_id}", "directory": str(Path("/nowhere") / job_id), "job_id": job_id})


def test_an_image_that_is_not_there(docker_client: Any, job_id: str, state: Path) -> None:
    runtime = ContainerRuntime(Container(image="mlfeat/nowhere:1"), docker_client)
    with pytest.raises(UserError, match=r"image 'mlfeat/nowhere:1' is not on the engine; pull or build it"):
        runtime.submit(Submission(job_id, SPEC))
    assert not (state / "jobs" / job_id).exists()


def test_a_mount_that_is_not_there(docker_client: Any, job_id: str) -> None:
    settings = Container(image="mlfeat/job:latest", mounts=(Mount(source="/nowhere/data"),))
    with pytest.raises(UserError, match="mount source /nowhere/data does not exist"):
        ContainerRuntime(settings, docker_client).submit(Submission(job_id, SPEC))


def test_an_engine_that_is_away(job_id: str) -> None:
    runtime = ContainerRuntime(Container(image="x", docker_url="unix:///nowhere/docker.sock"))
    with pytest.raises(TransientError, match="no Docker engine at unix:///nowhere/docker.sock"):
        runtime.submit(Submission(job_id, SPEC))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("dokcer", "unknown runtime 'dokcer'; known runtimes: in_process, process, container"),
        ({"kind": "container"}, "runtime 'container': field 'image' is missing"),
        ({"kind": "container", "image": "x", "gpu": 1}, "unknown field 'gpu'; did you mean 'gpus'?"),
        ({"kind": "container", "image": "x", "gpus": "1"}, "field 'gpus': Input should be a valid integer, got '1'"),
        ({"kind": "process", "image": "x"}, "runtime 'process': unknown field 'image'"),
    ],
)
def test_wrong_settings_get_one_sentence(value: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_runtime(value)
    assert message in str(error.value)
