"""Requests of every odd shape: the server answers each as its documentation says, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving.server.app import create_app
from airflow_provider_mlfeat.serving.server.settings import ServerSettings
from tests.serving import shops


@pytest.fixture(scope="module")
def shop_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The application with a live service, without a token so that every route is reached."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with EmbeddedStore(folder / "online") as store:
        plan_id = shops.open_shop(store)
        model = shops.make_model(folder / "model", plan_id)
        shops.release(store, plan_id, shops.reference(model))
        app = create_app(ServerSettings(store=str(folder / "online")))
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


def test_every_route(shop_app: Any) -> None:
    routes = set()
    for found in shop_app.get_all_operations():
        operation = found.ok()
        routes.add(operation.label)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            def ask(case: Case) -> None:
                answer = case.call()
                assert answer.status_code < 500 or answer.status_code in (503, 504), answer.text
                # Whether a value fits is known to the deployment, not to the document: a refusal is an answer.
                case.validate_response(answer, excluded_checks=[positive_data_acceptance, negative_data_rejection])

            ask()
    assert {"POST /predict", "PUT /dbs/{database}/tables/{name}", "POST /update"} <= routes
