"""Predictions and parity where the model runs on a real Triton server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving.scoring import ServedModel
from airflow_provider_mlfeat.serving.triton.client import Access
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel as ModelFiles
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.serving import shops
from tests.serving import test_parity_job as parity
from tests.serving.conftest import Serve
from tests.serving.shops import REQUEST
from tests.triton.conftest import rollout_of

place = parity.place


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    try:
        environment = TritonEnvironment.find()
    except UserError as error:
        pytest.skip(str(error))
    with LocalServer(tmp_path_factory.mktemp("triton") / "repository", environment=environment) as running:
        yield running


@pytest.fixture
def endpoint(triton: LocalServer, model: Path) -> Iterator[dict[str, Any]]:
    """The shop's model, live on Triton."""
    address = f"127.0.0.1:{triton.http_port}"
    with Fleet((address,), Access()) as fleet:
        rollout_of(triton.repository, fleet, "shoppers").deploy(ModelFiles.open(str(model)), 1)
        yield {"address": address, "protocol": "http", "model": "shoppers", "version": 1}


def test_the_server_asks_triton(
    serve: Serve, store: EmbeddedStore, model: Path, plan_id: str, endpoint: dict[str, Any]
) -> None:
    shops.release(store, plan_id, shops.reference(model, backend="triton", endpoint=endpoint))
    client = serve(deadline=10.0)
    here = TrainedModel.open(model)
    row = here.encoder.encode_row({"who": "ann", "spent": 7.5, "bought": 2, "kinds": "a,b", "level": 2})
    expected = float(here.predict(row.ids[None], row.values[None])[0])
    answers = client.post("/predict", json=[REQUEST] * 40).json()
    assert np.abs([one["probability"] - expected for one in answers]).max() < 1e-6


def test_a_model_that_triton_lacks_is_not_made_live(
    serve: Serve, store: EmbeddedStore, model: Path, plan_id: str, endpoint: dict[str, Any]
) -> None:
    reference = shops.reference(model, backend="triton", endpoint={**endpoint, "version": 9})
    shops.release(store, plan_id, reference)
    client = serve(deadline=10.0)
    assert client.post("/predict", json=REQUEST).status_code == 503
    with pytest.raises(Exception, match="shoppers"):
        ServedModel(reference)


def test_headers_come_from_the_environment_alone(
    serve: Serve, store: EmbeddedStore, model: Path, plan_id: str, endpoint: dict[str, Any], monkeypatch: Any
) -> None:
    from airflow_provider_mlfeat.serving import triton_scoring
    from airflow_provider_mlfeat.serving.server.settings import triton_headers_from_environment

    seen: list[Any] = []
    right = triton_scoring.TritonScorer.__init__

    def noted(self: Any, *given: Any, **named: Any) -> None:
        seen.append(named["headers"])
        right(self, *given, **named)

    monkeypatch.setattr(triton_scoring.TritonScorer, "__init__", noted)
    monkeypatch.setenv("MLFEAT_TRITON_HEADERS", '{"x-key": "s3cret"}')
    released = shops.release(store, plan_id, shops.reference(model, backend="triton", endpoint=endpoint))
    client = serve(deadline=10.0)
    assert client.post("/predict", json=REQUEST).status_code == 200
    assert seen == [(("x-key", "s3cret"),)]
    assert "s3cret" not in str(released.to_document())
    assert "s3cret" not in client.get("/services").text
    monkeypatch.setenv("MLFEAT_TRITON_HEADERS", "s3cret")
    with pytest.raises(UserError, match="is a JSON object of texts") as caught:
        triton_headers_from_environment()
    assert "s3cret" not in str(caught.value)


# ── parity ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def deployed(triton: LocalServer, folder: str, version: int) -> dict[str, Any]:
    """A model that is live on Triton under the name of all models here → its endpoint."""
    address = f"127.0.0.1:{triton.http_port}"
    with Fleet((address,), Access()) as fleet:
        rollout_of(triton.repository, fleet, "visits").deploy(ModelFiles.open(folder), version)
    return {"address": address, "protocol": "http", "model": "visits", "version": version}


def answered(endpoint: dict[str, Any]) -> int:
    """How many rows Triton itself says that it has scored."""
    url = f"http://{endpoint['address']}/v2/models/{endpoint['model']}/versions/{endpoint['version']}/stats"
    return int(httpx.get(url, trust_env=False).raise_for_status().json()["model_stats"][0]["inference_count"])


def test_parity_of_what_triton_answers(place: parity.Place, triton: LocalServer, tmp_path: Path) -> None:
    endpoint = deployed(triton, place.model, 1)
    before = answered(endpoint)
    result = place.check(backend="triton", endpoint=endpoint, report=str(tmp_path))
    assert (result.requests, result.mismatches, result.already_checked) == (300, 0, False)
    assert result.largest_difference < 1e-6
    # Each request once, and the golden rows when the model was opened.
    golden = len(TrainedModel.open(place.model).golden.outputs)
    assert answered(endpoint) - before == 300 + golden


def test_parity_with_another_model_on_triton(place: parity.Place, triton: LocalServer, tmp_path: Path) -> None:
    manifest = TrainedModel.open(place.model).manifest
    other = shops.write_model(tmp_path / "other", parity.encoder(str(manifest.plan_id)), parity.golden(), seed=5)
    endpoint = deployed(triton, str(other), 2)
    with pytest.raises(UserError, match="for golden row .*, where the trained model gave"):
        place.check(backend="triton", endpoint=endpoint, report=str(tmp_path / "report"))


def test_parity_with_a_triton_that_is_away(place: parity.Place, tmp_path: Path) -> None:
    endpoint = {"address": "127.0.0.1:9", "protocol": "http", "model": "visits", "version": 1}
    with pytest.raises(TransientError, match="127.0.0.1:9"):
        place.check(backend="triton", endpoint=endpoint, report=str(tmp_path))
