"""Run one job, here and now."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.cache import ResultCache
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.fingerprint import fingerprint
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.jobs.registry import job_of
from airflow_provider_mlfeat.jobs.spec import JobContext, JobResult, JobSpec, parse_document

log = logging.getLogger("mlfeat.job")


def parse_spec(document: object) -> JobSpec:
    """The typed spec of a JSON document; raises UserError with one sentence for anything that is wrong with it."""
    if not isinstance(document, dict):
        raise UserError("a job spec is a JSON object with a 'kind'")
    kind = document.get("kind")
    if not isinstance(kind, str):
        raise UserError("job spec: field 'kind' is missing")
    job = job_of(kind)
    spec = parse_document(job.spec_type, document, f"spec of job '{kind}'")
    assert isinstance(spec, JobSpec)
    newest = job.spec_type.model_fields["version"].default
    if spec.version != newest:
        raise UserError(f"spec of job '{kind}': version {spec.version} is not known, this release reads {newest}")
    return spec


def run(
    spec: JobSpec,
    progress: Progress | None = None,
    cancellation: Cancellation | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    cache: ResultCache | None = None,
    scratch_parent: Path | None = None,
) -> JobResult:
    """Run the job that `spec` describes, or return what an earlier run of the same fingerprint made.

    :param spec: what to do.
    :param progress: where to report.
    :param cancellation: stops the job.
    :param secrets: what connections hold, by name.
    :param cache: earlier results; the default is below the state directory.
    :param scratch_parent: where the job's scratch folder goes; the default is the system's temporary folder.
    """
    cancellation = cancellation or Cancellation()
    progress = progress or Progress(cancellation=cancellation)
    cache = cache or ResultCache(files.state_directory() / "results")
    job = job_of(spec.kind)
    began = time.monotonic()
    identity = fingerprint(job, spec, cancellation.check)
    if job.is_cacheable(spec) and (earlier := cache.find(job, identity)) is not None:
        log.info("nothing changed since fingerprint %s: the earlier result stands", identity[:12])
        return earlier
    scratch = Path(tempfile.mkdtemp(prefix="mlfeat-", dir=scratch_parent))
    try:
        context = JobContext(progress, cancellation, scratch, dict(secrets or {}))
        outcome: Any = job.run(spec, context)
        progress.finish()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    assert isinstance(outcome, JobResult)
    result: JobResult = outcome
    missing = [artifact.path for artifact in result.artifacts if not Path(artifact.path).exists()]
    assert not missing, f"job '{spec.kind}' reports artefacts that do not exist: {missing}"
    taken = round(time.monotonic() - began, 3)
    result = result.model_copy(update={"fingerprint": identity, "seconds": taken})
    if job.is_cacheable(spec):
        cache.store(result)
    return result
