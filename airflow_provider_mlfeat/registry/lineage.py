"""What a run tells of a model folder: parameters, metrics of every epoch, pictures, and what it was made of."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.registry.versions import FINGERPRINT

if TYPE_CHECKING:
    from airflow_provider_mlfeat.registry.run_log import RunLog
    from airflow_provider_mlfeat.tables.feature_sets import FeatureSetMetadata
    from airflow_provider_mlfeat.training.model_folder import ModelManifest

log = logging.getLogger("mlfeat.job")
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
    if (origin := origin_of(manifest)) is not None:
        run.text("features.sql", origin.sql)
        run.inputs([_table_input(table, str(version)) for table, version in origin.inputs.items()])
    for path in sorted([folder / "report.html", *(one for pattern in _PICTURES for one in folder.glob(pattern))]):
        if path.exists():
            run.artifact(path, "report")
    run.tags({FINGERPRINT: manifest.fingerprint, "mlfeat.dataset_fingerprint": manifest.dataset_fingerprint})


def _log_epochs(run: RunLog, folder: Path) -> None:
    path = folder / "epochs.jsonl"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else []):
        values: dict[str, Any] = json.loads(line)
        # A prefix keeps them apart from the numbers of the finished model, which come from the epoch that was kept.
        run.metrics(flatten(values, "epoch/"), int(values.get("epoch", number)))


def inputs_of(manifest: ModelManifest) -> list[dict[str, Any]]:
    """The dataset and the feature set behind it, as MLflow's dataset inputs."""
    features = dict(manifest.feature_set)
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
        kind = "local" if features.get("version") is None else "delta_table"
        inputs.append({"name": str(features["name"]), "digest": digest, "source_type": kind, "source": features})
    return inputs


def _table_input(table: str, version: str) -> dict[str, Any]:
    """A table that the features were computed from."""
    source = {"table": table, "version": version}
    return {"name": table, "digest": version, "source_type": "delta_table", "source": source, "context": "features"}


def origin_of(manifest: ModelManifest) -> FeatureSetMetadata | None:
    """The SQL text behind a model, and the versions of the tables that it read; None where they cannot be seen.

    Rows from a file have no SQL, and a feature set in an object store is not looked up again.
    """
    from airflow_provider_mlfeat.tables.feature_sets import read_feature_set
    from airflow_provider_mlfeat.tables.store import TableStore

    features = manifest.feature_set
    place = str(features.get("uri") or "").removeprefix("file://")
    if features.get("version") is None or not place or "://" in place:
        return None
    # Where a table is: root, database, table.
    root = place.rstrip("/").rpartition("/")[0].rpartition("/")[0]
    try:
        return read_feature_set(TableStore(root), str(features.get("reference") or features["name"])).metadata
    except UserError as error:
        log.info("the run does not tell the SQL of feature set '%s': %s", features.get("name"), error)
        return None


def git_commit(folder: Path) -> str:
    """The commit that a folder is checked out at; empty outside of a repository. Nothing is run."""
    for place in (folder, *folder.parents):
        git = place / ".git"
        try:
            if git.is_file():
                # A worktree: the file says where its part of the repository is.
                git = place / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
            head = (git / "HEAD").read_text(encoding="utf-8").strip()
            if not head.startswith("ref:"):
                return head
            return _commit_of(git, head.removeprefix("ref:").strip())
        except OSError:
            continue
    return ""


def _commit_of(git: Path, reference: str) -> str:
    """What a branch points to: in a file of its own, or among the packed ones."""
    shared = git / "commondir"
    common = git / shared.read_text(encoding="utf-8").strip() if shared.exists() else git
    for place in (git, common):
        if (place / reference).is_file():
            return (place / reference).read_text(encoding="utf-8").strip()
    packed = common / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.exists() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {reference}")), "")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested documents as one level of names with dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
