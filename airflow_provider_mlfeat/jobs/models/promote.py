"""The champion: promoted, and rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.jobs.models.tracking import TrackingSpec
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec

if TYPE_CHECKING:
    from airflow_provider_mlfeat.registry.promotion import Move
    from airflow_provider_mlfeat.registry.tracking import Tracking


class PromoteModelSpec(JobSpec):
    """Spec of `PromoteModelJob`.

    :param kind: ``promote_model``.
    :param model_name: the registered model's name.
    :param model_version: number or alias of the version.
    :param alias: that moves.
    :param require_decision: whether the version must carry an accepting decision against the present champion.
    :param allow_new_signature: whether it may take other features than the champion.
    :param tracking: the MLflow.
    """

    kind: Literal["promote_model"] = "promote_model"
    model_name: str = Field(min_length=1)
    model_version: str = "challenger"
    alias: str = "champion"
    require_decision: bool = True
    allow_new_signature: bool = False
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)


class RollbackModelSpec(JobSpec):
    """Spec of `RollbackModelJob`.

    :param kind: ``rollback_model``.
    :param model_name: the registered model's name.
    :param to_version: number or alias of the version to go back to; empty is the one that the champion replaced.
    :param alias: that moves.
    :param tracking: the MLflow.
    """

    kind: Literal["rollback_model"] = "rollback_model"
    model_name: str = Field(min_length=1)
    to_version: str = ""
    alias: str = "champion"
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)


class _MovedResult(JobResult):
    """What both results say.

    :param model_name: the registered model's name.
    :param model_version: number of the version that the alias points to now.
    :param model_uri: what MLflow's functions take; it names the number.
    :param model_fingerprint: of that version's model; empty for one that somebody else registered.
    :param plan_id: what its features mean; empty where that is not known.
    :param alias: that moved.
    :param previous_version: where it pointed before; None where there was nothing, or nothing moved.
    :param moved: False when it pointed there already.
    :param version_url: the version's page; empty where MLflow has no pages.
    """

    model_name: str
    model_version: int
    model_uri: str
    model_fingerprint: str
    plan_id: str
    alias: str
    previous_version: int | None
    moved: bool
    version_url: str


class PromoteModelResult(_MovedResult):
    """Result of `PromoteModelJob`.

    :param kind: ``promote_model``.
    """

    kind: Literal["promote_model"] = "promote_model"


class RollbackModelResult(_MovedResult):
    """Result of `RollbackModelJob`.

    :param kind: ``rollback_model``.
    """

    kind: Literal["rollback_model"] = "rollback_model"


class PromoteModelJob(Job[PromoteModelSpec, PromoteModelResult]):
    """Point an alias to a version that the gate accepted and whose artefacts are whole."""

    kind: ClassVar[str] = "promote_model"
    spec_type: ClassVar[type[JobSpec]] = PromoteModelSpec
    result_type: ClassVar[type[JobResult]] = PromoteModelResult

    def is_cacheable(self, spec: PromoteModelSpec) -> bool:
        """No: aliases move."""
        return False

    def run(self, spec: PromoteModelSpec, context: JobContext) -> PromoteModelResult:
        """Check the version, and move the alias."""
        from airflow_provider_mlfeat.registry.promotion import Promotion, promote

        tracking = spec.tracking.tracking(context.secrets)
        wanted = Promotion(
            spec.model_name, spec.model_version, spec.alias, spec.require_decision, spec.allow_new_signature
        )
        move = promote(tracking, wanted, lambda name: context.progress.stage(name, unit="steps"))
        return PromoteModelResult(**_fields(tracking, move, spec.alias))


class RollbackModelJob(Job[RollbackModelSpec, RollbackModelResult]):
    """Point an alias back to the version that the present one replaced, or to another."""

    kind: ClassVar[str] = "rollback_model"
    spec_type: ClassVar[type[JobSpec]] = RollbackModelSpec
    result_type: ClassVar[type[JobResult]] = RollbackModelResult

    def is_cacheable(self, spec: RollbackModelSpec) -> bool:
        """No: aliases move."""
        return False

    def run(self, spec: RollbackModelSpec, context: JobContext) -> RollbackModelResult:
        """Check the version to go back to, and move the alias."""
        from airflow_provider_mlfeat.registry.promotion import rollback

        tracking = spec.tracking.tracking(context.secrets)
        move = rollback(
            tracking,
            spec.model_name,
            spec.to_version or None,
            spec.alias,
            lambda name: context.progress.stage(name, unit="steps"),
        )
        return RollbackModelResult(**_fields(tracking, move, spec.alias))


def _fields(tracking: Tracking, move: Move, alias: str) -> dict[str, Any]:
    version = move.version
    return {
        "model_name": version.name,
        "model_version": version.number,
        "model_uri": version.uri,
        "model_fingerprint": version.fingerprint,
        "plan_id": version.tags.get("mlfeat.plan_id", ""),
        "alias": alias,
        "previous_version": move.previous,
        "moved": move.moved,
        "version_url": tracking.model_page(version.name, version.number),
    }
