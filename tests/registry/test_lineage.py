"""What a run tells of where a model comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_mlfeat.registry.lineage import flatten, git_commit, inputs_of, origin_of
from airflow_provider_mlfeat.tables.feature_sets import FeatureSetMetadata, write_feature_set
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.training.model_folder import ModelManifest, read_manifest
from tests.registry.folders import make_model


@pytest.fixture
def manifest(tmp_path: Path) -> ModelManifest:
    return read_manifest(make_model(tmp_path / "model"))


def with_features(manifest: ModelManifest, **features: Any) -> ModelManifest:
    from dataclasses import replace

    return replace(manifest, feature_set=features)


@pytest.mark.parametrize("name", ["features.clicks", "clicks"])
def test_the_sql_and_the_tables_that_it_read(tmp_path: Path, manifest: ModelManifest, name: str) -> None:
    batch = pa.record_batch({"x": [1]})
    metadata = FeatureSetMetadata("SELECT x FROM click", "plan", {"click": "7"}, "batch")
    made = write_feature_set(TableStore(str(tmp_path / "tables")), name, [batch], batch.schema, metadata)
    found = origin_of(with_features(manifest, name=made.name, reference=made.reference, version=1, uri=made.uri))
    assert found is not None
    assert (found.sql, dict(found.inputs)) == ("SELECT x FROM click", {"click": "7"})


@pytest.mark.parametrize(
    "features",
    [
        {"name": "rows", "version": None, "uri": "/data/rows.parquet"},
        {"name": "clicks", "version": 1, "uri": "s3://bucket/tables/default/clicks"},
        {"name": "clicks", "version": 1, "uri": "/nowhere/default/clicks", "reference": "clicks@1"},
        {},
    ],
)
def test_where_the_sql_cannot_be_seen_the_run_goes_without(manifest: ModelManifest, features: dict[str, Any]) -> None:
    changed = with_features(manifest, **features)
    assert origin_of(changed) is None
    assert inputs_of(changed)[0]["digest"] == manifest.dataset_fingerprint


def test_flat_names() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}


def git(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "dags").mkdir(parents=True)
    assert git_commit(repository / "dags") == "", "no repository"
    git(repository, "init", "-q", "-b", "main")
    assert git_commit(repository / "dags") == "", "no commit yet"
    git(repository, "commit", "-q", "--allow-empty", "-m", "one")
    head = git(repository, "rev-parse", "HEAD")
    assert git_commit(repository / "dags") == head
    git(repository, "pack-refs", "--all")
    assert git_commit(repository) == head
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    assert git_commit(tmp_path / "tree") == head
    git(repository, "checkout", "-q", "--detach")
    assert git_commit(repository) == head
