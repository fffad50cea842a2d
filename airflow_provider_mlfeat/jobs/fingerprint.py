"""The identity of a piece of work: what was asked, of which data, by which code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import airflow_provider_mlfeat
from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Job, JobSpec

_PACKAGE = Path(airflow_provider_mlfeat.__file__).parent


@cache
def code_version() -> str:
    """The package's version and a digest of its sources: an edit in place is another version."""
    sources = sorted(_PACKAGE.rglob("*.py"))
    digest = files.digest_text("\n".join(f"{path.relative_to(_PACKAGE)} {files.digest_file(path)}" for path in sources))
    return f"{airflow_provider_mlfeat.__version__}+{digest[:16]}"


def fingerprint(job: Job[Any, Any], spec: JobSpec, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 over spec, contents of inputs, and code version.

    :param job: the spec's job.
    :param spec: what is asked.
    :param check: called between files, to stop when cancelled.
    """
    document = {
        "spec": spec.model_dump(mode="json"),
        "inputs": [_identity(path, check) for path in _sorted_inputs(job, spec)],
        "code": code_version(),
        "job": _code_of(job),
    }
    return files.digest_text(files.canonical_json(document))


def _sorted_inputs(job: Job[Any, Any], spec: JobSpec) -> Sequence[Path]:
    return sorted({Path(path).absolute() for path in job.inputs(spec)})


def _identity(path: Path, check: Callable[[], None]) -> list[str]:
    check()
    if not path.exists():
        raise UserError(f"input {path} does not exist")
    return [str(path), files.digest_path(path)]


def _code_of(job: Job[Any, Any]) -> str:
    """Digest of the source of a job that another distribution brings; ours is in the code version."""
    source = Path(inspect.getfile(type(job)))
    return "" if source.is_relative_to(_PACKAGE) else files.digest_file(source)
