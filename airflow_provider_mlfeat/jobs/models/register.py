"""A model folder as a version of a registered model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.models.tracking import TrackingSpec
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec

if TYPE_CHECKING:
    from airflow_provider_mlfeat.registry.gate.decision import Decision

log = logging.getLogger("mlfeat.job")


class RegisterModelSpec(JobSpec):
    """Spec of `RegisterModelJob`.

    :param kind: ``register_model``.
    :param model: the model's folder.
    :param model_name: the registered model's name.
    :param decision: the gate's decision file; only an accepting one of this very model registers it. Empty registers
        without a gate.
    :param aliases: that move to the version, last.
    :param tags: of the version, such as the DAG run.
    :param description: of the version, in Markdown.
    :param encoded_model: whether the run also gets the MLflow model that takes encoded ids.
    :param registration_file: where to write the version for batch-serving programs of the old MLflow; empty is nowhere.
    :param tracking: the MLflow.
    """

    kind: Literal["register_model"] = "register_model"
    model: str = Field(min_length=1)
    model_name: str = Field(min_length=1)
    decision: str = ""
    aliases: tuple[str, ...] = ("challenger",)
    tags: dict[str, str] = Field(default_factory=dict)
    description: str = ""
    encoded_model: bool = True
    registration_file: str = ""
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)


class RegisterModelResult(JobResult):
    """Result of `RegisterModelJob`.

    :param kind: ``register_model``.
    :param model_name: the registered model's name.
    :param model_version: the version's number.
    :param model_uri: what MLflow's functions take; it names the number.
    :param model_fingerprint: of the model.
    :param plan_id: what its features mean; empty for features from a file.
    :param aliases: of the version.
    :param already_registered: whether an earlier try had made this version.
    :param run_id: the MLflow run that trained it.
    :param run_url: the run's page; empty where MLflow has no pages.
    :param version_url: the version's page; empty where MLflow has no pages.
    """

    kind: Literal["register_model"] = "register_model"
    model_name: str
    model_version: int
    model_uri: str
    model_fingerprint: str
    plan_id: str
    aliases: tuple[str, ...]
    already_registered: bool
    run_id: str
    run_url: str
    version_url: str


class RegisterModelJob(Job[RegisterModelSpec, RegisterModelResult]):
    """Register a model as a version in MLflow, read it back, and move aliases to it last."""

    kind: ClassVar[str] = "register_model"
    spec_type: ClassVar[type[JobSpec]] = RegisterModelSpec
    result_type: ClassVar[type[JobResult]] = RegisterModelResult

    def is_cacheable(self, spec: RegisterModelSpec) -> bool:
        """No: the registry itself knows what is registered."""
        return False

    def run(self, spec: RegisterModelSpec, context: JobContext) -> RegisterModelResult:
        """Check the decision, register, and write the file last."""
        from airflow_provider_mlfeat.registry.registration import Registration, register, write_version_file
        from airflow_provider_mlfeat.registry.shipping import replay
        from airflow_provider_mlfeat.registry.versions import FINGERPRINT
        from airflow_provider_mlfeat.training.trained_model import TrainedModel, local_folder

        folder = local_folder(spec.model, "model")
        file = Path(spec.registration_file) if spec.registration_file else None
        if file is not None:
            file.unlink(missing_ok=True)
        tags = dict(spec.tags)
        if spec.decision:
            tags |= _decision_tags(spec.decision, TrainedModel.open(folder).manifest.fingerprint)
        tracking = spec.tracking.tracking(context.secrets)
        complete, left = replay(tracking)
        if complete or left:
            log.info("earlier runs that MLflow had not taken: %d are complete now, %d wait", complete, left)
        done = register(
            tracking,
            Registration(spec.model_name, folder, spec.aliases, tags, spec.description, spec.encoded_model),
            lambda name: context.progress.stage(name, unit="steps"),
        )
        version = done.version
        if file is not None:
            write_version_file(file, tracking, version, done.experiment_id)
        log.info("'%s' version %d%s", version.name, version.number, ", which was there" if done.existed else "")
        return RegisterModelResult(
            model_name=version.name,
            model_version=version.number,
            model_uri=version.uri,
            model_fingerprint=version.tags[FINGERPRINT],
            plan_id=version.tags.get("mlfeat.plan_id", ""),
            aliases=version.aliases,
            already_registered=done.existed,
            run_id=version.run_id,
            run_url=tracking.run_page(done.experiment_id, version.run_id),
            version_url=tracking.model_page(version.name, version.number),
            artifacts=(Artifact.of("registration", file),) if file is not None else (),
        )


def _decision_tags(path: str, fingerprint: str) -> dict[str, str]:
    """What the version carries of its decision; raises UserError for one that does not let this model through."""
    from airflow_provider_mlfeat.registry import versions
    from airflow_provider_mlfeat.registry.gate.decision import Decision

    decision: Decision = Decision.read(Path(path))
    if decision.model_fingerprint != fingerprint:
        raise UserError(
            f"the decision {path} is about model {decision.model_fingerprint[:12]}, and the model is {fingerprint[:12]}"
        )
    if not decision.accepted:
        raise UserError(f"the gate has not accepted this model ({decision.decision}: {decision.reason})")
    tags = {versions.DECISION: decision.decision, "mlfeat.decision_reason": decision.reason[:5000]}
    return {**tags, versions.COMPARED_WITH: decision.champion_version} if decision.champion_compared else tags
