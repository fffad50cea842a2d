"""`/update`: another deployment, another model, or both, as one new release."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.deployments import find_deployment
from airflow_provider_mlfeat.serving import releases
from airflow_provider_mlfeat.serving.releases import ModelReference, Release
from airflow_provider_mlfeat.serving.server.failures import BadRequestError
from airflow_provider_mlfeat.serving.server.workers import missing
from airflow_provider_mlfeat.training.model_folder import read_manifest

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.server.live import Live
    from airflow_provider_mlfeat.serving.server.settings import ServerSettings

# A worker looks several times a second, and then loads the model and replays its golden rows.
_WORKER_SECONDS = 10.0
FIELDS = ("service", "database", "deployment", "model_name", "model_version")


def read(document: Any, service: str) -> dict[str, str]:
    """The fields of an update; refuses what it does not know before anything happens."""
    if not isinstance(document, dict):
        raise BadRequestError(f"the body is an object with some of {', '.join(FIELDS)}")
    unknown = [name for name in document if name not in FIELDS]
    if unknown:
        raise BadRequestError(f"'{str(unknown[0])[:40]}' is no field of an update; there is {', '.join(FIELDS)}")
    wrong = [name for name, value in document.items() if not isinstance(value, str) or not value]
    if wrong:
        raise BadRequestError(f"'{wrong[0]}' must be a string that is not empty")
    if bool(document.get("model_name")) != bool(document.get("model_version")):
        raise BadRequestError("a model is given by model_name and model_version together")
    if not {"deployment", "model_name"} & set(document):
        raise BadRequestError("an update names a deployment, a model, or both")
    return {"service": service, **document}


def update(live: Live, settings: ServerSettings, wanted: dict[str, str]) -> Release:
    """Prepare a release in full, then make it live."""
    documents = live.store.documents
    service = wanted["service"]
    known = releases.services(documents).get(service)
    now = None
    if known is not None and known.live is not None:
        now = releases.get_release(documents, service, known.live)
    reference = wanted.get("deployment") or (now.deployment if now else "")
    if not reference:
        raise UserError(f"service '{service}' has no deployment yet: name one")
    deployment = find_deployment(documents.read(), reference, wanted.get("database", ""))
    model = now.model if now else None
    if "model_name" in wanted:
        model = fetch(settings, wanted["model_name"], wanted["model_version"])
    base = now or Release(service, 0, deployment.reference, deployment.plan_id, None)
    release = replace(base, number=0, deployment=deployment.reference, plan_id=deployment.plan_id, model=model)
    # Everything that could go wrong happens here, while the live release answers.
    live.prepare(release).close()
    added = releases.add_release(documents, release)
    releases.switch(documents, service, added.number)
    return added


def wait_for_workers(live: Live, release: Release, seconds: float = _WORKER_SECONDS) -> str:
    """Why not every worker answers with a release; empty when all do, or when another one has become live since.

    :param live: of the worker that was asked.
    :param release: that was made live.
    :param seconds: how long to wait.
    """
    deadline = time.monotonic() + seconds
    while True:
        workers = live.workers.all()
        reasons = missing(workers, release.service, release.number)
        if not reasons or releases.service(live.store.documents, release.service).live != release.number:
            return ""
        if time.monotonic() > deadline:
            return f"{len(reasons)} of {len(workers)} workers do not answer with it after {seconds:g} s: {reasons[0]}"
        time.sleep(0.02)


def fetch(settings: ServerSettings, name: str, version: str) -> ModelReference:
    """A model of the registry, by its number or alias, in the server's folder of models."""
    from airflow_provider_mlfeat.registry.fetching import fetch_version
    from airflow_provider_mlfeat.registry.tracking import Tracking
    from airflow_provider_mlfeat.registry.versions import resolve

    if not settings.tracking_uri:
        raise UserError("this server was started without a model registry")
    folder = Path(settings.models) if settings.models else files.state_directory() / "serving" / "models"
    with Tracking.of_surroundings(settings.tracking_uri).client() as client:
        found = resolve(client, name, version)
        place = fetch_version(client, found, folder)
    return ModelReference(name, str(found.number), str(place), read_manifest(place).fingerprint)
