"""Results of earlier jobs, by fingerprint.

An entry is only as good as its artefacts: a result whose files are gone or changed is forgotten.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Job, JobResult, parse_document


class ResultCache:
    """A folder with one JSON document per fingerprint.

    :param directory: the folder.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, kind: str, fingerprint: str) -> Path:
        return self._directory / kind / f"{fingerprint}.json"

    def find(self, job: Job[Any, Any], fingerprint: str) -> JobResult | None:
        """The earlier result, marked as cached, if all that it made is still there and intact."""
        path = self._path(job.kind, fingerprint)
        try:
            result = parse_document(job.result_type, json.loads(path.read_text(encoding="utf-8")), str(path))
        except (FileNotFoundError, json.JSONDecodeError, UserError):
            return None
        assert isinstance(result, JobResult)
        if not all(artifact.is_intact() for artifact in result.artifacts):
            path.unlink(missing_ok=True)
            return None
        return result.model_copy(update={"cached": True})

    def store(self, result: JobResult) -> None:
        """Remember `result` under its fingerprint."""
        files.write_json(self._path(result.kind, result.fingerprint), result.model_dump(mode="json"))
