"""Declared checks of what is in a table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobResult, TableJobSpec, join_name, split_name

if TYPE_CHECKING:
    from airflow_provider_mlfeat.tables.statistics import ColumnStatistics
    from airflow_provider_mlfeat.tables.store import TableStore

log = logging.getLogger("mlfeat.job")


class CheckDataSpec(TableJobSpec):
    """Spec of `CheckDataJob`.

    :param kind: ``check_data``.
    :param table: ``table`` or ``database.table``.
    :param checks: the checks, one document each.
    :param table_version: which version; None is the current one.
    :param baseline_version: version that drift is measured against; None is the one before.
    :param blocking: whether a check that does not say so itself fails the job.
    """

    kind: Literal["check_data"] = "check_data"
    table: str = Field(min_length=1)
    checks: tuple[dict[str, Any], ...] = Field(min_length=1)
    table_version: int | None = None
    baseline_version: int | None = None
    blocking: bool = True


class CheckDataResult(TableJobResult):
    """Result of `CheckDataJob`.

    :param kind: ``check_data``.
    :param passed: how many checks hold.
    :param failed: how many do not and fail the job; 0 in a result that came about.
    :param warned: how many do not and are warnings.
    :param skipped: how many checks of drift had nothing before them to compare with.
    :param results: name, severity, state, what was found and what was expected, per check.
    """

    kind: Literal["check_data"] = "check_data"
    passed: int
    failed: int
    warned: int
    skipped: int
    results: tuple[dict[str, Any], ...]


class CheckDataJob(Job[CheckDataSpec, CheckDataResult]):
    """Check a version of a table: rows, nulls, range, values, uniqueness, freshness, drift."""

    kind: ClassVar[str] = "check_data"
    spec_type: ClassVar[type[JobSpec]] = CheckDataSpec
    result_type: ClassVar[type[JobResult]] = CheckDataResult

    def is_cacheable(self, spec: CheckDataSpec) -> bool:
        """No: the table's current version is not part of the spec, and freshness is a matter of the hour."""
        return False

    def run(self, spec: CheckDataSpec, context: JobContext) -> CheckDataResult:
        """Look at all rows once, show the results, and fail when a blocking check does not hold."""
        from airflow_provider_mlfeat.tables.checks import WARNING, parse_checks, run_checks
        from airflow_provider_mlfeat.tables.versions import describe, read

        usual = {} if spec.blocking else {"severity": WARNING}
        checks = parse_checks([{**usual, **check} for check in spec.checks])
        store = spec.store(context.secrets)
        database, table = split_name(spec.table)
        version = describe(store, database, table, spec.table_version)
        dataset = read(store, database, table, version.version)
        baseline: tuple[ColumnStatistics, ...] = ()
        drifts = [check for check in checks if check.kind == "drift"]
        if drifts:
            baseline = _baseline(spec, store, version.version, context)
        if drifts and not any(column.rows for column in baseline) and spec.baseline_version is None:
            log.warning("no rows before version %d: drift is not checked yet", version.version)
            checks = tuple(check for check in checks if check.kind != "drift")
        else:
            drifts = []
        context.progress.stage("check", total=version.rows)
        report = run_checks(
            dataset.to_batches(batch_readahead=2, fragment_readahead=1),
            dataset.schema,
            checks,
            baseline,
            committed_at=version.committed_at,
            progress=context.progress,
        )
        log.info("checks of '%s' at version %d\n%s", spec.table, version.version, report.to_text())
        for warning in report.warnings:
            log.warning("%s: %s, expected %s", warning.name, warning.found, warning.expected)
        report.raise_failures()
        return CheckDataResult(
            table=join_name(database, table),
            table_version=version.version,
            rows=version.rows,
            table_fingerprint=version.fingerprint,
            passed=sum(result.passed for result in report.results),
            failed=0,
            warned=len(report.warnings),
            skipped=len(drifts),
            results=tuple(report.to_document()["results"]),
        )


def _baseline(
    spec: CheckDataSpec, store: TableStore, version: int, context: JobContext
) -> tuple[ColumnStatistics, ...]:
    """Statistics of the version that drift is measured against: kept with a feature set, else computed."""
    from airflow_provider_mlfeat.tables.feature_sets import feature_set_versions
    from airflow_provider_mlfeat.tables.statistics import collect_statistics
    from airflow_provider_mlfeat.tables.versions import read

    wanted = version - 1 if spec.baseline_version is None else spec.baseline_version
    if wanted < 0:
        return ()
    try:
        kept = {made.version: made.statistics for made in feature_set_versions(store, spec.table)}
    except UserError:
        # An ordinary table keeps no statistics.
        kept = {}
    if wanted in kept:
        return kept[wanted]
    dataset = read(store, *split_name(spec.table), wanted)
    context.progress.stage("baseline")
    return collect_statistics(_counted(dataset.to_batches(batch_readahead=2), context), dataset.schema)


def _counted(batches: Iterable[Any], context: JobContext) -> Iterator[Any]:
    for batch in batches:
        yield batch
        context.progress.advance(batch.num_rows)
