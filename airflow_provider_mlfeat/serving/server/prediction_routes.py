"""Predictions, and which release makes them."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from airflow_provider_mlfeat.errors import MlfeatError, UserError
from airflow_provider_mlfeat.serving.server import updating
from airflow_provider_mlfeat.serving.server.documentation import ROW, body, refusals
from airflow_provider_mlfeat.serving.server.documents import parse_json, write_json
from airflow_provider_mlfeat.serving.server.failures import RefusalError
from airflow_provider_mlfeat.serving.server.limits import MOST_ROWS, check_rows, check_token, read_body

router = APIRouter(tags=["prediction"])
_BODY = body(
    {"anyOf": [{"type": "object"}, {"type": "array", "items": ROW, "maxItems": MOST_ROWS}]},
    {"user_id": "200080", "sku_id": "5505", "eventTime": 1458045784000},
)
_UPDATE = body(
    {
        "type": "object",
        "properties": {name: {"type": "string"} for name in updating.FIELDS},
        "additionalProperties": False,
    },
    {"deployment": "jd@3", "model_name": "jd_purchase_intention", "model_version": "7"},
)


@router.post(
    "/predict",
    openapi_extra=_BODY,
    responses=refusals(400, 401, 404, 413, 503, 504),
    summary="Probability of one request row, or of several",
)
async def predict(request: Request) -> Response:
    """One object gives one answer; a list of objects gives a list of answers in the same order."""
    return await _predict(request, request.app.state.settings.service)


@router.post(
    "/services/{service}/predict",
    openapi_extra=_BODY,
    responses=refusals(400, 401, 404, 413, 503, 504),
    summary="The same, of a service by its name",
)
async def predict_of(request: Request, service: str) -> Response:
    """See `/predict`."""
    return await _predict(request, service)


async def _predict(request: Request, service: str) -> Response:
    state = request.app.state
    check_token(request, state.token)
    async with state.gate.enter():
        document = parse_json(await read_body(request, state.settings.largest_body))
        answer: Any
        if isinstance(document, list):
            check_rows(document)
            answer = await asyncio.gather(
                *(state.predictor.predict(service, row, number) for number, row in enumerate(document))
            )
        else:
            answer = await state.predictor.predict(service, document)
    return Response(write_json(answer), media_type="application/json")


@router.get("/schema", responses=refusals(401, 404, 503), summary="The columns of a request row")
async def schema(request: Request) -> Response:
    """Name and type of each column, in order."""
    return _schema(request, request.app.state.settings.service)


@router.get("/services/{service}/schema", responses=refusals(401, 404, 503), summary="The same, of a service by name")
async def schema_of(request: Request, service: str) -> Response:
    """See `/schema`."""
    return _schema(request, service)


def _schema(request: Request, service: str) -> Response:
    check_token(request, request.app.state.token)
    one = request.app.state.live.get(service)
    columns = [{"name": column.name, "type": str(column.type)} for column in one.input_schema]
    return Response(write_json(columns), media_type="application/json")


@router.get("/services", responses=refusals(401), summary="The services and their live releases")
async def services(request: Request) -> Response:
    """What answers now."""
    check_token(request, request.app.state.token)
    live = request.app.state.live
    found = [
        {
            "service": name,
            "release": one.release.number,
            "deployment": one.release.deployment,
            "plan_id": one.release.plan_id,
            "model": None
            if one.release.model is None
            else {"name": one.release.model.name, "version": one.release.model.version},
        }
        for name, one in live.all().items()
    ]
    document = {"services": found, "failures": live.failures, "workers": live.workers.all()}
    return Response(write_json(document), media_type="application/json")


@router.post(
    "/update",
    openapi_extra=_UPDATE,
    responses=refusals(400, 401, 403, 404, 409, 413, 503),
    summary="Exchange deployment and model of a service",
)
async def update(request: Request) -> Response:
    """Prepares the new release, replays its golden rows, and only then makes it live; a failure changes nothing.

    The answer comes when every worker of this server answers with the release.
    """
    state = request.app.state
    if state.token is None:
        raise RefusalError(403, "updates need a server that was started with a bearer token")
    check_token(request, state.token)
    document = parse_json(await read_body(request, state.settings.largest_body))
    wanted = updating.read(document, state.settings.service)
    try:
        release = await asyncio.to_thread(updating.update, state.live, state.settings, wanted)
    except UserError as error:
        raise RefusalError(409, f"nothing was changed: {error}") from None
    except MlfeatError as error:
        raise RefusalError(503, f"nothing was changed: {error}", headers={"Retry-After": "5"}) from None
    await asyncio.to_thread(state.live.refresh)
    reason = await asyncio.to_thread(updating.wait_for_workers, state.live, release)
    if reason:
        raise RefusalError(503, f"release {release.name} is live, but {reason}", headers={"Retry-After": "5"})
    answer = {"code": 0, "msg": "ok", "service": release.service, "release": release.number}
    return Response(write_json(answer), media_type="application/json")
