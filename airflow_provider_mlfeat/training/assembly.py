"""From a trained model to its folder: export, golden rows, metrics, report; checked before it gets its name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.encoder import ENCODER_FILE
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.training.evaluation.importance import Importance, permutation_importance
from airflow_provider_mlfeat.training.evaluation.judgement import SplitJudgement, judge_split
from airflow_provider_mlfeat.training.evaluation.scoring import score
from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.golden import Golden, choose_rows, write_features
from airflow_provider_mlfeat.training.model_folder import (
    EPOCHS,
    GOLDEN,
    GOLDEN_FEATURES,
    MANIFEST,
    METRICS,
    REPORT,
    ModelManifest,
    digests,
    identity,
    input_tensors,
)
from airflow_provider_mlfeat.training.report.content import ReportContent
from airflow_provider_mlfeat.training.report.page import render_report
from airflow_provider_mlfeat.training.report.pictures import draw_pictures
from airflow_provider_mlfeat.training.reporting import TrainingCancellation, TrainingProgress
from airflow_provider_mlfeat.training.splits import judged_splits
from airflow_provider_mlfeat.training.trained_model import TrainedModel


@dataclass(frozen=True)
class Outcome:
    """What a training gave, whatever kind of model it made.

    :param kind: of the model.
    :param hyper_parameters: that it was made with.
    :param epochs: records of its epochs, or trees.
    :param best_epoch: which of them was kept.
    :param epoch_name: ``epoch`` or ``tree``.
    :param facts: how the run went: name → value, for the report and ``metrics.json``.
    :param predict: probabilities as the trainer computes them; what the exported graph is compared with.
    :param export: writes the graph into a folder.
    """

    kind: str
    hyper_parameters: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    best_epoch: int
    epoch_name: str
    facts: Mapping[str, str | int | float | None]
    predict: Callable[[Examples], npt.NDArray[np.float32]]
    export: Callable[[Path], object]


def assemble(
    target: Path,
    dataset: Dataset,
    outcome: Outcome,
    recipe: str,
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
) -> TrainedModel:
    """Write the folder of a model; it appears whole, and only if its graph gives what the trainer gave.

    :param target: the folder, which does not exist.
    :param dataset: what the model was trained on.
    :param outcome: the training.
    :param recipe: identity of dataset, settings and code.
    :param progress: told each stage.
    :param cancellation: asked at each stage.
    """
    with files.staged_directory(target) as folder:
        progress.stage("export", unit="files")
        outcome.export(folder)
        shutil.copyfile(dataset.folder / ENCODER_FILE, folder / ENCODER_FILE)
        splits = judged_splits(dataset)
        _write_golden(folder, dataset, splits, outcome)
        manifest = _describe(dataset, outcome, recipe)
        model = TrainedModel(folder, manifest)
        model.golden.compare(model.predict(model.golden.ids, model.golden.values), "the exported graph")
        judgements = _judge(model, splits, progress, cancellation)
        first = next(iter(splits.values()))
        names = [str(field["name"]) for field in manifest.fields]
        importance = permutation_importance(model.predict, first, names, manifest.values, progress, cancellation)
        manifest = replace(manifest, metrics={split: dict(one.metrics) for split, one in judgements.items()})
        progress.stage("report", unit="files")
        _write_report(folder, dataset, outcome, manifest, judgements, importance)
        cancellation.check()
        manifest = replace(manifest, files=digests(folder))
        manifest = replace(manifest, fingerprint=identity(manifest))
        files.write_json(folder / MANIFEST, manifest.to_document())
    return TrainedModel.open(target)


def _write_golden(folder: Path, dataset: Dataset, splits: Mapping[str, Examples], outcome: Outcome) -> None:
    split, examples = next(iter(splits.items()))
    rows = choose_rows(np.asarray(examples.labels))
    chosen = examples.take(rows)
    golden = Golden(chosen.ids.astype(np.int64), chosen.values, outcome.predict(chosen))
    golden.save(folder / GOLDEN)
    write_features(folder / GOLDEN_FEATURES, dataset.features(split), rows)


def _describe(dataset: Dataset, outcome: Outcome, recipe: str) -> ModelManifest:
    source = dataset.manifest
    return ModelManifest(
        kind=outcome.kind,
        fields=tuple(dict(field) for field in source.fields),
        values=tuple(str(value["name"]) for value in source.values),
        hyper_parameters=dict(outcome.hyper_parameters),
        encoder_fingerprint=source.encoder_fingerprint,
        plan_id=source.plan_id,
        dataset_fingerprint=source.fingerprint,
        feature_set=dict(source.feature_set),
        metrics={},
        rows={name: {"rows": rows, "positives": source.positives[name]} for name, rows in source.rows.items()},
        inputs=input_tensors(len(source.fields), len(source.values)),
        encoder=ENCODER_FILE,
        recipe=recipe,
    )


def _judge(
    model: TrainedModel,
    splits: Mapping[str, Examples],
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
) -> dict[str, SplitJudgement]:
    judgements = {}
    for name, examples in splits.items():
        progress.stage(f"score {name}", total=len(examples))
        scores = score(model, examples, progress, cancellation)
        judgements[name] = judge_split(np.asarray(examples.labels), scores, intervals=True)
    return judgements


def _write_report(
    folder: Path,
    dataset: Dataset,
    outcome: Outcome,
    manifest: ModelManifest,
    judgements: Mapping[str, SplitJudgement],
    importance: Sequence[Importance],
) -> None:
    with files.staged_file(folder / EPOCHS) as staging:
        staging.write_text("".join(json.dumps(dict(one)) + "\n" for one in outcome.epochs), encoding="utf-8")
    metrics = {
        "metrics": manifest.metrics,
        "intervals": {split: one.intervals for split, one in judgements.items()},
        "importance": {one.field: one.auc_lost for one in importance},
        "run": {"best_epoch": outcome.best_epoch, **outcome.facts},
    }
    files.write_json(folder / METRICS, metrics)
    content = report_content(dataset, outcome, manifest, judgements, importance)
    with files.staged_file(folder / REPORT) as staging:
        staging.write_text(render_report(content), encoding="utf-8")
    draw_pictures(content, folder)


def report_content(
    dataset: Dataset,
    outcome: Outcome,
    manifest: ModelManifest,
    judgements: Mapping[str, SplitJudgement],
    importance: Sequence[Importance],
) -> ReportContent:
    """What a run's report shows."""
    source = dataset.manifest
    first_name, first = next(iter(judgements.items()))
    reference = source.feature_set.get("reference") or source.feature_set.get("path") or ""
    tiles = [
        *((f"{first_name} {metric}", _shown(first.metrics[metric])) for metric in ("auc", "logloss", "pr_auc")),
        (f"best {outcome.epoch_name}", f"{outcome.best_epoch} of {len(outcome.epochs)}"),
        *((name.replace("_", " "), _shown(value)) for name, value in outcome.facts.items() if value is not None),
    ]
    facts = [
        ("dataset", source.fingerprint),
        ("features", str(reference)),
        ("plan", source.plan_id or "none: the rows came from a file"),
        ("encoder", source.encoder_fingerprint),
        ("profile", source.profile),
        ("label", source.label),
        ("split", json.dumps(source.split)),
        *(("warning", warning) for warning in source.warnings),
    ]
    return ReportContent(
        kind="Trained model",
        title=f"{outcome.kind} on {reference or source.fingerprint[:12]}",
        tiles=tiles,
        facts=facts,
        judgements=judgements,
        epochs=outcome.epochs,
        best_epoch=outcome.best_epoch,
        epoch_name=outcome.epoch_name,
        baselines={"constant": _constant(source.rows, source.positives, first)},
        importance=importance,
        splits=manifest.rows,
        settings=outcome.hyper_parameters,
    )


def _constant(rows: Mapping[str, int], positives: Mapping[str, int], judged: SplitJudgement) -> dict[str, float | None]:
    """Metrics of the training split's positive rate as the score of every row."""
    labels = np.zeros(judged.rows)
    labels[: judged.positives] = 1
    return judge_split(labels, np.full(judged.rows, positives["train"] / rows["train"], np.float32)).metrics


def _shown(value: str | int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) else value
