"""A model repository in an object store: a real server reads it in S3's protocol, from moto's server here.

``pip install 'moto[server]'`` beside the project, or ``MLFEAT_MOTO_SERVER`` with the path of its ``moto_server``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import CancelledError, TransientError, UserError
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.serving.triton import places
from airflow_provider_mlfeat.serving.triton.client import Access
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.places import ObjectPlace
from airflow_provider_mlfeat.serving.triton.repository import ModelRepository
from airflow_provider_mlfeat.serving.triton.rollout import Patience, Rollout
from tests.tables.test_s3 import NOBODY, options
from tests.triton.conftest import Models
from tests.triton.load import Load

__all__ = ["options"]
PLACE = "s3://bucket/models"


@pytest.fixture(scope="module")
def far_server(options: dict[str, str], environment: TritonEnvironment) -> Iterator[LocalServer]:
    """A server whose repository is the bucket; its credentials are those of its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, options[name])
        patch.setenv("AWS_DEFAULT_REGION", options["AWS_REGION"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        ModelRepository(PLACE, options).model("first").place.write("0/made", "a prefix is there when an object is")
        location = f"s3://{options['AWS_ENDPOINT_URL']}/bucket/models"
        with LocalServer(location, environment=environment) as running:
            yield running


@pytest.fixture
def rollout(far_server: LocalServer, options: dict[str, str], name: str) -> Iterator[Rollout]:
    with Fleet([far_server.grpc_address], Access("grpc")) as fleet:
        yield made(fleet, options, name)
        fleet.try_each(lambda client: client.unload(name))


def made(fleet: Fleet, options: dict[str, str], name: str, **patience: float) -> Rollout:
    return Rollout(ModelRepository(PLACE, options).model(name), fleet, Progress(), patience=Patience(**patience))


def test_roll_out_and_back_under_load(rollout: Rollout, models: Models, far_server: LocalServer) -> None:
    rollout.deploy(models(1), 1)
    known = [models(seed).golden_rows() for seed in (1, 2)]
    with Load(far_server.grpc_address, rollout.name, known) as load:
        second = rollout.deploy(models(2), 2)
        assert (second.state.live, second.state.loaded) == (2, (1, 2))
        assert not rollout.deploy(models(2), 2).changed
        assert rollout.roll_back(reason="worse").live == 1
        with pytest.raises(UserError, match="golden rows differ"):
            rollout.deploy(models(3, golden_shift=0.1), 3)
    assert (load.failures, load.wrong, load.sent > 100) == ([], [], True)
    assert rollout.directory.versions() == [1, 2]
    assert rollout.directory.state().history[-1]["action"] == "roll_back"
    assert rollout.directory.repository.models() == [rollout.name]
    rollout.unload()
    assert rollout.directory.place.read("config.pbtxt") is None


def test_half_of_a_version_is_none(rollout: Rollout, models: Models) -> None:
    """Whoever is killed while it writes leaves files without a manifest; the next one writes over them."""
    files = 0

    def check() -> None:
        nonlocal files
        files += 1
        # Once per file of the copy, then once per file of the upload.
        if files > 4:
            raise CancelledError("the job was cancelled")

    with pytest.raises(CancelledError):
        rollout.directory.write_version(1, models(1), "python", {}, check)
    assert isinstance(rollout.directory.place, ObjectPlace)
    assert rollout.directory.place.names("") != []
    assert (rollout.directory.versions(), rollout.directory.manifest(1)) == ([], None)
    assert rollout.deploy(models(1), 1).state.live == 1
    rollout.unload()
    rollout.directory.remove_version(1)
    assert rollout.directory.place.names("1") == []


def test_two_roll_outs_at_once_wait_for_each_other(
    rollout: Rollout, models: Models, options: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def deploy(version: int) -> None:
        made(rollout.fleet, options, name).deploy(models(version), version)
        done.append(version)

    threads = [threading.Thread(target=deploy, args=(version,)) for version in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(done), rollout.directory.state().live) == ([1, 2], done[-1])
    with rollout.directory.locked(1, lambda: None, lambda _: None):
        with pytest.raises(TransientError, match=f"another roll-out of '{name}' was not done within 0 s \\(process"):
            made(rollout.fleet, options, name, lock_seconds=0).roll_back()
    # The lock of a process that died is not believed for ever, however its clock went.
    monkeypatch.setattr(places, "_STALE_SECONDS", 0.3)
    rollout.directory.place.write("0/lock", json.dumps({"token": "x", "holder": "a dead process", "at": 1e12}))
    rollout.unload()
    assert rollout.directory.place.read("0/lock") is None


def test_the_job_gets_its_credentials_as_secrets(
    far_server: LocalServer, options: dict[str, str], models: Models, name: str
) -> None:
    place = {"servers": [far_server.grpc_address], "protocol": "grpc", "repository": PLACE, "triton_model": name}
    spec = parse_spec({"kind": "deploy_triton_model", **place, "model": str(models(1).folder)})
    secrets = {f"storage.{option}": value for option, value in options.items()}
    done: Any = run(spec, secrets=secrets)
    assert (done.triton_version, done.repository) == (1, PLACE)
    run(parse_spec({"kind": "unload_triton_model", **place}), secrets=secrets)


def test_a_store_that_does_not_answer(fleet: Fleet, models: Models, tmp_path: Path, name: str) -> None:
    with pytest.raises(TransientError, match=f"reading '{PLACE}/{name}/0/lock'"):
        made(fleet, NOBODY, name).deploy(models(1), 1)


def test_a_bucket_that_is_not_there(fleet: Fleet, models: Models, options: dict[str, str]) -> None:
    rollout = Rollout(ModelRepository("s3://nobody", options).model("jd"), fleet, Progress())
    with pytest.raises(UserError, match="no such bucket; create it, or correct the model repository"):
        rollout.deploy(models(1), 1)
