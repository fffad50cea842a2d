"""What a run tells of a model folder: parameters, metrics of every epoch, pictures, and what it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.registry.versions import FINGERPRINT

if TYPE_CHECKING:
    from airflow_provider_mlfeat.registry.run_log import RunLog
    from airflow_provider_mlfeat.training.model_folder import ModelManifest

GIT_COMMIT = "mlflow.source.git.commit"
_PICTURES = ("*.png", "*.svg")


def describe_model(run: RunLog, folder: Path, manifest: ModelManifest, *, epochs: bool = True) -> None:
    """Log all that a finished model folder says.

    :param run: the run that trained it.
    :param folder: the model folder.
    :param manifest: its manifest.
    :param epochs: whether to log the metrics of the epochs too; a run that did so while it trained does not.
    """
    run.parameters({"kind": manifest.kind, **flatten(manifest.hyper_parameters)})
    run.parameters({"plan_id": manifest.plan_id or "", "encoder_fingerprint": manifest.encoder_fingerprint})
    for split, metrics in manifest.metrics.items():
        run.metrics({f"{split}_{name}": value for name, value in metrics.items() if value is not None})
    for split, counts in manifest.rows.items():
        run.metrics({f"{split}_{name}": count for name, count in counts.items()})
    if epochs:
        _log_epochs(run, folder)
    run.inputs(inputs_of(manifest))
    if sql := manifest.feature_set.get("sql"):
        run.text("features.sql", str(sql))
    for path in sorted([folder / "report.html", *(one for pattern in _PICTURES for one in folder.glob(pattern))]):
        if path.exists():
            run.artifact(path, "report")
    run.tags({FINGERPRINT: manifest.fingerprint, "mlfeat.dataset_fingerprint": manifest.dataset_fingerprint})


def _log_epochs(run: RunLog, folder: Path) -> None:
    path = folder / "epochs.jsonl"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else []):
        values: dict[str, Any] = json.loads(line)
        run.metrics(flatten(values), int(values.get("epoch", number)))


def inputs_of(manifest: ModelManifest) -> list[dict[str, Any]]:
    """The dataset and the feature set behind it, as MLflow's dataset inputs."""
    features = dict(manifest.feature_set)
    source = {name: value for name, value in features.items() if name != "sql"}
    inputs = [
        {
            "name": f"{features.get('name') or 'features'}-encoded",
            "digest": manifest.dataset_fingerprint,
            "source_type": "mlfeat_dataset",
            "source": {"fingerprint": manifest.dataset_fingerprint, "encoder": manifest.encoder_fingerprint},
            "profile": {split: dict(counts) for split, counts in manifest.rows.items()},
        }
    ]
    if features.get("name"):
        digest = str(features.get("fingerprint") or f"version {features.get('version')}")
        named = {"name": str(features["name"]), "digest": digest, "source_type": "delta_table", "source": source}
        inputs.append(named)
    return inputs


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested documents as one level of names with dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
