"""What `resources` of a task becomes, in each place where its job can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.operator_resources import Resources

import docker
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.operators.dataset import BuildDatasetOperator
from airflow_provider_mlfeat.operators.job import JobOperator, RunJobOperator
from airflow_provider_mlfeat.operators.resources import JobResources
from airflow_provider_mlfeat.operators.training import TrainModelOperator
from airflow_provider_mlfeat.runtimes.container import ContainerRuntime
from airflow_provider_mlfeat.runtimes.runtime import Submission
from airflow_provider_mlfeat.runtimes.settings import parse_runtime

GIVEN = {"gpus": 1, "memory": "8g", "cpus": 2}
CONTAINER = {"kind": "container", "image": "mlfeat/job:latest"}
LIMITS = {"cpu": "2000m", "memory": "8Gi", "nvidia.com/gpu": "1"}
KUBERNETES = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"


def task(**arguments: Any) -> JobOperator:
    return RunJobOperator(spec={"kind": "file_manifest"}, **{"task_id": "t", "resources": GIVEN, **arguments})


class RecordingClient(docker.APIClient):
    """Docker's own client up to where it would write to the engine."""

    def inspect_image(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    def inspect_container(self, name: str, *_: Any) -> dict[str, Any]:
        raise docker.errors.NotFound(name)

    def remove_container(self, name: str, **_: Any) -> None:
        raise docker.errors.NotFound(name)

    def create_container_from_config(self, config: dict[str, Any], *_: Any, **__: Any) -> None:
        self.config = config
        raise docker.errors.DockerException("written down")


def test_the_docker_engine_is_asked_for_limits_and_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFEAT_STATE", str(tmp_path))
    client = RecordingClient(base_url="http://127.0.0.1:9", version="1.44")
    settings = parse_runtime(task(runtime=CONTAINER)._settings())
    with pytest.raises(Exception, match="written down"):
        ContainerRuntime(settings, client).submit(Submission("resources-test", {"kind": "file_manifest"}))
    host = client.config["HostConfig"]
    assert (host["Memory"], host["NanoCpus"]) == (8 << 30, 2_000_000_000)
    (request,) = host["DeviceRequests"]
    assert (request["Driver"], request["Count"], request["Capabilities"]) == ("nvidia", 1, [["gpu"]])


def test_the_runtimes_own_limits_hold_where_the_task_says_nothing() -> None:
    runtime = {**CONTAINER, "memory": "4g", "gpus": 2, "cpus": 1.0}
    settings = task(runtime=runtime, resources={"cpus": 3})._settings()
    assert (settings["memory"], settings["gpus"], settings["cpus"]) == ("4g", 2, 3.0)


def test_a_process_gets_as_many_threads_as_cores() -> None:
    settings = task(runtime="process")._settings()
    assert settings["environment"] == {"OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    own = {"kind": "process", "environment": {"OMP_NUM_THREADS": "7"}}
    assert task(runtime=own, resources={"cpus": 0.5})._settings()["environment"] == {
        "OMP_NUM_THREADS": "7",
        "NUMBA_NUM_THREADS": "1",
    }
    assert task(runtime="process", resources={"memory": "1g"})._settings()["environment"] == {}
    assert task(runtime="in_process")._settings() == {"kind": "in_process"}


def test_gpus_are_slots_of_a_pool() -> None:
    assert task(resources={"gpus": 3}, pool="gpu").pool_slots == 3
    assert task(resources={"gpus": 3}, pool="gpu", pool_slots=1).pool_slots == 1
    assert task(resources={"gpus": 3}).pool_slots == 1
    assert task(resources={"cpus": 3}, pool="gpu").pool_slots == 1
    with DAG("d", schedule=None, default_args={"pool": "gpu"}):
        assert task(resources={"gpus": 3}).pool_slots == 3
    with DAG("d", schedule=None, default_args={"pool": "gpu", "pool_slots": 2, "executor_config": {"a": 1}}):
        assert task(resources={"gpus": 3}).pool_slots == 2
        assert task(task_id="u", executor="KubernetesExecutor").executor_config == {"a": 1}


def test_airflow_shows_them() -> None:
    shown = task().resources
    assert isinstance(shown, Resources)
    assert (shown.gpus.qty, shown.cpus.qty, shown.ram.qty) == (1, 2.0, 8192)
    assert task(resources=None).resources is None


def test_a_pod_gets_limits_under_a_kubernetes_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not task().executor_config
    chosen = task(executor=KUBERNETES).executor_config["pod_override"]
    try:
        from kubernetes.client import ApiClient
    except ModuleNotFoundError:
        found = chosen
    else:
        found = ApiClient().sanitize_for_serialization(chosen)
    assert found == {"spec": {"containers": [{"name": "base", "resources": {"limits": LIMITS, "requests": LIMITS}}]}}
    # The container beside the pod has the limits then, and the pod only waits.
    assert not task(executor=KUBERNETES, runtime=CONTAINER).executor_config
    own = {"pod_override": "mine"}
    assert task(executor=KUBERNETES, executor_config=own).executor_config == own
    assert not task(executor=KUBERNETES, resources=None).executor_config
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "KubernetesExecutor,LocalExecutor")
    assert task().executor_config
    assert not task(executor="LocalExecutor").executor_config


@pytest.mark.parametrize(
    ("memory", "kubernetes"), [("512m", "512Mi"), ("8G", "8Gi"), ("8gb", "8Gi"), ("640k", "640Ki"), ("1000", "1000")]
)
def test_memory_in_other_units(memory: str, kubernetes: str) -> None:
    resources = JobResources.parse({"memory": memory})
    assert resources.for_kubernetes() == {"memory": kubernetes}
    # Airflow counts whole megabytes.
    assert (resources.for_airflow() or {})["ram"] == -(-docker.utils.parse_bytes(memory) // 2**20)


def test_airflows_own_way_of_saying_it() -> None:
    assert JobResources.parse({"ram": 512, "cpus": 4}) == JobResources(None, 4.0, "512m")
    assert JobResources.parse(Resources(gpus=2, cpus=3)) == JobResources(2, 3.0, None)
    mapped = RunJobOperator.partial(task_id="t", resources=GIVEN).expand(spec=[{}])
    assert mapped.partial_kwargs["resources"] == GIVEN


def test_every_operator_takes_them_and_training_takes_them_twice() -> None:
    settings = BuildDatasetOperator(task_id="b", label_column="y", path="/p", runtime=CONTAINER, resources=GIVEN)
    assert settings._settings()["memory"] == "8g"
    train = TrainModelOperator(task_id="t", dataset="/d", gpus=2, resources=GIVEN, pool="gpu", runtime=CONTAINER)
    assert (train.pool_slots, train._settings()["gpus"], train._settings()["memory"]) == (2, 2, "8g")
    assert train._devices() == {"device": "cuda", "processes": 2}
    train = TrainModelOperator(task_id="t", dataset="/d", gpus="{{ params.gpus }}", resources=GIVEN, pool="gpu")
    assert train.pool_slots == 1
    train.gpus = "4"
    assert train.limits() == JobResources(4, 2.0, "8g")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpu": 1}, "resources takes gpus, cpus, memory, not 'gpu'"),
        ({"gpus": "some"}, "gpus takes a number, not 'some'"),
        ({"memory": "lots"}, "memory takes a number with a unit, such as 512m or 8g, not 'lots'"),
        ({"memory": "8Gi"}, "memory takes a number with a unit"),
        ({"cpus": 0}, "cpus has to be above 0"),
        ({"gpus": -1}, "gpus not below it"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        task(resources=given)
