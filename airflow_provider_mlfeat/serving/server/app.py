"""The application that one worker process runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

import airflow_provider_mlfeat
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.serving.server import openmldb_routes, prediction_routes, state_routes
from airflow_provider_mlfeat.serving.server.failures import RefusalError, answer_error
from airflow_provider_mlfeat.serving.server.front import Front
from airflow_provider_mlfeat.serving.server.limits import Gate
from airflow_provider_mlfeat.serving.server.live import Live, Predictor
from airflow_provider_mlfeat.serving.server.metrics import Metrics
from airflow_provider_mlfeat.serving.server.settings import ServerSettings, token_from_environment
from airflow_provider_mlfeat.serving.server.stores import open_store

log = logging.getLogger("mlfeat.serve")
_OFTEN = (prediction_routes.predict, prediction_routes.predict_of, openmldb_routes.features)


def create_app(settings: ServerSettings | None = None) -> FastAPI:
    """The application; without settings, those that the starting process left in the environment."""
    settings = settings or ServerSettings.from_environment()
    app = FastAPI(
        title="mlfeat",
        version=airflow_provider_mlfeat.__version__,
        summary="Features and predictions for single requests",
        description="Answers with the same SQL and the same encoder that made the training set.",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.token = token_from_environment()
    app.state.metrics = Metrics()
    app.state.gate = Gate(settings.in_flight, settings.deadline)
    for routes in (prediction_routes, openmldb_routes, state_routes):
        app.include_router(routes.router)
    often = [route for route in app.routes if isinstance(route, APIRoute) and route.endpoint in _OFTEN]
    app.add_middleware(Front, metrics=app.state.metrics, often=often)
    for kind in (RefusalError, UserError, TransientError, HTTPException, Exception):
        app.add_exception_handler(kind, answer_error)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the store, load what is live, and look for changes until the end."""
    live = Live(open_store(app.state.settings.store), app.state.settings, app.state.metrics)
    app.state.live, app.state.predictor = live, Predictor(live, app.state.metrics)
    try:
        await asyncio.to_thread(live.refresh)
    except TransientError as error:
        # A worker that comes up while the store is away must not end the server: it looks again.
        log.warning("the store does not tell what is live: %s", error)
    # What is there now stays: the collector need not walk it again and again while requests wait.
    gc.collect()
    gc.freeze()
    watching = asyncio.create_task(_watch(live, app.state.settings.refresh_seconds))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.to_thread(live.close)


async def _watch(live: Live, seconds: float) -> None:
    said = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(live.refresh)
        except Exception as error:  # noqa: BLE001 - the next look may succeed; the live release goes on answering
            if str(error) != said:
                said = str(error)
                log.warning("the store does not tell what is live: %s", said)
        else:
            said = ""
