"""Files into one table, as one new version."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobResult, TableJobSpec, join_name, split_name

if TYPE_CHECKING:
    from airflow_provider_mlfeat.tables.load import LoadOptions, LoadReport
    from airflow_provider_mlfeat.tables.store import TableStore

log = logging.getLogger("mlfeat.job")

_FORMATS = {
    **dict.fromkeys((".parquet", ".pq", ".parq"), "parquet"),
    ".orc": "orc",
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
}
_MARK = "#contents-"
# Entries of a table's history that leave its rows alone.
_ROWS_STAY = ("set tblproperties", "vacuum start", "vacuum end", "optimize")


class LoadTableSpec(TableJobSpec):
    """Spec of `LoadTableJob`.

    :param kind: ``load_table``.
    :param table: ``table`` or ``database.table``.
    :param paths: files, folders and patterns; each must name at least one file.
    :param format: ``csv``, ``parquet``, ``orc`` or ``json``; empty goes by the files' names.
    :param mode: ``append``, ``overwrite`` or ``error_if_exists``.
    :param options: further options of LOAD DATA.
    :param max_bad_rows: how many rows may be put into quarantine.
    :param max_bad_share: which share of the rows may be put into quarantine.
    :param load_id: the same id is loaded into the same table once; empty loads again each time.
    """

    kind: Literal["load_table"] = "load_table"
    table: str = Field(min_length=1)
    paths: tuple[str, ...] = Field(min_length=1)
    format: str = ""
    mode: str = "error_if_exists"
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    max_bad_rows: int | None = None
    max_bad_share: float | None = None
    load_id: str = ""


class LoadTableResult(TableJobResult):
    """Result of `LoadTableJob`.

    :param kind: ``load_table``.
    :param rows_read: rows in the files.
    :param rows_loaded: rows that the load put into the table.
    :param rows_rejected: rows that are in the quarantine file.
    :param already_loaded: whether an earlier run had done this load.
    :param quarantine: the quarantine file; empty when there is none.
    """

    kind: Literal["load_table"] = "load_table"
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    already_loaded: bool
    quarantine: str


class LoadTableJob(Job[LoadTableSpec, LoadTableResult]):
    """Load files into one table as one new version; the same load is done once."""

    kind: ClassVar[str] = "load_table"
    spec_type: ClassVar[type[JobSpec]] = LoadTableSpec
    result_type: ClassVar[type[JobResult]] = LoadTableResult

    def is_cacheable(self, spec: LoadTableSpec) -> bool:
        """No: whether the table holds the load is known to the table."""
        return False

    def run(self, spec: LoadTableSpec, context: JobContext) -> LoadTableResult:
        """Load, and read back which version that made."""
        from airflow_provider_mlfeat.tables.load import LoadOptions

        others: dict[str, Any] = {"format": spec.format or format_of(spec.paths), "mode": spec.mode}
        limits = {"max_bad_rows": spec.max_bad_rows, "max_bad_share": spec.max_bad_share}
        others |= {name: value for name, value in limits.items() if value is not None}
        options = LoadOptions.from_statement({name.lower(): value for name, value in spec.options.items()}, **others)
        store = spec.store(context.secrets)
        database, table = split_name(spec.table)
        report = load(store, database, table, spec.paths, options, spec.load_id, context)
        return result_of(store, report)


def load(
    store: TableStore,
    database: str,
    table: str,
    paths: Sequence[str],
    options: LoadOptions,
    load_id: str,
    context: JobContext,
    *,
    by_contents: bool = False,
) -> LoadReport:
    """Load files into a table, once per load id; overwriting with the very same files makes no new version.

    :param store: where the table is.
    :param database: its database.
    :param table: its name.
    :param paths: files, folders and patterns.
    :param options: how to read them.
    :param load_id: the load's name; empty is a name of its own.
    :param context: of the job.
    :param by_contents: whether the same name with other contents is another load.
    """
    from airflow_provider_mlfeat.tables.load import load_files

    identity: str | None = load_id or None
    if options.mode == "overwrite":
        identity = _overwriting_id(store, database, table, paths, options, load_id, context)
    elif by_contents and (contents := _digest(paths, options, context)) is not None:
        identity = load_id + _MARK + contents
    report = load_files(
        store,
        database,
        table,
        list(paths),
        options,
        load_id=identity,
        progress=context.progress,
        cancellation=context.cancellation,
    )
    name = join_name(database, table)
    if report.already_loaded:
        log.info("'%s' holds this load already, since version %d", name, report.version)
    else:
        log.info("'%s' is at version %d: %d rows loaded", name, report.version, report.rows_loaded)
    if report.rows_rejected:
        log.warning("%d of %d rows are in quarantine: %s", report.rows_rejected, report.rows_read, report.quarantine)
    if report.defaulted:
        log.info("not in the files, so DEFAULT: %s", ", ".join(report.defaulted))
    return report


def result_of(store: TableStore, report: LoadReport) -> LoadTableResult:
    """A load's report as the result of a job; the version is read back from the table."""
    from airflow_provider_mlfeat.tables.versions import describe

    version = describe(store, report.database, report.table, report.version)
    quarantine = report.quarantine or ""
    kept = quarantine and "://" not in quarantine and Path(quarantine).exists()
    return LoadTableResult(
        table=join_name(report.database, report.table),
        table_version=version.version,
        rows=version.rows,
        table_fingerprint=version.fingerprint,
        rows_read=report.rows_read,
        rows_loaded=report.rows_loaded,
        rows_rejected=report.rows_rejected,
        already_loaded=report.already_loaded,
        quarantine=quarantine,
        artifacts=(Artifact.of("quarantine", Path(quarantine)),) if kept else (),
    )


def format_of(paths: Sequence[str]) -> str:
    """The format that the files' names tell; csv where they tell nothing."""
    found = set()
    for path in paths:
        name = Path(path.removeprefix("file://"))
        folder = name.is_dir()
        names = [file.name for file in sorted(name.rglob("*")) if file.is_file()] if folder else [name.name]
        names = [text.lower().removesuffix(".gz") for text in names if not text.startswith((".", "_"))]
        found |= {_FORMATS.get(Path(text).suffix, "csv") for text in names}
    if len(found) > 1:
        raise UserError(f"the files are of several formats, {' and '.join(sorted(found))}: load them one by one")
    return found.pop() if found else "csv"


def _overwriting_id(
    store: TableStore,
    database: str,
    table: str,
    paths: Sequence[str],
    options: LoadOptions,
    load_id: str,
    context: JobContext,
) -> str | None:
    """The name of a load that takes the place of all rows.

    It carries what the files hold, so that the same run loads files that changed; and when the rows that the table has
    came from the very same files and options, the load that brought them stands.
    """
    from airflow_provider_mlfeat.tables.versions import history

    contents = _digest(paths, options, context)
    if contents is None:
        return load_id or None
    mark = _MARK + contents
    changes = history(store, database, table)
    for change in changes:
        if change.operation in _ROWS_STAY:
            continue
        earlier = str(change.details.get("load", {}).get("load_id") or "")
        if earlier.endswith(mark):
            return earlier
        break
    # Taking the place of other rows is new work, even if the same was done before those came.
    return f"{load_id or uuid4().hex}@{changes[0].version}{mark}"


def _digest(paths: Sequence[str], options: LoadOptions, context: JobContext) -> str | None:
    """Identity of local files and of how they are read; None where a file is not local or missing."""
    from airflow_provider_mlfeat.jobs.file_manifest import expand

    if any("://" in path.removeprefix("file://") for path in paths):
        return None
    try:
        found = [file for path in paths for file in sorted(expand(path.removeprefix("file://")))]
    except UserError:
        # The load itself says it better.
        return None
    held = []
    for file in found:
        context.cancellation.check()
        held.append([file.name, files.digest_file(file)])
    return files.digest_text(files.canonical_json([held, asdict(options)]))[:16]
