"""`/update` takes models from a real registry: by number or alias, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.registry.registration import Registration, register
from airflow_provider_mlfeat.registry.tracking import Tracking
from airflow_provider_mlfeat.serving import releases
from tests.registry import conftest as registries
from tests.serving import shops
from tests.serving.conftest import Serve
from tests.serving.shops import REQUEST

empty_database = registries.empty_database


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Tracking:
    """A registry with two models of the shop's plan, and one of another."""
    folder = tmp_path_factory.mktemp("registry")
    tracking = registries.tracking_at(folder / "mlflow", empty_database)
    with EmbeddedStore(folder / "online") as store:
        plan_id = shops.open_shop(store)
    for seed, plan, aliases in ((0, plan_id, ()), (1, plan_id, ("champion",)), (2, "f" * 64, ())):
        model = shops.make_model(folder / f"trained-{seed}", plan, seed)
        register(tracking, Registration("shoppers", model, aliases=aliases))
    return tracking


@pytest.fixture
def client(serve: Serve, registry: Tracking, store: EmbeddedStore, plan_id: str, tmp_path: Path) -> TestClient:
    """A server with features alone, that knows the registry."""
    shops.release(store, plan_id, None)
    started = serve(token="t", tracking_uri=registry.address, models=str(tmp_path / "models"))
    started.headers["Authorization"] = "Bearer t"
    return started


def update(client: TestClient, **document: Any) -> Any:
    return client.post("/update", json=document)


def test_a_model_by_number_and_by_alias(client: TestClient, store: EmbeddedStore) -> None:
    assert client.post("/predict", json=REQUEST).json()["features"]["bought"] == 2
    assert update(client, model_name="shoppers", model_version="1").json()["release"] == 2
    first = client.post("/predict", json=REQUEST).json()
    assert first["model"] == {"name": "shoppers", "version": "1"}
    assert update(client, model_name="shoppers", model_version="champion").json()["release"] == 3
    second = client.post("/predict", json=REQUEST).json()
    # The alias may move; the release names the version that it meant.
    assert second["model"] == {"name": "shoppers", "version": "2"}
    assert second["probability"] != first["probability"]
    assert update(client, model_name="shoppers", model_version="2").json()["release"] == 3
    assert releases.service(store.documents, "default").previous == (1, 2)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"model_name": "shoppers", "model_version": "9"}, "9"),
        ({"model_name": "shoppers", "model_version": "best"}, "has no alias 'best'"),
        ({"model_name": "strangers", "model_version": "1"}, "strangers"),
    ],
)
def test_what_the_registry_lacks(
    client: TestClient, store: EmbeddedStore, document: dict[str, str], message: str
) -> None:
    answer = update(client, **document)
    assert answer.status_code == 409, answer.text
    assert answer.json()["msg"].startswith("nothing was changed: ")
    assert message in answer.json()["msg"]
    assert releases.service(store.documents, "default").live == 1


def test_a_model_of_another_plan(client: TestClient, store: EmbeddedStore) -> None:
    answer = update(client, model_name="shoppers", model_version="3")
    assert (answer.status_code, "was trained on" in answer.json()["msg"]) == (409, True)
    assert len(releases.releases(store.documents, "default")) == 1
    assert "features" in client.post("/predict", json=REQUEST).json()
