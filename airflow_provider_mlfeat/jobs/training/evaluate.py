"""A model's evaluation on a split of a dataset."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.training.places import folder_of

log = logging.getLogger("mlfeat.job")


class EvaluateModelSpec(JobSpec):
    """Spec of `EvaluateModelJob`.

    :param kind: ``evaluate_model``.
    :param model: the model's folder.
    :param dataset: the dataset's folder.
    :param split: ``test``, ``valid`` or ``train``.
    :param encoder: ``same`` demands that dataset and model share the encoder; ``model`` encodes the raw features anew
        with the model's own, so that an earlier model can be judged on later rows.
    :param slices: feature columns to look at by value.
    :param baselines: which baselines to judge beside the model.
    :param name: of the folder that the evaluations are kept in; empty is that of the model.
    :param output: folder of all evaluations; empty is ``.evaluations/`` below `root`.
    :param root: where tables are; empty is ``$MLFEAT_TABLES``, else ``tables/`` below the state directory.
    """

    kind: Literal["evaluate_model"] = "evaluate_model"
    model: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    split: Literal["test", "valid", "train"] = "test"
    encoder: Literal["same", "model"] = "same"
    slices: tuple[str, ...] = ()
    baselines: tuple[Literal["constant", "logistic"], ...] = ("constant", "logistic")
    name: str = ""
    output: str = ""
    root: str = ""


class EvaluateModelResult(JobResult):
    """Result of `EvaluateModelJob`.

    :param kind: ``evaluate_model``.
    :param evaluation: the evaluation's folder.
    :param model: the model's folder.
    :param model_fingerprint: identity of what was judged.
    :param dataset: the dataset's folder.
    :param dataset_fingerprint: identity of the rows.
    :param split: which split.
    :param rows: how many rows, each scored once.
    :param positives: how many of them have label 1.
    :param auc: area under the ROC curve; None where there is one class only.
    :param auc_low: lower end of its 95 % interval.
    :param auc_high: upper end of its 95 % interval.
    :param pr_auc: average precision.
    :param logloss: mean negative log likelihood.
    :param normalised_entropy: logloss as a share of that of the positive rate.
    :param calibration_slope: 1 is calibrated.
    :param calibration_ratio: mean score as a share of the positive rate.
    :param accuracy: at one half.
    :param constant_logloss: of the training split's positive rate.
    :param logistic_auc: of the logistic baseline.
    :param logistic_logloss: of the logistic baseline.
    :param already_evaluated: whether an earlier run had made this evaluation.
    """

    kind: Literal["evaluate_model"] = "evaluate_model"
    evaluation: str
    model: str
    model_fingerprint: str
    dataset: str
    dataset_fingerprint: str
    split: str
    rows: int
    positives: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    pr_auc: float | None
    logloss: float | None
    normalised_entropy: float | None
    calibration_slope: float | None
    calibration_ratio: float | None
    accuracy: float | None
    constant_logloss: float | None
    logistic_auc: float | None
    logistic_logloss: float | None
    already_evaluated: bool


class EvaluateModelJob(Job[EvaluateModelSpec, EvaluateModelResult]):
    """Score every row of a split once, and judge the scores with intervals, beside baselines, and by slice."""

    kind: ClassVar[str] = "evaluate_model"
    spec_type: ClassVar[type[JobSpec]] = EvaluateModelSpec
    result_type: ClassVar[type[JobResult]] = EvaluateModelResult

    def is_cacheable(self, spec: EvaluateModelSpec) -> bool:
        """No: the evaluation's folder itself says what it was made of."""
        return False

    def run(self, spec: EvaluateModelSpec, context: JobContext) -> EvaluateModelResult:
        """Look for this evaluation, or make it."""
        from airflow_provider_mlfeat.dataset.folder import Dataset
        from airflow_provider_mlfeat.training.evaluation.folder import (
            EVALUATION,
            EvaluationRequest,
            evaluate,
            read_evaluation,
        )
        from airflow_provider_mlfeat.training.trained_model import TrainedModel

        context.progress.stage("open", unit="files")
        model, dataset = TrainedModel.open(spec.model), Dataset.open(spec.dataset)
        model.check()
        request = EvaluationRequest(model, dataset, spec.split, spec.encoder, spec.slices, spec.baselines)
        target = folder_of(
            spec.root, spec.output, "evaluations", spec.name or model.folder.parent.name, request.identity
        )
        already = (target / EVALUATION).exists()
        if already:
            log.info("this model was evaluated on these rows before: %s", target)
            document = read_evaluation(target)
        else:
            document = evaluate(target, request, context.progress, context.cancellation)
        return _result(target, model.folder, dataset.folder.absolute(), document, already)


def _result(target: Path, model: Path, dataset: Path, document: dict[str, Any], already: bool) -> EvaluateModelResult:
    from airflow_provider_mlfeat.training.evaluation.folder import REPORT

    metrics = document["metrics"]
    constant, logistic = (document["baselines"].get(name, {}) for name in ("constant", "logistic"))
    low, high = document["intervals"].get("auc", (None, None))
    shown = ", ".join(f"{name}={value:.5f}" for name, value in metrics.items() if value is not None)
    log.info("%d rows, %d positive: %s", document["rows"], document["positives"], shown)
    names = ("auc", "pr_auc", "logloss", "normalised_entropy", "calibration_slope", "calibration_ratio", "accuracy")
    return EvaluateModelResult(
        evaluation=str(target),
        model=str(model),
        model_fingerprint=document["model_fingerprint"],
        dataset=str(dataset),
        dataset_fingerprint=document["dataset_fingerprint"],
        split=document["split"],
        rows=document["rows"],
        positives=document["positives"],
        auc_low=low,
        auc_high=high,
        **{name: metrics[name] for name in names},
        constant_logloss=constant.get("logloss"),
        logistic_auc=logistic.get("auc"),
        logistic_logloss=logistic.get("logloss"),
        already_evaluated=already,
        artifacts=(Artifact.of("report", target / REPORT), Artifact.of("evaluation", target / "evaluation.json")),
    )
