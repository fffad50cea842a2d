"""``mlfeat models``: what is registered, and what can be done with it."""

from __future__ import annotations

import argparse
import datetime
from typing import Any

from airflow_provider_mlfeat.errors import TransientError, UserError


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(metavar="ACTION", required=True)
    for name, execute, summary in (
        ("list", _list, "list the registered models with their aliases"),
        ("show", _show, "list the versions of a model, the newest first"),
        ("promote", _promote, "make a version the champion"),
        ("rollback", _rollback, "go back to the version that the champion replaced"),
        ("fetch", _fetch, "bring a version's model folder here, checked"),
        ("replay", _replay, "send what runs of this machine could not tell MLflow while it was away"),
    ):
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        command.set_defaults(execute=execute)
        command.add_argument(
            "--tracking-uri",
            default="",
            metavar="URI",
            help="MLflow server or database; the default is $MLFLOW_TRACKING_URI, else the embedded one; credentials "
            "come from MLflow's own variables",
        )
        if name not in ("list", "replay"):
            command.add_argument("name", metavar="NAME", help="the registered model")
        if name in ("promote", "fetch"):
            command.add_argument("version", metavar="VERSION", help="number or alias")
        if name == "promote":
            command.add_argument("--without-decision", action="store_true", help="also without the gate's word")
            command.add_argument("--new-signature", action="store_true", help="also if it takes other features")
        if name == "rollback":
            command.add_argument("--to", default="", metavar="VERSION", help="number or alias to go back to")
        if name in ("promote", "rollback"):
            command.add_argument("--alias", default="champion", help="the alias that moves")
        if name == "fetch":
            command.add_argument("--into", default=".", metavar="FOLDER", help="where the folder goes")


def _list(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.tables.display import text_table
    from airflow_provider_mlfeat.registry.tracking import mlflow_errors

    tracking = _tracking(options)
    with tracking.client() as client, mlflow_errors("listing models"):
        models = client.search_registered_models(max_results=1000)
    rows = [[one.name, _aliases(one.aliases), _time(one.last_updated_timestamp)] for one in models]
    print(text_table(["model", "aliases", "changed"], rows) if rows else "no registered models")
    return 0


def _show(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.tables.display import text_table
    from airflow_provider_mlfeat.registry import versions

    tracking = _tracking(options)
    with tracking.client() as client:
        found = [versions.get(client, one.name, one.number) for one in versions.search(client, options.name)]
    if not found:
        raise UserError(f"there is no registered model '{options.name}'")
    rows = [
        [
            one.number,
            ", ".join(one.aliases),
            one.status,
            one.tags.get(versions.DECISION, ""),
            one.fingerprint[:12],
            one.run_id,
            _time(one.created),
        ]
        for one in found
    ]
    print(text_table(["version", "aliases", "status", "decision", "fingerprint", "run", "made"], rows))
    return 0


def _promote(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.registry.promotion import Promotion, promote

    wanted = Promotion(
        options.name, options.version, options.alias, not options.without_decision, options.new_signature
    )
    return _tell(promote(_tracking(options), wanted), options.alias)


def _rollback(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.registry.promotion import rollback

    return _tell(rollback(_tracking(options), options.name, options.to or None, options.alias), options.alias)


def _tell(move: Any, alias: str) -> int:
    before = "nothing" if move.previous is None else f"version {move.previous}"
    moved = f"was {before}" if move.moved else "was that already"
    print(f"'{alias}' of '{move.version.name}' is version {move.version.number}; it {moved}")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.registry import fetch_model

    print(fetch_model(options.name, options.version, options.into, _tracking(options)))
    return 0


def _replay(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.registry.shipping import replay

    complete, left = replay(_tracking(options))
    print(f"{complete} runs complete, {left} waiting")
    if left:
        raise TransientError("MLflow is still away for some runs: try again later")
    return 0


def _tracking(options: argparse.Namespace) -> Any:
    from airflow_provider_mlfeat.registry import Tracking

    return Tracking.of_surroundings(options.tracking_uri)


def _aliases(aliases: dict[str, Any]) -> str:
    return ", ".join(f"{alias} → {number}" for alias, number in sorted(aliases.items()))


def _time(milliseconds: int | None) -> str:
    moment = datetime.datetime.fromtimestamp((milliseconds or 0) / 1000, datetime.UTC)
    return moment.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
