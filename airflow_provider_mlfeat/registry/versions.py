"""Versions of registered models: found by number or alias, resolved once, and passed on as a number."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.registry.tracking import is_missing, mlflow_errors

CHAMPION = "champion"
CHALLENGER = "challenger"
# Tags of a version.
FINGERPRINT = "mlfeat.model_fingerprint"
DECISION = "mlfeat.decision"
COMPARED_WITH = "mlfeat.compared_with"
REPLACED = "mlfeat.replaced"
PROMOTED_AT = "mlfeat.promoted_at"
ROLLED_BACK_AT = "mlfeat.rolled_back_at"
CHECKED = "mlfeat.checked"
ENCODED_MODEL = "mlfeat.encoded_model"
_READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a registered model.

    :param name: the model's.
    :param number: the version's.
    :param status: ``READY`` when it can be used.
    :param source: what MLflow loads, for instance ``models:/m-…``.
    :param run_id: the run that trained it.
    :param tags: of the version.
    :param aliases: that point to it now.
    :param created: milliseconds since the epoch.
    """

    name: str
    number: int
    status: str
    source: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    created: int

    @classmethod
    def of(cls, found: Any) -> Version:
        """A version as MLflow describes it."""
        return cls(
            name=found.name,
            number=int(found.version),
            status=str(found.status),
            source=str(found.source),
            run_id=str(found.run_id or ""),
            tags={name: str(value) for name, value in found.tags.items()},
            aliases=tuple(found.aliases or ()),
            created=int(found.creation_timestamp or 0),
        )

    @property
    def fingerprint(self) -> str:
        """Of the model folder that it holds; empty for a model that somebody else registered."""
        return self.tags.get(FINGERPRINT, "")

    @property
    def uri(self) -> str:
        """What MLflow's functions take; it names a number, never an alias."""
        return f"models:/{self.name}/{self.number}"


def check_name(name: str) -> None:
    """Raise UserError for a name that MLflow or a URI cannot hold."""
    if not name or any(letter in name for letter in "/:@") or name != name.strip():
        raise UserError(f"'{name}' is no name for a model: it must not be empty or contain '/', ':' or '@'")


def resolve(client: Any, name: str, version: int | str) -> Version:
    """The version of a number or an alias; raises UserError that says what there is instead.

    :param client: of MLflow.
    :param name: the model's.
    :param version: ``7``, ``"7"``, ``"champion"`` or ``"@champion"``.
    """
    check_name(name)
    wanted = str(version).strip().removeprefix("@")
    if not wanted:
        raise UserError(f"no version of model '{name}' is given: give a number or an alias")
    if not wanted.isdecimal():
        found = find_alias(client, name, wanted)
        if found is None:
            raise UserError(f"model '{name}' has no alias '{wanted}'; it has {_aliases(client, name)}")
        return found
    return get(client, name, int(wanted))


def get(client: Any, name: str, number: int) -> Version:
    """A version by its number, with the aliases that point to it."""
    from mlflow.exceptions import MlflowException

    with mlflow_errors(f"looking at version {number} of model '{name}'"):
        try:
            return Version.of(client.get_model_version(name, str(number)))
        except MlflowException as error:
            if not is_missing(error):
                raise
    raise UserError(f"model '{name}' has no version {number}; its aliases are {_aliases(client, name)}")


def find_alias(client: Any, name: str, alias: str) -> Version | None:
    """The version that an alias points to; None where there is no such alias, or no such model."""
    from mlflow.exceptions import MlflowException

    with mlflow_errors(f"looking at alias '{alias}' of model '{name}'"):
        try:
            return Version.of(client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if is_missing(error):
                return None
            raise


def _aliases(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    with mlflow_errors(f"looking at model '{name}'"):
        try:
            aliases = client.get_registered_model(name).aliases
        except MlflowException as error:
            if is_missing(error):
                return "no versions: there is no such model"
            raise
    return ", ".join(f"{alias} → {number}" for alias, number in sorted(aliases.items())) or "none"


def search(client: Any, name: str, tags: Mapping[str, str] | None = None) -> list[Version]:
    """All versions of a model with some tags, the newest first."""
    with mlflow_errors(f"looking for versions of model '{name}'"):
        found, token = [], None
        while True:
            page = client.search_model_versions(f"name='{name}'", max_results=200, page_token=token)
            found += [Version.of(one) for one in page]
            token = page.token
            if not token:
                break
    wanted = dict(tags or {})
    fitting = [one for one in found if all(one.tags.get(tag) == value for tag, value in wanted.items())]
    return sorted(fitting, key=lambda one: -one.number)


def wait_until_ready(client: Any, version: Version, check: Callable[[], None] = lambda: None) -> Version:
    """The version when MLflow says that it is ready; raises when it failed, or takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    while version.status != "READY":
        check()
        if version.status.startswith("FAILED"):
            raise UserError(f"MLflow could not register version {version.number} of '{version.name}'")
        if time.monotonic() > deadline:
            raise TransientError(f"version {version.number} of '{version.name}' is not ready: {version.status}")
        time.sleep(0.5)
        version = get(client, version.name, version.number)
    return version


def set_tags(client: Any, version: Version, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    with mlflow_errors(f"tagging version {version.number} of model '{version.name}'"):
        for tag, value in tags.items():
            client.set_model_version_tag(version.name, str(version.number), tag, value)


def move_alias(client: Any, version: Version, alias: str) -> None:
    """Point an alias to a version, in one step, and see that it does."""
    with mlflow_errors(f"moving alias '{alias}' of model '{version.name}' to version {version.number}"):
        client.set_registered_model_alias(version.name, alias, str(version.number))
    seen = find_alias(client, version.name, alias)
    if seen is None or seen.number != version.number:
        there = "nothing" if seen is None else f"version {seen.number}"
        raise TransientError(
            f"alias '{alias}' of model '{version.name}' was set to version {version.number} and points to {there}: "
            "somebody else moved it at the same time"
        )
