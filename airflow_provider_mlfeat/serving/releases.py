"""Releases: which features and which model answer together, as numbered documents of the online store.

A release never changes. A service is a name with one live release; it is switched in one step, so that nobody ever sees
the features of one release with the model of another, and the release before stays for the way back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.deployments import find_deployment, switch_live

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.documents import Documents, Draft


_NAME = re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Which model answers, and where it runs.

    :param name: of the registered model.
    :param version: of the registered model.
    :param folder: the model's folder, where the server can read it.
    :param fingerprint: of what is served; the folder's manifest must say the same.
    :param backend: ``onnx`` runs it in the server; ``triton`` asks a Triton server.
    :param endpoint: address and protocol of the Triton server, and the model's name and version there.
    """

    name: str
    version: str
    folder: str
    fingerprint: str
    backend: str = "onnx"
    endpoint: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """Features and a model that belong together.

    :param service: what it is a release of.
    :param number: its number within the service.
    :param deployment: ``[database.]name@version``.
    :param plan_id: what both mean.
    :param model: None for a service of features alone.
    :param label: the output column that is not a feature, if the query has one.
    :param threshold: from which probability on the class is 1.
    """

    service: str
    number: int
    deployment: str
    plan_id: str
    model: ModelReference | None
    label: str = ""
    threshold: float = 0.5

    @property
    def name(self) -> str:
        """``service@number``."""
        return f"{self.service}@{self.number}"

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Release:
        """The release of a JSON form."""
        model = document["model"]
        return cls(**{**document, "model": None if model is None else ModelReference(**model)})


@dataclass(frozen=True, slots=True)
class Service:
    """A name that clients ask.

    :param name: what it is called.
    :param live: number of the release that answers.
    :param previous: numbers of the releases that answered before, the latest last.
    """

    name: str
    live: int | None = None
    previous: tuple[int, ...] = ()


def add_release(documents: Documents, release: Release) -> Release:
    """Write a release under the next number; an equal one that is there is returned instead."""

    def edit(draft: Draft) -> Release:
        check(draft, release)
        existing = _releases(draft, release.service)
        for one in existing:
            if _contents(one) == _contents(release):
                return one
        number = max((one.number for one in existing), default=0) + 1
        written = Release.from_document({**release.to_document(), "number": number})
        draft.put(_release_name(release.service, number), written.to_document())
        return written

    return documents.change(edit)


def check(draft: Draft, release: Release) -> None:
    """Refuse features and a model that do not mean the same."""
    if not _NAME.fullmatch(release.service):
        raise UserError(f"'{release.service}' cannot name a service: letters, digits, _ and - can, a letter first")
    deployment = find_deployment(draft, release.deployment)
    if release.deployment != deployment.reference:
        raise UserError(f"a release names a version of a deployment, such as '{deployment.reference}'")
    if deployment.plan_id != release.plan_id:
        raise UserError(
            f"the model of the release was trained on features of plan {release.plan_id[:12]}, and "
            f"'{deployment.reference}' has plan {deployment.plan_id[:12]}: they do not mean the same"
        )


def switch(documents: Documents, service: str, number: int) -> Service:
    """Make a release the live one, and with it its deployment; the one before it is remembered."""

    def edit(draft: Draft) -> Service:
        release = _get(draft, service, number)
        switch_live(draft, find_deployment(draft, release.deployment))
        now = _service(draft, service)
        if now.live == number:
            return now
        previous = (*(one for one in now.previous if one != number), *(() if now.live is None else (now.live,)))
        return _save(draft, Service(service, number, previous))

    return documents.change(edit)


def take_back(documents: Documents, number: int, before: Service) -> Service:
    """Make a service what it was before a switch that did not work out; nothing where another switch came since.

    :param documents: of the store.
    :param number: of the release that was switched to; going back will not lead to it.
    :param before: the service as it was.
    """

    def edit(draft: Draft) -> Service:
        now = _service(draft, before.name)
        if now.live != number:
            return now
        if before.live is not None:
            switch_live(draft, find_deployment(draft, _get(draft, before.name, before.live).deployment))
        return _save(draft, before)

    return documents.change(edit)


def roll_back(documents: Documents, service: str) -> Service:
    """Make the release that answered before the live one again."""

    def edit(draft: Draft) -> Service:
        now = _service(draft, service)
        if not now.previous:
            raise UserError(f"service '{service}' has no release to go back to")
        switch_live(draft, find_deployment(draft, _get(draft, service, now.previous[-1]).deployment))
        return _save(draft, Service(service, now.previous[-1], now.previous[:-1]))

    return documents.change(edit)


def services(documents: Documents) -> dict[str, Service]:
    """All services by name."""
    draft = documents.read()
    names = {name.removeprefix("service/") for name in draft.list("service/")}
    return {name: _service(draft, name) for name in sorted(names)}


def service(documents: Documents, name: str) -> Service:
    """A service by its name; raises UserError when it has no live release."""
    found = _service(documents.read(), name)
    if found.live is None:
        known = ", ".join(services(documents)) or "none"
        raise UserError(f"there is no service '{name}' with a live release; services: {known}")
    return found


def get_release(documents: Documents, service: str, number: int) -> Release:
    """A release; raises UserError for one that does not exist."""
    return _get(documents.read(), service, number)


def releases(documents: Documents, service: str) -> list[Release]:
    """The releases of a service, the oldest first."""
    return _releases(documents.read(), service)


def uses(documents: Documents, deployment: str) -> list[str]:
    """Which live releases stand on a deployment, given with its version."""
    draft = documents.read()
    live = [_service(draft, name.removeprefix("service/")) for name in draft.list("service/")]
    found = [_get(draft, one.name, one.live) for one in live if one.live is not None]
    return [one.name for one in found if one.deployment == deployment]


def _release_name(service: str, number: int) -> str:
    return f"release/{service}/{number:08d}"


def _releases(draft: Draft, service: str) -> list[Release]:
    return [Release.from_document(one) for one in draft.list(f"release/{service}/").values()]


def _get(draft: Draft, service: str, number: int) -> Release:
    document = draft.get(_release_name(service, number))
    if document is None:
        known = ", ".join(str(one.number) for one in _releases(draft, service)) or "none"
        raise UserError(f"service '{service}' has no release {number}; releases: {known}")
    return Release.from_document(document)


def _service(draft: Draft, name: str) -> Service:
    document = draft.get(f"service/{name}") or {}
    return Service(name, document.get("live"), tuple(document.get("previous", ())))


def _save(draft: Draft, service: Service) -> Service:
    draft.put(f"service/{service.name}", {"live": service.live, "previous": list(service.previous)})
    return service


def _contents(release: Release) -> dict[str, Any]:
    return {**release.to_document(), "number": 0}
