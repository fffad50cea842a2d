"""A version of a table as a folder of files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobResult, TableJobSpec, join_name, split_name

log = logging.getLogger("mlfeat.job")


class ExportSpec(TableJobSpec):
    """Spec of `ExportJob`.

    :param kind: ``export``.
    :param table: ``table`` or ``database.table``.
    :param output: the folder.
    :param table_version: which version; None is the current one.
    :param format: ``parquet`` or ``csv``.
    :param mode: ``error_if_exists``, ``overwrite`` or ``append``.
    :param options: further options of INTO OUTFILE.
    """

    kind: Literal["export"] = "export"
    table: str = Field(min_length=1)
    output: str = Field(min_length=1)
    table_version: int | None = None
    format: str = "parquet"
    mode: str = "error_if_exists"
    options: dict[str, bool | int | str] = Field(default_factory=dict)


class ExportResult(TableJobResult):
    """Result of `ExportJob`.

    :param kind: ``export``.
    :param output: the folder.
    :param files: how many files hold the rows.
    """

    kind: Literal["export"] = "export"
    output: str
    files: int


class ExportJob(Job[ExportSpec, ExportResult]):
    """Write a version of a table to a folder of parquet or csv files, as a whole or not at all."""

    kind: ClassVar[str] = "export"
    spec_type: ClassVar[type[JobSpec]] = ExportSpec
    result_type: ClassVar[type[JobResult]] = ExportResult

    def is_cacheable(self, spec: ExportSpec) -> bool:
        """No: the table's current version is not part of the spec."""
        return False

    def run(self, spec: ExportSpec, context: JobContext) -> ExportResult:
        """Read one version, and write it."""
        from airflow_provider_mlfeat.tables.export import OutfileOptions, write_outfile
        from airflow_provider_mlfeat.tables.versions import describe, read

        store = spec.store(context.secrets)
        database, table = split_name(spec.table)
        options = OutfileOptions.of({**spec.options, "format": spec.format, "mode": spec.mode})
        version = describe(store, database, table, spec.table_version)
        dataset = read(store, database, table, version.version)
        context.progress.stage("export", total=version.rows)
        report = write_outfile(
            _batches(dataset), dataset.schema, spec.output, options, progress=context.progress, rows=version.rows
        )
        log.info("'%s' at version %d: %d rows in '%s'", spec.table, version.version, report.rows, report.path)
        return ExportResult(
            table=join_name(database, table),
            table_version=version.version,
            rows=version.rows,
            table_fingerprint=version.fingerprint,
            output=report.path,
            files=len(report.files),
            artifacts=(Artifact.of("export", Path(report.path)),),
        )


def _batches(dataset: Any) -> Iterator[Any]:
    """The rows in order, a few batches ahead and no more."""
    yield from dataset.to_batches(batch_readahead=2, fragment_readahead=1)
