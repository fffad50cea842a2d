"""The paths that clients of OpenMLDB's API server know, with the same bodies and with real statuses."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from airflow_provider_mlfeat.errors import StorageError, UserError
from airflow_provider_mlfeat.online.rows import RowReader
from airflow_provider_mlfeat.serving.server.documentation import ROW, body, refusals
from airflow_provider_mlfeat.serving.server.documents import parse_json, write_json
from airflow_provider_mlfeat.serving.server.failures import BadRequestError, RefusalError
from airflow_provider_mlfeat.serving.server.limits import MOST_ROWS, check_rows, check_token, read_body
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import DataType, Kind

router = APIRouter(tags=["openmldb"])
# Rows between two moments at which others get their turn.
_AT_ONCE = 50
_TYPES = {Kind.SMALLINT: "int16", Kind.INT: "int32", Kind.BIGINT: "int64"}
_REQUEST = body(
    {
        "type": "object",
        "properties": {
            "input": {"type": "array", "items": ROW, "maxItems": MOST_ROWS},
            "need_schema": {"type": "boolean"},
            "write_nan_and_inf_null": {"type": "boolean"},
        },
        "required": ["input"],
    },
    {"input": [["a", 1, 1458045784000]], "need_schema": True},
)
_ROWS = body(
    {"type": "object", "properties": {"value": {"type": "array", "items": ROW}}, "required": ["value"]},
    {"value": [["a", 1, 1458045784000]]},
)


# How the default database, which has no name, is called in a path.
_DEFAULT = "default"


def type_name(data_type: DataType) -> str:
    """How OpenMLDB's API writes a type."""
    return _TYPES.get(data_type.kind, str(data_type))


def _described(schema: Schema) -> list[dict[str, str]]:
    return [{"name": column.name, "type": type_name(column.type)} for column in schema]


def _ok(document: dict[str, Any], *, non_finite_null: bool = True, headers: dict[str, str] | None = None) -> Response:
    content = write_json({"code": 0, "msg": "ok", **document}, non_finite_null=non_finite_null)
    return Response(content, headers=headers, media_type="application/json")


async def _served(request: Request, database: str, name: str) -> Any:
    reference = name if database.lower() == _DEFAULT else f"{database}.{name}"
    try:
        return await request.app.state.live.features.served(reference)
    except StorageError:
        raise
    except UserError as error:
        raise RefusalError(404, str(error)) from None


@router.post(
    "/dbs/{database}/deployments/{name}",
    openapi_extra=_REQUEST,
    responses=refusals(400, 401, 404, 413, 503, 504),
    summary="Features of request rows",
)
async def features(request: Request, database: str, name: str) -> Response:
    """Answers follow the form of the first row: lists in the columns' order, or objects."""
    state = request.app.state
    check_token(request, state.token)
    async with state.gate.enter():
        document = parse_json(await read_body(request, state.settings.largest_body))
        served = await _served(request, database, name)
        rows, need_schema, non_finite_null = _read(document)
        values = _values(served.reader, rows)
        reference = served.deployment.reference
        answers = []
        for number, row in enumerate(values):
            if number and number % _AT_ONCE == 0:
                # A store in this process answers without waiting: others, and the deadline, get their turn here.
                await asyncio.sleep(0)
            answers.append(await state.live.features.answer(reference, row))
    data: dict[str, Any] = {"schema": _described(served.output_schema)} if need_schema else {}
    if rows and isinstance(rows[0], dict):
        names = [column.name for column in served.output_schema]
        data["data"] = [None if one is None else dict(zip(names, one, strict=True)) for one in answers]
    else:
        data["data"] = [None if one is None else list(one) for one in answers]
    # A header holds no letter but those of Latin-1, and a name may.
    headers = {"X-Deployment": quote(reference, safe="@."), "X-Plan-Id": served.deployment.plan_id}
    return _ok({"data": data}, non_finite_null=non_finite_null, headers=headers)


def _values(reader: RowReader, rows: list[Any]) -> list[tuple[Any, ...]]:
    try:
        return [reader(row, number) for number, row in enumerate(rows)]
    except UserError as error:
        raise BadRequestError(str(error)) from None


def _read(document: Any) -> tuple[list[Any], bool, bool]:
    rows = document.get("input") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise BadRequestError('the body is an object with a list of rows: {"input": [[…], …]}')
    check_rows(rows)
    flags = [document.get(name, False) for name in ("need_schema", "write_nan_and_inf_null")]
    if not all(isinstance(flag, bool) for flag in flags):
        raise BadRequestError("'need_schema' and 'write_nan_and_inf_null' are true or false")
    return rows, flags[0], flags[1]


@router.get(
    "/dbs/{database}/deployments/{name}", responses=refusals(401, 404, 503), summary="Columns of a deployment's rows"
)
async def deployment(request: Request, database: str, name: str) -> Response:
    """What goes in, what comes out, and which tables are read."""
    check_token(request, request.app.state.token)
    served = await _served(request, database, name)
    one = served.deployment
    data = {
        "name": one.name,
        "procedure": one.name,
        "version": one.version,
        "plan_id": one.plan_id,
        "sql": one.sql,
        "input_schema": _described(served.input_schema),
        "input_common_cols": [],
        "output_schema": _described(served.output_schema),
        "output_common_cols": [],
        "dbs": sorted({database for database, _ in one.tables()}),
        "tables": [table for _, table in one.tables()],
    }
    return _ok({"data": data})


@router.put(
    "/dbs/{database}/tables/{name}",
    openapi_extra=_ROWS,
    responses=refusals(400, 401, 404, 413, 503, 504, 507),
    summary="Add rows to a table",
)
async def put_rows(request: Request, database: str, name: str) -> Response:
    """All rows or none; they are safe when the answer comes."""
    state = request.app.state
    check_token(request, state.token)
    async with state.gate.enter():
        document = parse_json(await read_body(request, state.settings.largest_body))
        rows = document.get("value") if isinstance(document, dict) else None
        if not isinstance(rows, list) or not rows:
            raise BadRequestError('the body is an object with a list of rows: {"value": [[…], …]}')
        store = state.live.store
        table = await _table(request, database, name)
        data = RowReader.of_table(table.definition).table(rows)
        # A put waits for the disk or the network.
        await asyncio.to_thread(store.put, table, data)
    return _ok({})


async def _table(request: Request, database: str, name: str) -> Any:
    live = request.app.state.live
    try:
        return await live.features.run(lambda: live.store.table("" if database.lower() == _DEFAULT else database, name))
    except StorageError:
        raise
    except UserError as error:
        raise RefusalError(404, str(error)) from None


@router.get("/dbs", responses=refusals(401, 503), summary="The databases")
async def databases(request: Request) -> Response:
    """Their names."""
    check_token(request, request.app.state.token)
    live = request.app.state.live
    return _ok({"dbs": sorted({database or _DEFAULT for database, _ in await live.features.run(live.store.tables)})})


@router.get("/dbs/{database}/tables", responses=refusals(401, 404, 503), summary="The tables of a database")
async def tables(request: Request, database: str) -> Response:
    """Columns and indexes of each."""
    check_token(request, request.app.state.token)
    live = request.app.state.live
    found = [
        _table_document(table)
        for (owner, _), table in (await live.features.run(live.store.tables)).items()
        if (owner or _DEFAULT).lower() == database.lower()
    ]
    if not found:
        raise RefusalError(404, f"there is no database '{database}'")
    return _ok({"tables": found})


@router.get("/dbs/{database}/tables/{name}", responses=refusals(401, 404, 503), summary="One table")
async def one_table(request: Request, database: str, name: str) -> Response:
    """Its columns and indexes."""
    check_token(request, request.app.state.token)
    return _ok({"table": _table_document(await _table(request, database, name))})


def _table_document(table: Any) -> dict[str, Any]:
    columns = [
        {"name": column.name, "data_type": type_name(column.type), "not_null": column.not_null}
        for column in table.definition.columns
    ]
    keys = [
        {"index_name": index.name, "col_name": list(index.keys), "ts_name": index.ts or ""}
        for index in table.definition.indexes
    ]
    return {"name": table.definition.name, "db": table.definition.database, "column_desc": columns, "column_key": keys}
