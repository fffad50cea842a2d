"""What every request passes first: it is counted, and what is asked often goes straight to its handler."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request

from airflow_provider_mlfeat.serving.server.failures import answer_error
from airflow_provider_mlfeat.serving.server.metrics import Metrics

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

_UNKNOWN = "other"


class Front:
    """A plain ASGI layer.

    FastAPI's routing, dependencies and error layers cost a request more time than its features do. The routes that are
    asked often need none of them: their handlers, which FastAPI documents like all others, are called from here.

    :param app: what answers all other requests.
    :param metrics: where requests are counted, by route and status.
    :param often: routes whose handlers take the request and the path's parameters as text.
    """

    def __init__(self, app: Application, metrics: Metrics, often: Sequence[APIRoute]) -> None:
        self._app, self._metrics = app, metrics
        self._by_path = {route.path: route for route in often if "{" not in route.path}
        self._by_pattern = [route for route in often if "{" in route.path]

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

        found = self._find(scope)
        try:
            if found is None:
                await self._app(scope, receive, note)
            else:
                await _handle(found, scope, receive, note)
        finally:
            route = scope.get("route") if found is None else found[0]
            self._metrics.count(getattr(route, "path", _UNKNOWN), status, time.perf_counter() - began)

    def _find(self, scope: Any) -> tuple[APIRoute, dict[str, str]] | None:
        if scope["method"] != "POST":
            return None
        path = scope["path"]
        route = self._by_path.get(path)
        if route is not None:
            return route, {}
        for one in self._by_pattern:
            match = one.path_regex.match(path)
            if match is not None:
                return one, match.groupdict()
        return None


async def _handle(found: tuple[APIRoute, dict[str, str]], scope: Any, receive: Receive, send: Send) -> None:
    route, parameters = found
    request = Request(scope, receive)
    try:
        response = await route.endpoint(request, **parameters)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
        response = await answer_error(request, error)
    await response(scope, receive, send)
