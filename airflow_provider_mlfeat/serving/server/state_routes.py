"""Whether the server lives, whether it can answer, and its figures."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from airflow_provider_mlfeat.serving.server.documentation import refusals
from airflow_provider_mlfeat.serving.server.documents import write_json
from airflow_provider_mlfeat.serving.server.failures import RefusalError
from airflow_provider_mlfeat.serving.server.limits import check_token

router = APIRouter(tags=["state"])


@router.get("/health", summary="Whether the process answers")
async def health() -> Response:
    """It does."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/ready", responses=refusals(503), summary="Whether the default service can answer")
async def ready(request: Request) -> Response:
    """The store answers, and the service that `/predict` means has a live release."""
    state = request.app.state
    try:
        await asyncio.wait_for(asyncio.to_thread(state.live.store.documents.revision), state.settings.deadline)
    except Exception as error:  # noqa: BLE001 - whatever it is, the store cannot be asked
        raise RefusalError(503, f"the online store does not answer: {error}") from None
    one = state.live.get(state.settings.service) if _has_services(request) else None
    answer = {"status": "ready", "release": None if one is None else one.release.name}
    return Response(write_json(answer), media_type="application/json")


def _has_services(request: Request) -> bool:
    """A server of deployments alone is ready without a release."""
    state = request.app.state
    return bool(state.live.all() or state.live.failures) or state.settings.service != "default"


@router.get("/metrics", response_class=PlainTextResponse, responses=refusals(401), summary="Figures for Prometheus")
async def metrics(request: Request) -> Response:
    """Counts and times of this worker, or of all of them."""
    check_token(request, request.app.state.token)
    return Response(request.app.state.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
