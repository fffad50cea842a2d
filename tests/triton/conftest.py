"""A real Triton server, one for all tests that may share it, and models to serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.serving.triton.client import Access
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel
from airflow_provider_mlfeat.serving.triton.repository import ModelRepository
from airflow_provider_mlfeat.serving.triton.rollout import Patience, Rollout
from tests.triton.models import write_model

Models = Callable[..., ServedModel]
MakeRollout = Callable[..., Rollout]


@pytest.fixture(scope="session")
def environment() -> TritonEnvironment:
    try:
        return TritonEnvironment.find()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triton") / "repository"


@pytest.fixture(scope="session")
def server(environment: TritonEnvironment, repository: Path) -> Iterator[LocalServer]:
    """The shared server; tests keep apart by the names of their models."""
    with LocalServer(repository, environment=environment) as running:
        yield running


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Models by seed and by what is odd about them; each is made once."""
    made: dict[tuple[Any, ...], ServedModel] = {}

    def model(seed: int, **oddities: Any) -> ServedModel:
        key = (seed, *sorted(oddities.items()))
        if key not in made:
            made[key] = ServedModel.open(
                str(write_model(tmp_path_factory.mktemp("models") / "model", seed, **oddities))
            )
        return made[key]

    return model


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A model name of the test's own."""
    return "".join(letter if letter.isalnum() else "_" for letter in request.node.name)


@pytest.fixture
def fleet(server: LocalServer) -> Iterator[Fleet]:
    with Fleet([server.grpc_address], Access("grpc")) as servers:
        yield servers


@pytest.fixture
def rollout(repository: Path, fleet: Fleet, name: str) -> Iterator[Rollout]:
    """A roll-out of the test's model on the shared server."""
    made = rollout_of(repository, fleet, name)
    yield made
    fleet.try_each(lambda client: client.unload(name))


def rollout_of(repository: Path, fleet: Fleet, name: str, **patience: float) -> Rollout:
    """A roll-out without anybody who watches.

    :param repository: the model repository.
    :param fleet: the servers.
    :param name: the model.
    :param patience: in place of the usual.
    """
    directory = ModelRepository(str(repository)).model(name)
    return Rollout(directory, fleet, Progress(), patience=Patience(**patience))
