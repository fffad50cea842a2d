"""Predictions and parity where the model runs on a real Triton server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving.scoring import ServedModel
from airflow_provider_mlfeat.serving.triton.client import Access
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel as ModelFiles
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.serving import shops
from tests.serving.conftest import Serve
from tests.serving.shops import REQUEST
from tests.triton.conftest import rollout_of


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
