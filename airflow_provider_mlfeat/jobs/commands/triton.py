"""``mlfeat triton``: a Triton server on this machine, and what is live on servers anywhere."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import TransientError, UserError

_LOOK_SECONDS = 0.5
_STOPS = (signal.SIGINT, signal.SIGTERM)


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(metavar="ACTION", required=True)

    up = commands.add_parser("up", help="start a server and stay until it is told to stop")
    _add_repository(up)
    up.add_argument("--environment", metavar="FOLDER", help="the server's virtual environment; 'make triton' makes it")
    up.add_argument("--host", default="127.0.0.1", help="address to listen at; who reaches it can run code on it")
    for name, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        up.add_argument(f"--{name}-port", type=int, default=port, metavar="PORT", help=f"default {port}; 0: a free one")
    up.add_argument("--cache-bytes", type=int, default=0, metavar="N", help="size of the response cache")
    up.add_argument("--log", metavar="FILE", help="append the server's output there")
    up.set_defaults(execute=_up)

    status = commands.add_parser("status", help="what is live, as the servers and the repository say")
    _add_repository(status)
    _add_servers(status)
    status.set_defaults(execute=_status)

    restore = commands.add_parser("restore", help="make servers that restarted hold what is live, all models of it")
    _add_repository(restore)
    _add_servers(restore)
    restore.set_defaults(execute=_restore)

    deploy = commands.add_parser("deploy", help="bring a model folder live")
    deploy.add_argument("model", metavar="FOLDER", help="the model folder")
    deploy.add_argument("--version", default="", metavar="N", help="its number; the default finds one")
    deploy.add_argument("--canary", default="{}", metavar="JSON", help='such as {"share": 0.1, "seconds": 60}')
    deploy.add_argument("--tuning", default="{}", metavar="JSON", help='such as {"instances": 2}')
    deploy.add_argument("--raw-features", action="store_true", help="also NAME_raw, which encodes inside the server")
    rollback = commands.add_parser("rollback", help="go back to an earlier version")
    rollback.add_argument("--version", type=int, metavar="N", help="the default is the one before")
    rollback.add_argument("--reason", default="", help="why, for the record")
    unload = commands.add_parser("unload", help="stop serving a model, or let go one version")
    unload.add_argument("--version", type=int, metavar="N", help="a version that is not live")
    for command, execute in ((deploy, _deploy), (rollback, _rollback), (unload, _unload)):
        command.add_argument("--name", required=True, help="the model's name in Triton")
        _add_repository(command)
        _add_servers(command)
        command.set_defaults(execute=execute)


def _add_repository(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repository", required=True, metavar="FOLDER", help="the model repository")


def _add_servers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", action="append", metavar="HOST:PORT", help="a server; may be given more than once")
    parser.add_argument("--protocol", choices=("http", "grpc"), default="http")


def _up(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
    from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
    from airflow_provider_mlfeat.serving.triton.repository import ModelRepository

    repository = ModelRepository(options.repository)
    # What was live when the last server stopped is live again: its configuration file says with which versions.
    live = [name for name in repository.models() if repository.model(name).state().live is not None]
    environment = TritonEnvironment.find(Path(options.environment) if options.environment else None)
    server = LocalServer(
        repository.location,
        environment=environment,
        host=options.host,
        http_port=options.http_port,
        grpc_port=options.grpc_port,
        metrics_port=options.metrics_port,
        models=live,
        cache_bytes=options.cache_bytes,
        log=Path(options.log).absolute() if options.log else None,
        start_seconds=30.0 + 60.0 * len(live),
    )
    asked: list[int] = []
    before = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in _STOPS}
    try:
        with server:
            addresses = {"http": server.http_address, "grpc": server.grpc_address}
            metrics = f"{server.host}:{server.metrics_port}"
            print(json.dumps({**addresses, "metrics": metrics, "models": live, "pid": server.process_id}), flush=True)
            while not asked:
                if (code := server.wait(_LOOK_SECONDS)) is not None:
                    raise TransientError(f"Triton ended with code {code}: {server.last_words()}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _status(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.errors import MlfeatError
    from airflow_provider_mlfeat.serving.triton.client import Access
    from airflow_provider_mlfeat.serving.triton.fleet import Fleet, ready_versions
    from airflow_provider_mlfeat.serving.triton.repository import ModelRepository

    repository = ModelRepository(options.repository)
    shown: dict[str, Any] = {}
    with Fleet(_servers(options), Access(options.protocol, timeout=5)) as fleet:
        for name in repository.models():
            directory = repository.model(name)
            state = directory.state()
            held = fleet.try_each(lambda client, model=name: ready_versions(client, model))  # type: ignore[misc]
            shown[name] = {
                "live": state.live,
                "previous": state.previous,
                "loaded": list(state.loaded),
                "canary": state.document()["canary"],
                "versions": directory.versions(),
                "servers": {
                    address: str(answer) if isinstance(answer, MlfeatError) else sorted(answer)
                    for address, answer in held.items()
                },
                "last": state.history[-1] if state.history else None,
            }
    print(json.dumps(shown, indent=1))
    return 0


def _restore(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.progress import Progress
    from airflow_provider_mlfeat.serving.triton.client import Access
    from airflow_provider_mlfeat.serving.triton.fleet import Fleet
    from airflow_provider_mlfeat.serving.triton.repository import ModelRepository
    from airflow_provider_mlfeat.serving.triton.rollout import Rollout

    repository, live = ModelRepository(options.repository), {}
    with Fleet(_servers(options), Access(options.protocol)) as fleet:
        for name in repository.models():
            live[name] = Rollout(repository.model(name), fleet, Progress()).reconcile().live
    print(json.dumps(live))
    return 0


def _deploy(options: argparse.Namespace) -> int:
    return _run(
        options,
        "deploy_triton_model",
        model=options.model,
        model_version=options.version,
        canary=_json(options.canary, "--canary"),
        tuning=_json(options.tuning, "--tuning"),
        raw_features=options.raw_features,
    )


def _rollback(options: argparse.Namespace) -> int:
    return _run(options, "rollback_triton_model", version_back=options.version, reason=options.reason)


def _unload(options: argparse.Namespace) -> int:
    return _run(options, "unload_triton_model", unload_version=options.version)


def _run(options: argparse.Namespace, kind: str, **fields: Any) -> int:
    """Run a job on the servers and print its result."""
    from airflow_provider_mlfeat.jobs.commands.run import run_document

    logging.getLogger("httpx").setLevel(logging.WARNING)
    place = {"servers": _servers(options), "protocol": options.protocol, "repository": options.repository}
    document = run_document({"kind": kind, **place, "triton_model": options.name, **fields})
    json.dump(document, sys.stdout, indent=1)
    print()
    return 0


def _servers(options: argparse.Namespace) -> list[str]:
    default = 8001 if options.protocol == "grpc" else 8000
    return list(options.server or [f"127.0.0.1:{default}"])


def _json(text: str, option: str) -> dict[str, Any]:
    """An option's JSON object."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{option} is no JSON: {error.msg}") from None
    if not isinstance(document, dict):
        raise UserError(f"{option} takes a JSON object, not {text}")
    return document
