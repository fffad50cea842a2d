"""The model folder of a registered version, on this machine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.registry.model_artifact import FOLDER
from airflow_provider_mlfeat.registry.tracking import Tracking, mlflow_errors
from airflow_provider_mlfeat.registry.versions import Version, resolve


def fetch_model(
    name: str,
    version: int | str,
    directory: Path | str,
    tracking: Tracking | None = None,
    *,
    tracking_uri: str = "",
) -> Path:
    """Bring a version's model folder to `directory` and check every file of it; the folder's path.

    The folder is named after model and version number. One that is there and whole is used as it is.

    :param name: the registered model's.
    :param version: a number or an alias; an alias is resolved once.
    :param directory: where the folder goes.
    :param tracking: the MLflow; the default is the one of this process's surroundings.
    :param tracking_uri: address of the MLflow, where credentials are among the process's variables.
    """
    tracking = tracking or Tracking.of_surroundings(tracking_uri)
    with tracking.client() as client:
        return fetch_version(client, resolve(client, name, version), Path(directory))


def fetch_version(client: Any, version: Version, directory: Path) -> Path:
    """Bring a version's model folder to `directory`, checked.

    :param client: of MLflow, inside its ``with`` block.
    :param version: which.
    :param directory: where the folder goes.
    """
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

    target = directory.absolute() / f"{version.name}-{version.number}"
    if target.exists():
        try:
            if TrainedModel.open(target, threads=1).manifest.fingerprint == version.fingerprint:
                TrainedModel.open(target, threads=1).check()
                return target
        except UserError:
            pass
        shutil.rmtree(target)
    directory.mkdir(parents=True, exist_ok=True)
    # A download that fails leaves MLflow's threads behind, which may still write a file while the folder is removed.
    with tempfile.TemporaryDirectory(prefix=".mlfeat-fetch-", dir=directory, ignore_cleanup_errors=True) as scratch:
        found = _download(client, version, Path(scratch))
        model = TrainedModel.open(found, threads=1)
        model.check()
        if version.fingerprint and model.manifest.fingerprint != version.fingerprint:
            raise UserError(
                f"version {version.number} of '{version.name}' says fingerprint {version.fingerprint[:12]}, and its "
                f"artefacts have {model.manifest.fingerprint[:12]}: do not use it"
            )
        with files.staged_directory(target) as staging:
            staging.rmdir()
            found.rename(staging)
    return target


def _download(client: Any, version: Version, scratch: Path) -> Path:
    """The model folder among a version's artefacts."""
    from mlflow.artifacts import download_artifacts

    with mlflow_errors(f"fetching version {version.number} of model '{version.name}'"):
        uri = client.get_model_version_download_uri(version.name, str(version.number))
        place = Path(download_artifacts(artifact_uri=uri, dst_path=str(scratch), tracking_uri=client.tracking_uri))
    found = place / FOLDER
    if not (found / "model.json").exists():
        raise UserError(
            f"version {version.number} of '{version.name}' holds no model folder: it was registered by other means, or "
            f"its artefacts are gone ({version.source})"
        )
    if not found.is_relative_to(scratch):
        # A store on this machine hands out its own files, which must stay.
        copy = scratch / "copy"
        shutil.copytree(found, copy)
        return copy
    return found
