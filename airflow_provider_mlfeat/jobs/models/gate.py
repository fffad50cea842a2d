"""Whether a model may be used."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import MissingExtraError, TransientError
from airflow_provider_mlfeat.jobs.models.tracking import TrackingSpec
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.training.places import folder_of

if TYPE_CHECKING:
    from airflow_provider_mlfeat.registry.gate.decision import Decision
    from airflow_provider_mlfeat.registry.gate.evidence import Champion
    from airflow_provider_mlfeat.registry.tracking import Tracking
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

log = logging.getLogger("mlfeat.job")


class GateModelSpec(JobSpec):
    """Spec of `GateModelJob`.

    :param kind: ``gate_model``.
    :param model: the model's folder.
    :param evaluation: the folder of its evaluation.
    :param dataset: the evaluated dataset's folder; champions and slices need it.
    :param rules: one document each; None takes the default rules.
    :param model_name: of the registered model whose champion is to be beaten; empty compares with no champion.
    :param champion: alias of the champion.
    :param work: name of this piece of work, such as the DAG run's: it keeps its decision apart from others'.
    :param registration_file: a file of an earlier registration; it is deleted before anything is judged.
    :param output: folder of all decisions; empty is ``.decisions/`` below `root`.
    :param root: where tables are; empty is ``$MLFEAT_TABLES``, else ``tables/`` below the state directory.
    :param tracking: the MLflow that the decision is written to and the champion comes from; None uses none.
    """

    kind: Literal["gate_model"] = "gate_model"
    model: str = Field(min_length=1)
    evaluation: str = Field(min_length=1)
    dataset: str = ""
    rules: tuple[dict[str, Any], ...] | None = None
    model_name: str = ""
    champion: str = "champion"
    work: str = ""
    registration_file: str = ""
    output: str = ""
    root: str = ""
    tracking: TrackingSpec | None = None


class GateModelResult(JobResult):
    """Result of `GateModelJob`.

    :param kind: ``gate_model``.
    :param decision: ``accepted``, ``rejected`` or ``undecidable``.
    :param accepted: whether the model may be used.
    :param reason: one sentence.
    :param decision_file: the whole decision, for registration.
    :param decision_table: the decision as a Markdown table, for people who approve.
    :param model: the model's folder.
    :param model_fingerprint: of the model.
    :param champion_version: number of the champion that it was compared with; empty without one.
    :param passed: how many rules hold.
    :param failed: how many do not.
    :param undecidable: how many could not be decided.
    """

    kind: Literal["gate_model"] = "gate_model"
    decision: str
    accepted: bool
    reason: str
    decision_file: str
    decision_table: str
    model: str
    model_fingerprint: str
    champion_version: str
    passed: int
    failed: int
    undecidable: int


class GateModelJob(Job[GateModelSpec, GateModelResult]):
    """Decide by declared rules whether a model may be used, and write the decision with every rule's numbers."""

    kind: ClassVar[str] = "gate_model"
    spec_type: ClassVar[type[JobSpec]] = GateModelSpec
    result_type: ClassVar[type[JobResult]] = GateModelResult

    def is_cacheable(self, spec: GateModelSpec) -> bool:
        """No: the champion may be another one by now."""
        return False

    def run(self, spec: GateModelSpec, context: JobContext) -> GateModelResult:
        """Take back what an earlier try has decided, judge, and write the decision."""
        from airflow_provider_mlfeat.dataset.folder import Dataset
        from airflow_provider_mlfeat.registry.gate.evidence import read_evidence
        from airflow_provider_mlfeat.registry.gate.judging import judge
        from airflow_provider_mlfeat.registry.gate.rules import parse_rules
        from airflow_provider_mlfeat.training.trained_model import TrainedModel, local_folder

        stage = _stages(context)
        if spec.registration_file:
            # Whatever comes of this: nobody downstream takes an earlier model for the one that is judged here.
            Path(spec.registration_file).unlink(missing_ok=True)
        rules = parse_rules(spec.rules)
        model = TrainedModel.open(spec.model)
        target = _decision_path(spec, model)
        target.unlink(missing_ok=True)
        stage("check model")
        model.check()
        dataset = Dataset.open(spec.dataset) if spec.dataset else None
        tracking = spec.tracking.tracking(context.secrets) if spec.tracking else None
        champion = _champion(spec, tracking, context) if tracking and spec.model_name else None
        stage("evidence")
        evidence = read_evidence(model, local_folder(spec.evaluation, "evaluation"), dataset, champion)
        decision = judge(
            rules,
            evidence,
            model_name=spec.model_name,
            champion_compared=bool(tracking and spec.model_name),
            stage=stage,
            check=context.cancellation.check,
        )
        decision.write(target)
        log.info("gate of %s\n%s", model.folder, decision.to_text())
        if tracking is not None:
            stage("MLflow")
            _log_decision(tracking, model, decision, target)
        return _result(spec, model, decision, target)


def _stages(context: JobContext) -> Any:
    def stage(name: str) -> None:
        context.progress.stage(name, unit="steps")

    return stage


def _decision_path(spec: GateModelSpec, model: TrainedModel) -> Path:
    """One file for each piece of work: a re-run writes it anew, and another run never reads it."""
    parts = [model.manifest.fingerprint, spec.evaluation, spec.dataset, spec.work]
    name = spec.model_name or model.manifest.kind.partition(":")[0]
    folder = folder_of(spec.root, spec.output, "decisions", name, files.digest_text(files.canonical_json(parts)))
    return folder / "decision.json"


def _champion(spec: GateModelSpec, tracking: Tracking, context: JobContext) -> Champion | None:
    """The model that the alias points to, on this machine."""
    from airflow_provider_mlfeat.registry.fetching import fetch_version
    from airflow_provider_mlfeat.registry.gate.evidence import Champion
    from airflow_provider_mlfeat.registry.versions import find_alias
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

    context.progress.stage("champion", unit="steps")
    with tracking.client() as client:
        version = find_alias(client, spec.model_name, spec.champion)
        if version is None:
            log.info("'%s' has no %s yet", spec.model_name, spec.champion)
            return None
        folder = fetch_version(client, version, context.scratch)
    log.info("the %s of '%s' is version %d", spec.champion, spec.model_name, version.number)
    return Champion(version, TrainedModel.open(folder))


def _log_decision(tracking: Tracking, model: TrainedModel, decision: Decision, path: Path) -> None:
    """The decision in the run of the training. The decision stands, whether MLflow hears of it now or later."""
    from airflow_provider_mlfeat.registry.registration import ensure_run, run_key, run_name
    from airflow_provider_mlfeat.registry.run_log import open_run

    try:
        ensure_run(tracking, model)
    except MissingExtraError:
        raise
    except TransientError as error:
        log.warning("the decision goes to MLflow later: %s", error)
    with open_run(tracking, run_key(model.manifest), run_name(model.manifest)) as run:
        run.tags({"mlfeat.decision": decision.decision, "mlfeat.decision_reason": decision.reason})
        numbers = {f"gate/{one.rule}": one.value for one in decision.outcomes if one.value is not None}
        run.metrics({_metric_name(name): value for name, value in numbers.items()})
        run.artifact(path, "gate")


def _metric_name(name: str) -> str:
    """MLflow takes letters, digits and few signs."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name)


def _result(spec: GateModelSpec, model: TrainedModel, decision: Decision, path: Path) -> GateModelResult:
    states = [one.state for one in decision.outcomes]
    return GateModelResult(
        decision=decision.decision,
        accepted=decision.accepted,
        reason=decision.reason,
        decision_file=str(path),
        decision_table=decision.to_markdown(),
        model=spec.model,
        model_fingerprint=model.manifest.fingerprint,
        champion_version=decision.champion_version,
        passed=states.count("passed"),
        failed=states.count("failed"),
        undecidable=states.count("undecidable"),
        artifacts=(Artifact.of("decision", path),),
    )
