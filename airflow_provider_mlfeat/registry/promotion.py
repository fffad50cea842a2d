"""Move the champion: forwards to a version that has earned it, backwards to the one before. The alias moves last."""

from __future__ import annotations

import datetime
import fcntl
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.registry import versions
from airflow_provider_mlfeat.registry.fetching import fetch_version
from airflow_provider_mlfeat.registry.registration import check_alias
from airflow_provider_mlfeat.registry.tracking import Tracking, mlflow_errors
from airflow_provider_mlfeat.registry.versions import Version

log = logging.getLogger("mlfeat.job")
ACCEPTED = "accepted"
_LOCK_SECONDS = 120.0
Stage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Promotion:
    """What to promote, and on which conditions.

    :param name: the registered model's.
    :param version: number or alias of the version.
    :param alias: that moves.
    :param require_decision: whether the version must carry an accepting decision of the gate.
    :param allow_new_signature: whether it may take other features than the version that it replaces.
    """

    name: str
    version: int | str = versions.CHALLENGER
    alias: str = versions.CHAMPION
    require_decision: bool = True
    allow_new_signature: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What came of it.

    :param version: where the alias points now.
    :param previous: number of the version where it pointed before; None where there was none.
    :param moved: False when it pointed there already.
    """

    version: Version
    previous: int | None
    moved: bool


def promote(tracking: Tracking, wanted: Promotion, stage: Stage = lambda _: None) -> Move:
    """Point the alias to a version whose artefacts are whole and that the gate accepted against the present champion.

    :param tracking: the MLflow.
    :param wanted: what to promote.
    :param stage: told what is done next.
    """
    check_alias(wanted.alias)
    with _one_at_a_time(tracking, wanted.name), tracking.client() as client:
        stage("check version")
        version = versions.wait_until_ready(client, versions.resolve(client, wanted.name, wanted.version))
        current = versions.find_alias(client, wanted.name, wanted.alias)
        if current is not None and current.number == version.number:
            return Move(version, None, moved=False)
        if wanted.require_decision:
            _check_decision(version, current, wanted.alias)
        _check_artefacts(client, version)
        if current is not None and not wanted.allow_new_signature:
            _check_signature(client, version, current)
        stage("alias")
        replaced = "" if current is None else str(current.number)
        versions.set_tags(client, version, {versions.REPLACED: replaced, versions.PROMOTED_AT: _now()})
        versions.move_alias(client, version, wanted.alias)
        log.info("alias '%s' of '%s': %s → %d", wanted.alias, wanted.name, replaced or "nothing", version.number)
        return Move(versions.get(client, wanted.name, version.number), current.number if current else None, moved=True)


def rollback(
    tracking: Tracking,
    name: str,
    to: int | str | None = None,
    alias: str = versions.CHAMPION,
    stage: Stage = lambda _: None,
) -> Move:
    """Point the alias back to the version that the present one replaced, once its artefacts are seen to be whole.

    :param tracking: the MLflow.
    :param name: the registered model's.
    :param to: another version to go back to.
    :param alias: that moves.
    :param stage: told what is done next.
    """
    check_alias(alias)
    with _one_at_a_time(tracking, name), tracking.client() as client:
        stage("check version")
        current = versions.resolve(client, name, alias)
        wanted = to if to is not None and str(to) else current.tags.get(versions.REPLACED)
        if not wanted:
            raise UserError(
                f"version {current.number} of '{name}' replaced no other under alias '{alias}': say which to go back to"
            )
        version = versions.wait_until_ready(client, versions.resolve(client, name, wanted))
        if version.number == current.number:
            return Move(version, None, moved=False)
        _check_artefacts(client, version)
        stage("alias")
        versions.set_tags(client, current, {versions.ROLLED_BACK_AT: _now()})
        versions.move_alias(client, version, alias)
        log.info("alias '%s' of '%s' is back: %d → %d", alias, name, current.number, version.number)
        return Move(versions.get(client, name, version.number), current.number, moved=True)


def _check_decision(version: Version, current: Version | None, alias: str) -> None:
    """The gate accepted this version, and against the champion that there is."""
    decision = version.tags.get(versions.DECISION, "")
    named = f"version {version.number} of '{version.name}'"
    if decision != ACCEPTED:
        said = f"was {decision} by the gate" if decision else "has not been through the gate"
        raise UserError(f"{named} {said}: it does not become '{alias}'")
    compared = version.tags.get(versions.COMPARED_WITH)
    present = "" if current is None else str(current.number)
    if compared is not None and compared != present:
        before = f"version {compared}" if compared else "no champion"
        now = f"version {present}" if present else "nothing"
        raise UserError(
            f"{named} was compared with {before}, and '{alias}' is {now} by now: run the gate again on the same data"
        )


def _check_artefacts(client: Any, version: Version) -> None:
    with tempfile.TemporaryDirectory(prefix="mlfeat-promotion-", ignore_cleanup_errors=True) as scratch:
        fetch_version(client, version, Path(scratch))


def _check_signature(client: Any, version: Version, current: Version) -> None:
    """Both take the same features: what asks for predictions need not change."""
    new, old = _inputs(version), _inputs(current)
    if new is None or old is None or new == old:
        return
    added = ", ".join(sorted(set(new) - set(old)))
    dropped = ", ".join(sorted(set(old) - set(new)))
    retyped = ", ".join(sorted(name for name in set(new) & set(old) if new[name] != old[name]))
    parts = [("new", added), ("no longer there", dropped), ("of another type", retyped)]
    changes = "; ".join(f"{what}: {names}" for what, names in parts if names)
    raise UserError(
        f"version {version.number} of '{version.name}' takes other features than version {current.number} ({changes}): "
        "allow_new_signature=True promotes it all the same, once what serves it knows them"
    )


def _inputs(version: Version) -> dict[str, str] | None:
    """Feature columns and types of a version; None where it has no signature."""
    from mlflow.models import get_model_info

    with mlflow_errors(f"looking at the signature of version {version.number} of model '{version.name}'"):
        signature = get_model_info(version.uri).signature
    if signature is None or signature.inputs is None:
        return None
    return {str(column.name): str(column.type) for column in signature.inputs.inputs}


@contextmanager
def _one_at_a_time(tracking: Tracking, name: str) -> Iterator[None]:
    """Looking and moving are two calls to MLflow: on this machine nobody comes between them."""
    path = files.state_directory() / "locks" / f"{files.digest_text(f'{tracking.address} {name}')[:32]}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise TransientError(f"another promotion of '{name}' goes on and does not end") from None
                time.sleep(0.1)
        yield


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
