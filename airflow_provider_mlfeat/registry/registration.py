"""Register a model folder as a version: checked before, read back after, aliases last."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.registry import versions
from airflow_provider_mlfeat.registry.fetching import fetch_version
from airflow_provider_mlfeat.registry.lineage import GIT_COMMIT, describe_model
from airflow_provider_mlfeat.registry.model_artifact import write_encoded_model, write_raw_model
from airflow_provider_mlfeat.registry.run_log import open_run
from airflow_provider_mlfeat.registry.shipping import find_run
from airflow_provider_mlfeat.registry.tracking import Tracking, is_missing, mlflow_errors
from airflow_provider_mlfeat.registry.versions import Version

if TYPE_CHECKING:
    from airflow_provider_mlfeat.training.model_folder import ModelManifest
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

log = logging.getLogger("mlfeat.job")
Stage = Callable[[str], None]


@dataclass(frozen=True)
class Registration:
    """What to register.

    :param name: of the registered model.
    :param folder: the model folder.
    :param aliases: that move to the version, last, in this order.
    :param tags: of the version, such as the DAG run and the gate's decision.
    :param description: of the version, in Markdown.
    :param encoded_model: whether the run also gets the MLflow model that takes encoded ids.
    """

    name: str
    folder: Path
    aliases: Sequence[str] = (versions.CHALLENGER,)
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    encoded_model: bool = True


@dataclass(frozen=True, slots=True)
class Registered:
    """What came of it.

    :param version: the version.
    :param experiment_id: of the run.
    :param existed: whether an earlier registration of the same run and fingerprint made it.
    """

    version: Version
    experiment_id: str
    existed: bool


def register(tracking: Tracking, wanted: Registration, stage: Stage = lambda _: None) -> Registered:
    """Register a model folder, or find the version that an earlier try of the same run and model made.

    :param tracking: the MLflow.
    :param wanted: what to register.
    :param stage: told what is done next; the place where a cancelled job stops.
    """
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

    versions.check_name(wanted.name)
    for alias in wanted.aliases:
        check_alias(alias)
    stage("check model")
    model = TrainedModel.open(wanted.folder, threads=1)
    model.check()
    stage("run")
    experiment_id, run_id = ensure_run(tracking, model)
    with tracking.client() as client:
        stage("version")
        version = _find(client, wanted.name, model.manifest, run_id)
        existed = version is not None
        if version is None:
            version = _create(tracking, client, wanted, model, (experiment_id, run_id), stage)
        if version.tags.get(versions.CHECKED) != model.manifest.fingerprint:
            stage("read back")
            with tempfile.TemporaryDirectory(prefix="mlfeat-read-back-", ignore_cleanup_errors=True) as scratch:
                fetch_version(client, version, Path(scratch))
            versions.set_tags(client, version, {versions.CHECKED: model.manifest.fingerprint})
        versions.set_tags(client, version, wanted.tags)
        if commit := wanted.tags.get(GIT_COMMIT):
            with mlflow_errors(f"tagging run {run_id}"):
                client.set_tag(run_id, GIT_COMMIT, commit)
        stage("aliases")
        for alias in wanted.aliases:
            versions.move_alias(client, version, alias)
        return Registered(versions.get(client, wanted.name, version.number), experiment_id, existed)


def check_alias(alias: str) -> None:
    """Raise UserError for what is no alias: MLflow keeps ``latest``, and numbers are versions."""
    if not alias or alias.isdecimal() or alias.lower() == "latest" or any(letter in alias for letter in "/:@ "):
        raise UserError(
            f"'{alias}' is no alias: it must not be a number, 'latest', or contain '/', ':', '@' or a blank"
        )


def ensure_run(tracking: Tracking, model: TrainedModel) -> tuple[str, str]:
    """Experiment and id of the run that trained a model; one not logged, or deleted, is made from its folder.

    :param tracking: the MLflow.
    :param model: what was trained.
    """
    manifest = model.manifest
    key = run_key(manifest)
    with tracking.client() as client, mlflow_errors("looking for the run of the model"):
        experiment_id = tracking.experiment_id(client)
        run = find_run(client, experiment_id, key)
    if run is None or run.data.tags.get(versions.FINGERPRINT) != manifest.fingerprint:
        with open_run(tracking, key, run_name(manifest), system_seconds=0) as logged:
            describe_model(logged, model.folder, manifest, epochs=run is None)
        with tracking.client() as client, mlflow_errors("looking for the run of the model"):
            run = find_run(client, experiment_id, key)
        if run is None:
            raise TransientError("MLflow did not take the run of the model; see the warnings above")
    return experiment_id, str(run.info.run_id)


def run_key(manifest: ModelManifest) -> str:
    """The identity of a training: what was asked, not what came out."""
    return manifest.recipe or manifest.fingerprint


def run_name(manifest: ModelManifest) -> str:
    """What people see of a run."""
    return f"{manifest.feature_set.get('name') or 'model'} {manifest.kind} {run_key(manifest)[:8]}"


def _find(client: Any, name: str, manifest: ModelManifest, run_id: str) -> Version | None:
    """The version of the same run and fingerprint; of several that tries made at the same time, the first."""
    same = versions.search(client, name, {versions.FINGERPRINT: manifest.fingerprint})
    mine = [one for one in same if one.run_id == run_id and not one.status.startswith("FAILED")]
    return versions.get(client, name, mine[-1].number) if mine else None


def _create(
    tracking: Tracking,
    client: Any,
    wanted: Registration,
    model: TrainedModel,
    place: tuple[str, str],
    stage: Stage,
) -> Version:
    """Upload the model and make a version of it."""
    manifest, (_, run_id) = model.manifest, place
    stage("upload model")
    model_id = _log_model(client, model, place, "model", write_raw_model)
    tags = {versions.FINGERPRINT: manifest.fingerprint, "mlfeat.plan_id": manifest.plan_id or ""}
    tags |= {"mlfeat.encoder_fingerprint": manifest.encoder_fingerprint, "mlfeat.kind": manifest.kind}
    if wanted.encoded_model:
        stage("upload encoded model")
        encoded_id = _log_model(client, model, place, "encoded", _write_encoded)
        tags[versions.ENCODED_MODEL] = f"models:/{encoded_id}"
    stage("version")
    with mlflow_errors(f"registering model '{wanted.name}'"):
        _ensure_registered_model(client, wanted.name)
        made = client.create_model_version(
            wanted.name,
            f"models:/{model_id}",
            run_id,
            tags=tags,
            description=wanted.description or None,
            await_creation_for=0,
            model_id=model_id,
        )
    version = versions.wait_until_ready(client, Version.of(made))
    first = _find(client, wanted.name, manifest, run_id)
    if first is not None and first.number < version.number:
        # Another try of the same task was a moment earlier: there is to be one version, and it is theirs.
        with mlflow_errors(f"dropping version {version.number} of model '{wanted.name}'"):
            client.delete_model_version(wanted.name, str(version.number))
        return first
    log.info("version %d of '%s' made from run %s", version.number, wanted.name, run_id)
    return version


def _ensure_registered_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if not is_missing(error):
            raise
        try:
            client.create_registered_model(name)
        except MlflowException as race:
            if race.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _write_encoded(model: TrainedModel, target: Path, identity: Any, scratch: Path) -> None:
    write_encoded_model(model, target, identity)


def _log_model(
    client: Any,
    model: TrainedModel,
    place: tuple[str, str],
    name: str,
    write: Callable[[TrainedModel, Path, Any, Path], None],
) -> str:
    """Upload one MLflow model of the run; its id. What is left half-way is marked as failed, never as ready."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    experiment_id, run_id = place
    fingerprint = model.manifest.fingerprint
    with mlflow_errors(f"uploading the model to run {run_id}"):
        logged = client.create_logged_model(
            experiment_id, name, run_id, {versions.FINGERPRINT: fingerprint}, None, model.manifest.kind
        )
        done = False
        try:
            with tempfile.TemporaryDirectory(prefix="mlfeat-pack-") as scratch:
                target, code = Path(scratch) / "packed", Path(scratch) / "code"
                code.mkdir()
                with warnings.catch_warnings():
                    # MLflow wants type hints for a schema that the signature gives already.
                    warnings.simplefilter("ignore", UserWarning)
                    write(model, target, Model(model_id=logged.model_id, run_id=run_id), code)
                client.log_model_artifacts(logged.model_id, str(target))
            done = True
        finally:
            client.finalize_logged_model(logged.model_id, "READY" if done else "FAILED")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return str(logged.model_id)


def write_version_file(path: Path, tracking: Tracking, version: Version, experiment_id: str) -> None:
    """The version as batch-serving programs of the old MLflow read it: thirteen fields with an underscore.

    :param path: the file, conventionally ``registered_model_version.json``.
    :param tracking: the MLflow.
    :param version: the version.
    :param experiment_id: of its run.
    """
    document = {
        "_name": version.name,
        "_version": str(version.number),
        "_creation_time": version.created,
        "_last_updated_timestamp": version.created,
        "_description": "",
        "_user_id": "",
        "_current_stage": "None",
        "_source": version.source,
        "_run_id": version.run_id,
        "_run_link": tracking.run_page(experiment_id, version.run_id),
        "_status": version.status,
        "_status_message": "",
        "_tags": files.canonical_json(dict(version.tags)),
    }
    files.write_json(path, document)
