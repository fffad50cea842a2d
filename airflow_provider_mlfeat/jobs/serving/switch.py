"""A service answers with another release: features and model together."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.online.place import OnlinePlace
from airflow_provider_mlfeat.jobs.serving.server import ServerPlace, triton_headers
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.releases import ModelReference, Release

log = logging.getLogger("mlfeat.job")


class SwitchServingSpec(JobSpec):
    """Spec of `SwitchServingJob`.

    :param kind: ``switch_serving``.
    :param service: which service.
    :param deployment: the features, ``name@version``; without a version, the newest that is live.
    :param model: folder of the model; empty is a service of features alone.
    :param model_name: what the registry calls the model.
    :param model_version: its version there.
    :param backend: where the model runs: ``onnx`` in the server, ``triton`` on a Triton server.
    :param endpoint: of the Triton server: ``address``, ``protocol``, ``model``, ``version``.
    :param label: the output column that is no feature.
    :param threshold: from which probability on the class is 1.
    :param models: folder for copies of models; empty is ``serving/models`` below the state directory.
    :param online: the online store.
    :param server: servers that have to answer with the release before the job succeeds; none named is none asked.
    """

    kind: Literal["switch_serving"] = "switch_serving"
    service: str = "default"
    deployment: str = Field(min_length=1)
    model: str = ""
    model_name: str = ""
    model_version: str = ""
    backend: Literal["onnx", "triton"] = "onnx"
    endpoint: dict[str, Any] = Field(default_factory=dict)
    label: str = ""
    threshold: float = Field(default=0.5, ge=0, le=1)
    models: str = ""
    online: OnlinePlace = OnlinePlace()
    server: ServerPlace = ServerPlace()


class RollbackServingSpec(JobSpec):
    """Spec of `RollbackServingJob`.

    :param kind: ``rollback_serving``.
    :param service: which service.
    :param only_from: go back only where this release is live; None goes back from any.
    :param online: the online store.
    :param server: servers that have to answer with the release before the job succeeds.
    """

    kind: Literal["rollback_serving"] = "rollback_serving"
    service: str = "default"
    only_from: int | None = None
    online: OnlinePlace = OnlinePlace()
    server: ServerPlace = ServerPlace()


class SwitchServingResult(JobResult):
    """Result of `SwitchServingJob`.

    :param kind: ``switch_serving``.
    :param service: which service.
    :param release: number of the release that is live.
    :param previous_release: number of the one before; None without one.
    :param deployment: its features, ``name@version``.
    :param plan_id: what features and model mean.
    :param model_name: its model; empty without one.
    :param model_version: that model's version.
    :param switched: whether another release was live before.
    """

    kind: Literal["switch_serving"] = "switch_serving"
    service: str
    release: int
    previous_release: int | None
    deployment: str
    plan_id: str
    model_name: str
    model_version: str
    switched: bool


class RollbackServingResult(JobResult):
    """Result of `RollbackServingJob`.

    :param kind: ``rollback_serving``.
    :param service: which service.
    :param release: number of the release that is live; 0 where the service has none.
    :param previous_release: number of the one before it; None without one.
    :param deployment: its features, ``name@version``.
    :param plan_id: what features and model mean.
    :param model_name: its model; empty without one.
    :param model_version: that model's version.
    :param rolled_back: whether another release was live before.
    """

    kind: Literal["rollback_serving"] = "rollback_serving"
    service: str
    release: int
    previous_release: int | None
    deployment: str
    plan_id: str
    model_name: str
    model_version: str
    rolled_back: bool


# What the rollback of a service says that has no release.
_NOTHING: dict[str, Any] = {
    "release": 0,
    "previous_release": None,
    "deployment": "",
    "plan_id": "",
    "model_name": "",
    "model_version": "",
    "rolled_back": False,
}


class SwitchServingJob(Job[SwitchServingSpec, SwitchServingResult]):
    """Make features and a model the live release of a service, in one step, and see that servers answer with it."""

    kind: ClassVar[str] = "switch_serving"
    spec_type: ClassVar[type[JobSpec]] = SwitchServingSpec
    result_type: ClassVar[type[JobResult]] = SwitchServingResult

    def is_cacheable(self, spec: SwitchServingSpec) -> bool:
        """No: what is live may have changed since."""
        return False

    def run(self, spec: SwitchServingSpec, context: JobContext) -> SwitchServingResult:
        """Check the release as a server would, write it, switch, and wait for the servers."""
        from airflow_provider_mlfeat.online.deployments import find_deployment
        from airflow_provider_mlfeat.serving import releases

        context.progress.stage("prepare", unit="steps")
        model = _keep_model(spec)
        with spec.online.open(context.secrets) as store:
            deployment = find_deployment(store.documents.read(), spec.deployment)
            release = releases.Release(
                service=spec.service,
                number=0,
                deployment=deployment.reference,
                plan_id=deployment.plan_id,
                model=model,
                label=spec.label,
                threshold=spec.threshold,
            )
            _try(store, release, context.secrets)
            added = releases.add_release(store.documents, release)
            before = releases.services(store.documents).get(spec.service) or releases.Service(spec.service)
            context.progress.stage("switch", unit="steps")
            now = releases.switch(store.documents, spec.service, added.number)
        try:
            spec.server.wait_for(added, context)
        except Exception:
            if before.live != added.number:
                with spec.online.open(context.secrets) as store:
                    live = releases.take_back(store.documents, added.number, before).live
                again = "no release is live" if live is None else f"release {live} is live again"
                log.error("release %s did not come up: %s", added.name, again)
            raise
        log.info("service %s answers with release %d", spec.service, added.number)
        return SwitchServingResult(
            **_document(added, now.previous[-1] if now.previous else None),
            switched=before.live != added.number,
        )


class RollbackServingJob(Job[RollbackServingSpec, RollbackServingResult]):
    """Have a service answer with the release that was live before."""

    kind: ClassVar[str] = "rollback_serving"
    spec_type: ClassVar[type[JobSpec]] = RollbackServingSpec
    result_type: ClassVar[type[JobResult]] = RollbackServingResult

    def is_cacheable(self, spec: RollbackServingSpec) -> bool:
        """No: each time goes one release back."""
        return False

    def run(self, spec: RollbackServingSpec, context: JobContext) -> RollbackServingResult:
        """Go back, and wait for the servers."""
        from airflow_provider_mlfeat.serving import releases

        context.progress.stage("switch", unit="steps")
        with spec.online.open(context.secrets) as store:
            known = releases.services(store.documents).get(spec.service)
            if spec.only_from is not None and (known is None or known.live is None):
                log.info("service %s answers with no release: there is nothing to take back", spec.service)
                return RollbackServingResult(**_NOTHING, service=spec.service)
            now = releases.service(store.documents, spec.service)
            rolled_back = spec.only_from in (None, now.live)
            if rolled_back and spec.only_from is not None and not now.previous:
                log.warning("service %s has no release before %s: it stays", spec.service, now.live)
                rolled_back = False
            if rolled_back:
                now = releases.roll_back(store.documents, spec.service)
            assert now.live is not None
            release = releases.get_release(store.documents, spec.service, now.live)
        spec.server.wait_for(release, context)
        log.info("service %s answers with release %d", spec.service, release.number)
        previous = now.previous[-1] if now.previous else None
        return RollbackServingResult(**_document(release, previous), rolled_back=rolled_back)


def _document(release: Release, previous: int | None) -> dict[str, Any]:
    model = release.model
    return {
        "service": release.service,
        "release": release.number,
        "previous_release": previous,
        "deployment": release.deployment,
        "plan_id": release.plan_id,
        "model_name": "" if model is None else model.name,
        "model_version": "" if model is None else model.version,
    }


def _keep_model(spec: SwitchServingSpec) -> ModelReference | None:
    """The model in a folder that only serving uses: what trained it may be cleaned up without harm."""
    from airflow_provider_mlfeat.serving.releases import ModelReference
    from airflow_provider_mlfeat.training.model_folder import read_manifest
    from airflow_provider_mlfeat.training.trained_model import local_folder

    if not spec.model:
        return None
    source = local_folder(spec.model, "model")
    fingerprint = read_manifest(source).fingerprint
    target = (Path(spec.models) if spec.models else files.state_directory() / "serving" / "models") / fingerprint
    if not target.exists():
        with files.staged_directory(target) as staging:
            shutil.copytree(source, staging, dirs_exist_ok=True)
    name = spec.model_name or source.name
    return ModelReference(name, spec.model_version, str(target), fingerprint, spec.backend, spec.endpoint)


def _try(store: Any, release: Release, secrets: Mapping[str, str]) -> None:
    """All that a server does to get a release ready, before it goes live."""
    from airflow_provider_mlfeat.online.features import FeatureService
    from airflow_provider_mlfeat.serving.columns import check_columns
    from airflow_provider_mlfeat.serving.scoring import ServedModel

    served = FeatureService(store).served(release.deployment)
    if release.model is None:
        return
    model = ServedModel(release.model, triton_headers(secrets))
    check_columns(release, served, model)
    model.scorer.close()
    if release.label and release.label in model.encoder.columns:
        raise UserError(f"the model reads '{release.label}', which is the label and unknown when a request comes")
