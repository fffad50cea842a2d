"""Go back to an earlier version on Triton, and stop serving."""

from __future__ import annotations

from typing import ClassVar, Literal

from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.triton.place import RolloutResult, RolloutSpec, told


class RollbackTritonModelSpec(RolloutSpec):
    """Spec of `RollbackTritonModelJob`.

    :param kind: ``rollback_triton_model``.
    :param version_back: the version to go back to; None is the one before.
    :param reason: why, for the record.
    """

    kind: Literal["rollback_triton_model"] = "rollback_triton_model"
    version_back: int | None = None
    reason: str = ""


class RollbackTritonModelResult(RolloutResult):
    """Result of `RollbackTritonModelJob`.

    :param kind: ``rollback_triton_model``.
    :param rolled_back_from: the version that was live before; 0 when none was.
    """

    kind: Literal["rollback_triton_model"] = "rollback_triton_model"
    rolled_back_from: int


class RollbackTritonModelJob(Job[RollbackTritonModelSpec, RollbackTritonModelResult]):
    """Go back to an earlier version of a model on Triton; at once when it is still loaded."""

    kind: ClassVar[str] = "rollback_triton_model"
    spec_type: ClassVar[type[JobSpec]] = RollbackTritonModelSpec
    result_type: ClassVar[type[JobResult]] = RollbackTritonModelResult

    def is_cacheable(self, spec: RollbackTritonModelSpec) -> bool:
        """No: what is live is known to the servers."""
        return False

    def run(self, spec: RollbackTritonModelSpec, context: JobContext) -> RollbackTritonModelResult:
        """Go back."""
        with spec.fleet(context.secrets) as fleet:
            rollout = spec.rollout(fleet, context)
            before = rollout.directory.state().live or 0
            state = rollout.roll_back(spec.version_back, spec.reason)
        return RollbackTritonModelResult(rolled_back_from=before, **told(spec, state))


class UnloadTritonModelSpec(RolloutSpec):
    """Spec of `UnloadTritonModelJob`.

    :param kind: ``unload_triton_model``.
    :param unload_version: a version that is not live; None is the whole model.
    """

    kind: Literal["unload_triton_model"] = "unload_triton_model"
    unload_version: int | None = None


class UnloadTritonModelResult(RolloutResult):
    """Result of `UnloadTritonModelJob`.

    :param kind: ``unload_triton_model``.
    """

    kind: Literal["unload_triton_model"] = "unload_triton_model"


class UnloadTritonModelJob(Job[UnloadTritonModelSpec, UnloadTritonModelResult]):
    """Stop serving a model on Triton, or let go one of its versions that is not live."""

    kind: ClassVar[str] = "unload_triton_model"
    spec_type: ClassVar[type[JobSpec]] = UnloadTritonModelSpec
    result_type: ClassVar[type[JobResult]] = UnloadTritonModelResult

    def is_cacheable(self, spec: UnloadTritonModelSpec) -> bool:
        """No: what is loaded is known to the servers."""
        return False

    def run(self, spec: UnloadTritonModelSpec, context: JobContext) -> UnloadTritonModelResult:
        """Unload."""
        with spec.fleet(context.secrets) as fleet:
            state = spec.rollout(fleet, context).unload(spec.unload_version)
        return UnloadTritonModelResult(**told(spec, state))
