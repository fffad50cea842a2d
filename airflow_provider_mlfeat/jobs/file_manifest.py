"""Which files a run saw: names, sizes and contents of a data set, as one file and one number."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec

_BLOCK = 4 << 20


class FileManifestSpec(JobSpec):
    """Spec of `FileManifestJob`.

    :param kind: ``file_manifest``.
    :param paths: files and glob patterns; each must name at least one file.
    :param manifest: where to write the manifest.
    """

    kind: Literal["file_manifest"] = "file_manifest"
    paths: tuple[str, ...] = Field(min_length=1)
    manifest: str = Field(min_length=1)


class FileManifestResult(JobResult):
    """Result of `FileManifestJob`.

    :param kind: ``file_manifest``.
    :param manifest: the manifest's path.
    :param files: how many files.
    :param total_bytes: their size together.
    :param data_version: SHA-256 over names, sizes and contents; equal data has equal versions.
    """

    kind: Literal["file_manifest"] = "file_manifest"
    manifest: str
    files: int
    total_bytes: int
    data_version: str


class FileManifestJob(Job[FileManifestSpec, FileManifestResult]):
    """Hash a set of files and write a manifest that says exactly which data a run saw."""

    kind: ClassVar[str] = "file_manifest"
    spec_type: ClassVar[type[JobSpec]] = FileManifestSpec
    result_type: ClassVar[type[JobResult]] = FileManifestResult

    def inputs(self, spec: FileManifestSpec) -> Sequence[Path]:
        """None: reading the files is the whole work, so hashing them first would save nothing."""
        return ()

    def is_cacheable(self, spec: FileManifestSpec) -> bool:
        """No: whether the files changed is the question that it answers."""
        return False

    def run(self, spec: FileManifestSpec, context: JobContext) -> FileManifestResult:
        """Hash every file once, in name order."""
        found = sorted({path for pattern in spec.paths for path in expand(pattern)})
        sizes = [path.stat().st_size for path in found]
        context.progress.stage("hash", total=sum(sizes), unit="bytes")
        entries = [
            {"path": str(path), "size": size, "sha256": _digest(path, context)}
            for path, size in zip(found, sizes, strict=True)
        ]
        version = files.digest_text(files.canonical_json(entries))
        target = Path(spec.manifest)
        files.write_json(target, {"data_version": version, "files": entries})
        return FileManifestResult(
            manifest=str(target),
            files=len(entries),
            total_bytes=sum(sizes),
            data_version=version,
            artifacts=(Artifact.of("manifest", target),),
        )


def expand(pattern: str) -> list[Path]:
    """The files that a path or glob pattern names; a folder names all files below it."""
    matches = [Path(match).absolute() for match in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - absolute patterns
    found = [child for match in matches for child in (match.rglob("*") if match.is_dir() else [match])]
    found = [path for path in found if path.is_file()]
    if not found:
        raise UserError(f"no file matches '{pattern}'")
    return found


def _digest(path: Path, context: JobContext) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                context.progress.advance(len(block))
    except PermissionError:
        raise UserError(f"{path} cannot be read: permission denied") from None
    return digest.hexdigest()
