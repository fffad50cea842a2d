from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.file_manifest import FileManifestResult, FileManifestSpec
from airflow_provider_mlfeat.jobs.run import run


def manifest(tmp_path: Path, *paths: str) -> FileManifestResult:
    result = run(FileManifestSpec(paths=paths, manifest=str(tmp_path / "manifest.json")))
    assert isinstance(result, FileManifestResult)
    return result


def test_the_manifest_says_which_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "b.csv").write_text("bb")
    (data / "deep" / "a.csv").write_text("a")
    result = manifest(tmp_path, str(data), str(data / "*.csv"))
    document = json.loads((tmp_path / "manifest.json").read_text())
    assert [(Path(entry["path"]).name, entry["size"]) for entry in document["files"]] == [("b.csv", 2), ("a.csv", 1)]
    assert document["files"][1]["sha256"] == hashlib.sha256(b"a").hexdigest()
    assert (result.files, result.total_bytes, result.data_version) == (2, 3, document["data_version"])


def test_other_contents_are_another_version(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("1")
    first, again = manifest(tmp_path, str(file)), manifest(tmp_path, str(file))
    file.write_text("2")
    assert first.data_version == again.data_version != manifest(tmp_path, str(file)).data_version


def test_a_pattern_without_files_fails_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file matches '.*\*\.parquet'"):
        manifest(tmp_path, str(tmp_path / "*.parquet"))
    assert not (tmp_path / "manifest.json").exists()
