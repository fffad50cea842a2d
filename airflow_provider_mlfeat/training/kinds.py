"""The kinds of model behind one door: settings in, an outcome out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.training.assembly import Outcome
from airflow_provider_mlfeat.training.examples import TrainingData
from airflow_provider_mlfeat.training.gradient_boosting.settings import BoostingSettings
from airflow_provider_mlfeat.training.reporting import TrainingCancellation, TrainingProgress
from airflow_provider_mlfeat.training.settings import TrainSettings

TREES = "xgboost"
Settings = TrainSettings | BoostingSettings

# Settings that decide how the work is done, and nothing about its result.
_WORKING = {"checkpoint_steps", "checkpoint_minutes", "resident"}


def settings_type(model: str) -> type[TrainSettings] | type[BoostingSettings]:
    """The settings that a kind of model takes."""
    return BoostingSettings if model == TREES else TrainSettings


def usual_settings(model: str, profile: str) -> dict[str, Any]:
    """What settings are when nobody gives them, as a JSON document: the published ones for the faithful DeepFM."""
    if model == "deepfm" and profile == "faithful":
        return TrainSettings.faithful().model_dump(mode="json", exclude_unset=True)
    return {}


def deciding_settings(settings: Settings) -> dict[str, Any]:
    """Those settings that decide the result, as a JSON document."""
    document = settings.model_dump(mode="json")
    return {name: value for name, value in document.items() if name not in _WORKING}


def train_model(
    data: TrainingData,
    settings: Settings,
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
    checkpoints: Path,
) -> Outcome:
    """Train a model of any kind.

    :param data: what it learns from and is judged by.
    :param settings: how; their type decides the kind.
    :param progress: told where training stands.
    :param cancellation: asked whether to go on.
    :param checkpoints: where a run leaves its checkpoints and finds those of an earlier try.
    """
    if isinstance(settings, BoostingSettings):
        return _boost(data, settings, progress, cancellation, checkpoints)
    return _train(data, settings, progress, cancellation, checkpoints)


def _train(
    data: TrainingData,
    settings: TrainSettings,
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
    checkpoints: Path,
) -> Outcome:
    from airflow_provider_mlfeat.training.export import export_module
    from airflow_provider_mlfeat.training.trainer import train

    trained = train(data, settings, progress, cancellation, checkpoints)
    layout = data.layout
    facts: Mapping[str, str | int | float | None] = {
        "stopped": trained.stopped,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 3),
        "rows_per_second": round(trained.best.rows_per_second, 1),
        "device": trained.device,
        "resumed_from": trained.resumed_from,
    }
    return Outcome(
        kind=settings.model,
        hyper_parameters=deciding_settings(settings),
        epochs=[record.to_document() for record in trained.epochs],
        best_epoch=trained.best_epoch,
        epoch_name="epoch",
        facts=facts,
        predict=trained.predict,
        export=lambda folder: export_module(trained.model, layout.sizes, len(layout.value_names), folder),
    )


def _boost(
    data: TrainingData,
    settings: BoostingSettings,
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
    checkpoints: Path,
) -> Outcome:
    from airflow_provider_mlfeat.training.gradient_boosting.boosting import boost
    from airflow_provider_mlfeat.training.gradient_boosting.graph import export_trees
    from airflow_provider_mlfeat.training.model_folder import ONNX

    trees = boost(data, settings, progress, cancellation, checkpoints)
    layout = data.layout
    last = trees.epochs[-1]
    return Outcome(
        kind=settings.model,
        hyper_parameters=deciding_settings(settings),
        epochs=trees.epochs,
        best_epoch=trees.best,
        epoch_name="tree",
        facts={
            "stopped": "patience" if len(trees.epochs) < settings.trees else "trees",
            "seconds": round(trees.seconds, 3),
            "rows_per_second": last["rows_per_second"],
            "device": settings.device,
            "resumed_from": trees.resumed_from,
        },
        predict=trees.scores,
        export=lambda folder: export_trees(trees.booster, len(layout.sizes), len(layout.value_names), folder / ONNX),
    )
