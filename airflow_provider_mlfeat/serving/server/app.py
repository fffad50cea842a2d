"""The application that one worker process runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

import airflow_provider_mlfeat
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.serving.server import openmldb_routes, prediction_routes, state_routes
from airflow_provider_mlfeat.serving.server.documents import write_json
from airflow_provider_mlfeat.serving.server.failures import RefusalError
from airflow_provider_mlfeat.serving.server.limits import Gate
from airflow_provider_mlfeat.serving.server.live import Live, Predictor
from airflow_provider_mlfeat.serving.server.metrics import Metrics
from airflow_provider_mlfeat.serving.server.settings import ServerSettings, token_from_environment
from airflow_provider_mlfeat.serving.server.stores import open_store

log = logging.getLogger("mlfeat.serve")
_UNKNOWN = "other"


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
    app.add_middleware(_Counted, metrics=app.state.metrics)
    app.add_exception_handler(RefusalError, _refused)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(TransientError, _transient)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the store, load what is live, and look for changes until the end."""
    live = Live(open_store(app.state.settings.store), app.state.settings, app.state.metrics)
    app.state.live, app.state.predictor = live, Predictor(live, app.state.metrics)
    await asyncio.to_thread(live.refresh)
    watching = asyncio.create_task(_watch(live, app.state.settings.refresh_seconds))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.to_thread(live.close)


async def _watch(live: Live, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(live.refresh)
        except Exception as error:  # noqa: BLE001 - the next look may succeed; the live release goes on answering
            log.warning("the store does not tell what is live: %s", error)


def _answer(refusal: RefusalError) -> Response:
    return Response(write_json(refusal.to_document()), refusal.status, refusal.headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return _answer(error)


async def _user_error(request: Request, error: Exception) -> Response:
    return _answer(RefusalError(400, str(error)))


async def _transient(request: Request, error: Exception) -> Response:
    return _answer(RefusalError(503, str(error), headers={"Retry-After": "1"}))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(RefusalError(error.status_code, str(error.detail), headers=error.headers))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(RefusalError(500, "an error of the server; its log says more"))


Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class _Counted:
    """Counts requests and their seconds by route, as a plain ASGI layer: it costs microseconds.

    :param app: what answers.
    :param metrics: where it counts.
    """

    def __init__(self, app: Callable[[Any, Receive, Send], Awaitable[None]], metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def note(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", _UNKNOWN)
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - began)
