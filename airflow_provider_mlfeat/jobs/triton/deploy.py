"""Bring a model live on Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.models.tracking import TrackingSpec
from airflow_provider_mlfeat.jobs.spec import Document, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec
from airflow_provider_mlfeat.jobs.triton.place import RolloutResult, RolloutSpec, told, whole_version
from airflow_provider_mlfeat.serving.triton.canary import Outcome, Probation
from airflow_provider_mlfeat.serving.triton.configuration import Tuning
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel
from airflow_provider_mlfeat.serving.triton.repository import ModelDirectory

_TRIAL_ROWS = 1_000


class TuningSpec(Document):
    """How a server runs a model; the fields of ``Tuning``.

    :param backend: ``python`` (ONNX Runtime inside the python backend), ``onnxruntime`` or ``pytorch``.
    :param instances: copies of the model that work side by side.
    :param threads: threads of one copy.
    :param gpus: devices that the copies run on; none is the CPU.
    :param max_batch_size: the most rows of one batch.
    :param queue_delay_us: how long a request may wait for others to form a batch with.
    :param queue_size: how many requests may wait; more are refused at once. 0 is no limit.
    :param queue_timeout_us: how long a request may wait before it is refused. 0 is no limit.
    :param cache: whether equal requests are answered from the server's cache.
    :param environment: path of a virtual environment of the server for the python backend.
    """

    backend: Literal["python", "onnxruntime", "pytorch"] = "python"
    instances: int = Field(default=1, ge=1, le=1024)
    threads: int = Field(default=1, ge=1, le=1024)
    gpus: tuple[int, ...] = ()
    max_batch_size: int = Field(default=4096, ge=1)
    queue_delay_us: int = Field(default=0, ge=0)
    queue_size: int = Field(default=0, ge=0)
    queue_timeout_us: int = Field(default=0, ge=0)
    cache: bool = False
    environment: str | None = None


class CanarySpec(Document):
    """How a version is tried before it goes live; the fields of ``Probation``.

    :param share: the share of keys that it answers for; 0 tries nothing.
    :param seconds: how long.
    :param rate: requests a second that are sent to try it, over all keys.
    :param max_error_share: which share of its requests may fail.
    :param max_p99_ms: how long its slowest hundredth may take; None is no limit.
    :param feature_set: rows to send, of all times of it: ``name`` or ``name@3``; empty sends golden rows.
    """

    share: float = Field(default=0.0, ge=0, le=1)
    seconds: float = Field(default=30.0, gt=0)
    rate: float = Field(default=50.0, gt=0)
    max_error_share: float = Field(default=0.0, ge=0, le=1)
    max_p99_ms: float | None = Field(default=None, gt=0)
    feature_set: str = ""


class DeployTritonModelSpec(RolloutSpec, TableJobSpec):
    """Spec of `DeployTritonModelJob`.

    :param kind: ``deploy_triton_model``.
    :param model: the model folder; empty takes the registered model.
    :param model_name: the registered model's name.
    :param model_version: its version, a number or an alias; the version's number in Triton is the same.
    :param tracking: which MLflow the registered model is in.
    :param tuning: how servers run it.
    :param canary: how it is tried before it goes live.
    :param raw_features: whether a second model, NAME_raw, takes raw features and encodes them inside the server; once
        it is live, it stays in step.
    :param keep: how many earlier versions stay loaded, to go back to at once.
    :param keep_files: how many earlier versions stay in the repository.
    :param tolerance: how far an answer to a golden row may be off.
    """

    kind: Literal["deploy_triton_model"] = "deploy_triton_model"
    model: str = ""
    model_name: str = ""
    model_version: str = ""
    tracking: TrackingSpec = TrackingSpec()
    tuning: TuningSpec = TuningSpec()
    canary: CanarySpec = CanarySpec()
    raw_features: bool = False
    keep: int = Field(default=1, ge=0)
    keep_files: int = Field(default=5, ge=0)
    tolerance: float = Field(default=1e-5, ge=0)


class DeployTritonModelResult(RolloutResult):
    """Result of `DeployTritonModelJob`.

    :param kind: ``deploy_triton_model``.
    :param model_name: the registered model's name; empty when there is none.
    :param model_version: the registered version; empty when there is none.
    :param model_fingerprint: of the model.
    :param encoder_fingerprint: of the encoder that makes its inputs.
    :param plan_id: of the feature query that makes the encoder's inputs.
    :param changed: whether it was not live before.
    :param golden_difference: how far the answers were off, at most.
    :param deploy_seconds: until the version's first proven answer.
    :param removed: versions whose files were removed.
    :param canary_requests: requests that tried it.
    :param canary_errors: how many of them failed.
    :param canary_p99_ms: its slowest hundredth in the trial.
    """

    kind: Literal["deploy_triton_model"] = "deploy_triton_model"
    model_name: str
    model_version: str
    model_fingerprint: str
    encoder_fingerprint: str
    plan_id: str
    changed: bool
    golden_difference: float
    deploy_seconds: float
    removed: tuple[int, ...]
    canary_requests: int
    canary_errors: int
    canary_p99_ms: float


class DeployTritonModelJob(Job[DeployTritonModelSpec, DeployTritonModelResult]):
    """Bring a model live on Triton without a failed request: beside the old version, proven, tried, then switched."""

    kind: ClassVar[str] = "deploy_triton_model"
    spec_type: ClassVar[type[JobSpec]] = DeployTritonModelSpec
    result_type: ClassVar[type[JobResult]] = DeployTritonModelResult

    def is_cacheable(self, spec: DeployTritonModelSpec) -> bool:
        """No: what is live is known to the servers; a version that is live already is only proven again."""
        return False

    def run(self, spec: DeployTritonModelSpec, context: JobContext) -> DeployTritonModelResult:
        """Deploy."""
        directory = spec.directory(context.secrets)
        folder, registered = _find(spec, context)
        model = ServedModel.open(folder)
        version = registered or (
            whole_version(spec.model_version, "the version of a model folder")
            if spec.model_version
            else _version_of(directory, model)
        )
        origin = {"model_name": spec.model_name, "model_version": str(registered or ""), "folder": folder}
        with spec.fleet(context.secrets) as fleet:
            done = spec.rollout(fleet, context, raw_features=spec.raw_features).deploy(
                model,
                version,
                tuning=Tuning(**spec.tuning.model_dump()),
                probation=_probation(spec, folder, context),
                keep=spec.keep,
                keep_files=spec.keep_files,
                tolerance=spec.tolerance,
                origin=origin,
            )
        trial = done.trial.get(version, Outcome())
        manifest: dict[str, Any] = model.manifest
        return DeployTritonModelResult(
            **told(spec, done.state),
            model_name=spec.model_name,
            model_version=str(registered or spec.model_version),
            model_fingerprint=model.fingerprint,
            encoder_fingerprint=str(manifest.get("encoder_fingerprint") or ""),
            plan_id=str(manifest.get("plan_id") or ""),
            changed=done.changed,
            golden_difference=done.difference,
            deploy_seconds=round(done.seconds, 3),
            removed=done.removed,
            canary_requests=trial.requests,
            canary_errors=len(trial.errors),
            canary_p99_ms=round(trial.percentile_ms(0.99), 3),
        )


def _probation(spec: DeployTritonModelSpec, folder: str, context: JobContext) -> Probation:
    """The trial; with rows of a feature set, what the model itself says about them here is the answer to expect."""
    given = spec.canary.model_dump(exclude={"feature_set"})
    if not spec.canary.feature_set or not spec.canary.share:
        return Probation(**given)
    import numpy as np

    from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows
    from airflow_provider_mlfeat.tables.feature_sets import read_feature_set, read_rows
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

    store = spec.store(context.secrets)
    found = read_feature_set(store, spec.canary.feature_set)
    data, model = read_rows(store, found), TrainedModel.open(Path(folder))
    total = data.count_rows()
    if not total:
        raise UserError(f"{found.reference} has no rows to try a version with")
    columns = [name for name in model.encoder.columns if name in data.schema.names]
    chosen = np.unique(np.linspace(0, total - 1, min(total, _TRIAL_ROWS)).astype(np.int64))
    encoded = model.encoder.encode(data.take(chosen, columns=columns).combine_chunks())
    ids, values = encoded.ids.astype(np.int64), np.ascontiguousarray(encoded.values)
    tensors: dict[str, Any] = {"INPUT_0": ids, "INPUT_1": values}
    inputs = {tensor.name: tensors[tensor.name] for tensor in model.manifest.inputs}
    return Probation(**given, rows=GoldenRows(inputs, np.asarray(model.predict(ids, values), np.float32).reshape(-1)))


def _find(spec: DeployTritonModelSpec, context: JobContext) -> tuple[str, int | None]:
    """The model's folder, and its number in the registry when it comes from there."""
    if spec.model:
        return spec.model, None
    if not spec.model_name or not spec.model_version:
        raise UserError("no model: name a model folder, or a registered model and its version")
    from airflow_provider_mlfeat.registry.fetching import fetch_version
    from airflow_provider_mlfeat.registry.versions import resolve

    tracking = spec.tracking.tracking(context.secrets)
    with tracking.client() as client:
        found = resolve(client, spec.model_name, spec.model_version)
        folder: Path = fetch_version(client, found, context.scratch)
    return str(folder), int(found.number)


def _version_of(directory: ModelDirectory, model: ServedModel) -> int:
    """The version that holds this very model, or the next free one."""
    versions = directory.versions()
    for version in reversed(versions):
        manifest = directory.manifest(version)
        if manifest is not None and manifest["model_fingerprint"] == model.fingerprint:
            return version
    return max(versions, default=0) + 1
