"""An evaluation's folder: the document, the scores of every row, and a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.evaluation.baselines import constant_scores, logistic_scores
from airflow_provider_mlfeat.training.evaluation.judgement import SplitJudgement, judge_split
from airflow_provider_mlfeat.training.evaluation.metrics import Metrics, compute_metrics
from airflow_provider_mlfeat.training.evaluation.scoring import rows_for, score
from airflow_provider_mlfeat.training.evaluation.slices import compute_slices
from airflow_provider_mlfeat.training.report.content import ReportContent
from airflow_provider_mlfeat.training.report.page import render_report
from airflow_provider_mlfeat.training.reporting import TrainingCancellation, TrainingProgress
from airflow_provider_mlfeat.training.splits import examples_of, layout_of
from airflow_provider_mlfeat.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.folder import Dataset

EVALUATION = "evaluation.json"
SCORES = "scores.parquet"
REPORT = "report.html"
EVALUATION_VERSION = 1


@dataclass(frozen=True)
class EvaluationRequest:
    """What is evaluated.

    :param model: the model.
    :param dataset: with the rows.
    :param split: which of its splits.
    :param encoder: ``same`` or ``model``.
    :param slices: feature columns to look at by value.
    :param baselines: ``constant`` and ``logistic``, as far as asked for.
    """

    model: TrainedModel
    dataset: Dataset
    split: str
    encoder: str
    slices: tuple[str, ...]
    baselines: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Equal for equal requests."""
        model, dataset = self.model.manifest.fingerprint, self.dataset.manifest.fingerprint
        asked = [EVALUATION_VERSION, model, dataset, self.split, self.encoder, list(self.slices), list(self.baselines)]
        return files.digest_text(files.canonical_json(asked))


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What ``evaluation.json`` says; raises UserError for a folder that is no evaluation."""
    try:
        document: dict[str, Any] = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} is no evaluation: it has no {EVALUATION}") from None
    except ValueError as error:
        raise UserError(f"{folder / EVALUATION} cannot be read: {error}") from None
    return document


def evaluate(
    target: Path, request: EvaluationRequest, progress: TrainingProgress, cancellation: TrainingCancellation
) -> dict[str, Any]:
    """Score every row of the split once, judge the scores, and write the folder; what its document says.

    :param target: the folder, which does not exist.
    :param request: what is evaluated.
    :param progress: told each stage.
    :param cancellation: asked at each stage.
    """
    model, dataset, split = request.model, request.dataset, request.split
    examples = rows_for(model, dataset, split, request.encoder)
    progress.stage(f"score {split}", total=len(examples))
    scores = score(model, examples, progress, cancellation)
    labels = np.asarray(examples.labels)
    judgement = judge_split(labels, scores, intervals=True)
    source = dataset.manifest
    if (judgement.rows, judgement.positives) != (source.rows[split], source.positives[split]):
        raise UserError(
            f"split '{split}' holds {judgement.rows} rows, {judgement.positives} of them positive, and the dataset's "
            f"manifest says {source.rows[split]} and {source.positives[split]}: build the dataset again"
        )
    progress.metric(**{name: value for name, value in judgement.metrics.items() if value is not None})
    baselines = _baselines(request, progress, cancellation)
    known = {name: compute_metrics(labels, scored) for name, scored in baselines.items()}
    slices = _slices(request, labels, scores)
    document = _document(request, judgement, known, slices)
    progress.stage("report", unit="files")
    with files.staged_directory(target) as folder:
        _write_scores(folder / SCORES, labels, scores, baselines)
        content = _content(request, document, judgement, known)
        (folder / REPORT).write_text(render_report(content), encoding="utf-8")
        files.write_json(folder / EVALUATION, document)
    return document


def _baselines(
    request: EvaluationRequest, progress: TrainingProgress, cancellation: TrainingCancellation
) -> dict[str, npt.NDArray[np.float32]]:
    """Scores of the baselines, which know the dataset's own encoding."""
    dataset = request.dataset
    found: dict[str, npt.NDArray[np.float32]] = {}
    source = dataset.manifest
    for name in request.baselines:
        cancellation.check()
        if name == "constant":
            rate = source.positives["train"] / source.rows["train"]
            found[name] = constant_scores(rate, source.rows[request.split])
        else:
            progress.stage("logistic baseline", total=source.rows["train"])
            train, scored = examples_of(dataset, "train"), examples_of(dataset, request.split)
            sizes = layout_of(dataset).sizes
            found[name] = logistic_scores((train.ids, train.values), train.labels, sizes, (scored.ids, scored.values))
            progress.advance(source.rows["train"])
    return found


def _slices(
    request: EvaluationRequest, labels: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]
) -> dict[str, list[dict[str, Any]]]:
    if not request.slices:
        return {}
    return compute_slices(request.dataset.features(request.split), request.slices, labels, scores)


def _document(
    request: EvaluationRequest,
    judgement: SplitJudgement,
    baselines: Mapping[str, Metrics],
    slices: Mapping[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    model, source = request.model.manifest, request.dataset.manifest
    return {
        "version": EVALUATION_VERSION,
        "fingerprint": request.identity,
        "model_fingerprint": model.fingerprint,
        "model_kind": model.kind,
        "encoder_fingerprint": model.encoder_fingerprint,
        "plan_id": model.plan_id,
        "dataset_fingerprint": source.fingerprint,
        "split": request.split,
        "encoder": request.encoder,
        "rows": judgement.rows,
        "positives": judgement.positives,
        "metrics": judgement.metrics,
        "intervals": {name: list(between) for name, between in judgement.intervals.items()},
        "baselines": dict(baselines),
        "slices": dict(slices),
    }


def _write_scores(
    path: Path,
    labels: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    baselines: Mapping[str, npt.NDArray[np.float32]],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"row": np.arange(len(labels)), "label": labels, "score": scores, **baselines}
    pq.write_table(pa.table(columns), path)


def _content(
    request: EvaluationRequest, document: dict[str, Any], judgement: SplitJudgement, baselines: Mapping[str, Metrics]
) -> ReportContent:
    model, source = request.model.manifest, request.dataset.manifest
    reference = str(source.feature_set.get("reference", ""))
    shown = ((name, judgement.metrics[name]) for name in ("auc", "pr_auc", "logloss", "calibration_slope"))
    tiles = [(name.replace("_", " "), f"{value:.5f}") for name, value in shown if value is not None]
    return ReportContent(
        kind="Evaluation",
        title=f"{model.kind} on {request.split} of {reference or source.fingerprint[:12]}",
        tiles=[*tiles, ("rows", f"{judgement.rows:,}"), ("positives", f"{judgement.positives:,}")],
        facts=[
            ("model", model.fingerprint),
            ("dataset", source.fingerprint),
            ("features", reference),
            ("encoded by", "the dataset's encoder" if request.encoder == "same" else "the model's own encoder"),
            ("evaluation", document["fingerprint"]),
        ],
        judgements={request.split: judgement},
        baselines=baselines,
        slices=document["slices"],
        splits={request.split: {"rows": judgement.rows, "positives": judgement.positives}},
    )
