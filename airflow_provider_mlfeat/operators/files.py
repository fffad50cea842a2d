"""Operators on plain files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.operators.job import JobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class FileManifestOperator(JobOperator):
    """Write down which files a run saw: names, sizes and contents, and one version number over all of them.

    XCom, beside what every job returns: ``manifest`` (path), ``files`` (count), ``total_bytes``, ``data_version``.

    :param paths: files, folders and glob patterns; each must name at least one file. (templated)
    :param manifest: where to write the manifest. (templated)
    """

    template_fields: Sequence[str] = ("paths", "manifest", *JobOperator.template_fields)

    def __init__(self, *, paths: Sequence[str] | str, manifest: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.paths = paths
        self.manifest = manifest

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``file_manifest`` job."""
        return {
            "kind": "file_manifest",
            "paths": [self.paths] if isinstance(self.paths, str) else list(self.paths),
            "manifest": self.manifest,
        }
