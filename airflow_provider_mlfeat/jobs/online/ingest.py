"""Rows from a Redis Stream into the online store, for as long as they come."""

from __future__ import annotations

import logging
import time
from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.online.place import OnlinePlace
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec

log = logging.getLogger("mlfeat.job")

_REPORT_SECONDS = 1.0


class IngestStreamSpec(JobSpec):
    """Spec of `IngestStreamJob`.

    :param kind: ``ingest_stream``.
    :param stream: key of the stream.
    :param table: table of entries that name none, ``table`` or ``database.table``; empty where all do.
    :param group: the group of consumers.
    :param consumer: this consumer's name in the group, which it keeps when it comes back.
    :param idle_seconds: end when nothing came for so long; None goes on until the job is cancelled.
    :param online: the online store.
    :param source: the Redis that has the stream; None is that of the online store.
    """

    kind: Literal["ingest_stream"] = "ingest_stream"
    stream: str = Field(min_length=1)
    table: str = ""
    group: str = "mlfeat"
    consumer: str = "1"
    idle_seconds: float | None = Field(default=None, gt=0)
    online: OnlinePlace = OnlinePlace()
    source: OnlinePlace | None = None


class IngestStreamResult(JobResult):
    """Result of `IngestStreamJob`.

    :param kind: ``ingest_stream``.
    :param entries: entries that were read.
    :param rows: rows that were put.
    :param repeated: entries whose event was in the store already.
    :param rejected: entries that are no rows; they are in the stream ``NAME:rejected``.
    """

    kind: Literal["ingest_stream"] = "ingest_stream"
    entries: int
    rows: int
    repeated: int
    rejected: int


class IngestStreamJob(Job[IngestStreamSpec, IngestStreamResult]):
    """Put the entries of a Redis Stream into the online store, each event once."""

    kind: ClassVar[str] = "ingest_stream"
    spec_type: ClassVar[type[JobSpec]] = IngestStreamSpec
    result_type: ClassVar[type[JobResult]] = IngestStreamResult

    def is_cacheable(self, spec: IngestStreamSpec) -> bool:
        """No: the stream goes on."""
        return False

    def run(self, spec: IngestStreamSpec, context: JobContext) -> IngestStreamResult:
        """Read until cancelled or idle; progress counts entries."""
        from airflow_provider_mlfeat.online.streaming import StreamIngest

        source = (spec.source or spec.online).address(context.secrets)
        if not source.host:
            raise UserError("a stream is in a Redis: give its host")
        context.progress.stage("ingest", unit="entries")
        with spec.online.open(context.secrets) as store:
            ingest = StreamIngest(store, source, spec.stream, spec.table, spec.group, spec.consumer)
            told, due = 0, time.monotonic()

            def stop() -> bool:
                nonlocal told, due
                if time.monotonic() >= due:
                    due = time.monotonic() + _REPORT_SECONDS
                    context.progress.metric(rows=ingest.done.rows, rejected=ingest.done.rejected)
                    context.progress.advance(ingest.done.entries - told)
                    told = ingest.done.entries
                return context.cancellation.requested

            try:
                done = ingest.run(stop, spec.idle_seconds)
            finally:
                ingest.close()
        log.info("%d entries: %d rows, %d repeated, %d rejected", done.entries, done.rows, done.repeated, done.rejected)
        context.cancellation.check()
        return IngestStreamResult(entries=done.entries, rows=done.rows, repeated=done.repeated, rejected=done.rejected)
