"""``mlfeat online``: deploy features, load the online store, and look into it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.commands.storage import add_storage_arguments, parse_pairs, storage_fields

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.opening import StoreAddress
    from airflow_provider_mlfeat.online.store import OnlineStore


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(metavar="ACTION", required=True)
    actions = {}
    for name, execute, summary in (
        ("deploy", _deploy, "make a feature query a version that answers requests"),
        ("load", _load, "load offline tables, or files, into the online store"),
        ("ingest", _ingest, "put the entries of a Redis Stream into the online store"),
        ("tables", _tables, "list the tables, what is kept of them, and how much room they take"),
        ("deployments", _deployments, "list the deployments with all their versions"),
        ("show", _show, "show a deployment: SQL, columns, history that it needs"),
        ("features", _features, "compute the features of one request and say what they were computed from"),
        ("switch", _switch, "make a version the live one"),
        ("rollback", _rollback, "make the version live that was live before"),
        ("drop", _drop, "delete a version, or a deployment with all its versions"),
    ):
        actions[name] = command = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        command.set_defaults(execute=execute)
        command.add_argument(
            "--store",
            default=os.environ.get("MLFEAT_ONLINE_STORE", ""),
            metavar="PLACE",
            help="folder of an embedded store, or redis://host:port/database (default: $MLFEAT_ONLINE_STORE, else"
            " ~/.mlfeat/online)",
        )
    deploy = actions["deploy"]
    deploy.add_argument("sql", metavar="FILE.sql", help="a query, or a DEPLOY statement")
    deploy.add_argument("--name", default="", help="of the deployment, where the statement does not say it")
    deploy.add_argument("--database", default="", help="the current database")
    deploy.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="such as range_bias=10d")
    deploy.add_argument("--model", default="", metavar="FOLDER", help="the model that answers with these features")
    deploy.add_argument("--replace", action="store_true", help="take the place of another query")
    deploy.add_argument("--no-switch", action="store_true", help="do not make it live")
    load = actions["load"]
    load.add_argument("--deployment", default="", metavar="NAME", help="load all tables that it needs")
    load.add_argument("--table", action="append", default=[], metavar="TABLE[@VERSION]", help="load an offline table")
    load.add_argument("--into", default="", metavar="TABLE", help="load files into this table")
    load.add_argument("paths", nargs="*", metavar="PATH", help="files, folders and patterns for --into")
    load.add_argument("--mode", choices=("follow", "append", "replace"), default="", help="how rows come to others")
    load.add_argument("--load-id", default="", metavar="ID", help="the same id is appended to a table once")
    load.add_argument("--earliest", type=int, metavar="MS", help="no request will be for a time before this")
    for command in (deploy, load):
        add_storage_arguments(command)
    ingest = actions["ingest"]
    ingest.add_argument("stream", metavar="STREAM", help="key of the stream")
    ingest.add_argument("--from", dest="source", default="", metavar="PLACE", help="its Redis, if it is another one")
    ingest.add_argument("--table", default="", metavar="TABLE", help="table of entries that name none")
    ingest.add_argument("--group", default="mlfeat", help="group of consumers (default: %(default)s)")
    ingest.add_argument("--consumer", default="1", help="this consumer's name (default: %(default)s)")
    ingest.add_argument("--idle-seconds", type=float, metavar="N", help="end when nothing came for so long")
    for name in ("show", "features", "switch", "rollback", "drop"):
        actions[name].add_argument("deployment", metavar="NAME", help="[DATABASE.]NAME[@VERSION]")
    actions["features"].add_argument("row", metavar="JSON", help="the request row: a list or an object")
    actions["rollback"].add_argument("--to", type=int, metavar="VERSION", help="which version")


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _deploy(options: argparse.Namespace) -> int:
    try:
        sql = Path(options.sql).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{options.sql}: {error.strerror}") from None
    document = {
        "kind": "deploy_features",
        **storage_fields(options),
        "sql": sql,
        "name": options.name,
        "database": options.database,
        "options": parse_pairs(options.option, "--option", "NAME=VALUE"),
        "model": options.model,
        "replace": options.replace,
        "switch": not options.no_switch,
    }
    return _run(options, document)


def _load(options: argparse.Namespace) -> int:
    versions: dict[str, int | None] = {}
    for text in options.table:
        name, _, version = text.partition("@")
        if version and not version.isdigit():
            raise UserError(f"--table takes TABLE or TABLE@VERSION, not '{text}'")
        versions[name] = int(version) if version else None
    document = {
        "kind": "load_online",
        **storage_fields(options),
        "deployment": options.deployment,
        "tables": versions,
        "table": options.into,
        "paths": options.paths,
        "mode": options.mode,
        "load_id": options.load_id,
        "earliest": options.earliest,
    }
    return _run(options, document)


def _ingest(options: argparse.Namespace) -> int:
    document: dict[str, Any] = {
        "kind": "ingest_stream",
        "stream": options.stream,
        "table": options.table,
        "group": options.group,
        "consumer": options.consumer,
        "idle_seconds": options.idle_seconds,
    }
    if options.source:
        document["source"] = _place(_address(options.source))
    return _run(options, document)


def _run(options: argparse.Namespace, document: dict[str, Any]) -> int:
    from airflow_provider_mlfeat.jobs.commands.run import run_document
    from airflow_provider_mlfeat.jobs.online.place import PASSWORD_SECRET

    address = _address(options.store)
    secrets = {PASSWORD_SECRET: address.password} if address.password else {}
    print(json.dumps(run_document({**document, "online": _place(address)}, secrets=secrets), indent=1))
    return 0


def _place(address: StoreAddress) -> dict[str, Any]:
    """An address as a spec says it."""
    from dataclasses import asdict

    return {name: value for name, value in asdict(address).items() if name != "password"}


# ── looking and switching ───────────────────────────────────────────────────────────────────────────────────────────


def _tables(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.tables.display import text_table

    with _store(options) as store:
        size, tables = store.size(), store.tables()
        rows = [
            [name, series, count, _source(table.source)]
            for table in tables.values()
            for name in [table.qualified_name]
            for series, count in size.tables[name].items()
        ]
    print(text_table(["table", "kept", "rows", "loaded from"], rows) if rows else "no tables")
    print(f"{size.stored_bytes / 2**20:.1f} MiB in all")
    return 0


def _source(source: Any) -> str:
    return f"version {source['version']}" if source else ""


def _deployments(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.tables.display import text_table
    from airflow_provider_mlfeat.online.deployments import all_deployments, live_version

    with _store(options) as store:
        draft = store.documents.read()
    rows = [
        [
            one.reference,
            "live" if live_version(draft, one.database, one.name) == one.version else "",
            one.plan_id[:12],
            "@".join(str(one.model[part]) for part in ("name", "version") if one.model.get(part)),
            one.created_at,
        ]
        for one in all_deployments(draft)
    ]
    print(text_table(["deployment", "", "plan", "model", "created"], rows) if rows else "no deployments")
    return 0


def _show(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.online.deployments import find_deployment, input_schema

    with _store(options) as store:
        one = find_deployment(store.documents.read(), options.deployment)
    plan = one.plan()
    document = {
        "deployment": one.reference,
        "plan_id": one.plan_id,
        "sql": one.sql,
        "options": dict(one.options),
        "model": dict(one.model),
        "input": {column.name: str(column.type) for column in input_schema(plan)},
        "output": [[column.name, str(column.type)] for column in plan.schema],
        "history": [need.to_document() for need in one.needs],
        "created_at": one.created_at,
    }
    print(json.dumps(document, indent=1, ensure_ascii=False))
    return 0


def _features(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.online.features import FeatureService

    try:
        given = json.loads(options.row)
    except ValueError as error:
        raise UserError(f"the request row is no JSON: {error}") from None
    with _store(options) as store:
        service = FeatureService(store)
        row = service.served(options.deployment).reader(given)
        print(json.dumps(service.explain(options.deployment, row), indent=1, ensure_ascii=False, default=str))
    return 0


def _switch(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.online.deploying import switch

    with _store(options) as store:
        found, before = switch(store, options.deployment)
    was = "it was before" if before == found.version else f"version {before} was" if before else "none was"
    print(f"{found.reference} is live ({was})")
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.online.deploying import rollback

    with _store(options) as store:
        print(f"{rollback(store, options.deployment, options.to).reference} is live")
    return 0


def _drop(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.online.deploying import drop

    with _store(options) as store:
        gone = drop(store, options.deployment)
    print(f"dropped {', '.join(one.reference for one in gone)}")
    return 0


def _address(place: str) -> StoreAddress:
    from airflow_provider_mlfeat.serving.server.stores import parse_place

    return parse_place(place)


def _store(options: argparse.Namespace) -> OnlineStore:
    from airflow_provider_mlfeat.online.opening import open_store

    return open_store(_address(options.store))
