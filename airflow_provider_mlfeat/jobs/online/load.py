"""Rows for requests: offline tables, or files, into the online store."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.online.place import OnlinePlace
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec, join_name, split_name

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.sources import Source
    from airflow_provider_mlfeat.online.store import OnlineStore
    from airflow_provider_mlfeat.online.tables import StoredTable

log = logging.getLogger("mlfeat.job")


class LoadOnlineSpec(TableJobSpec):
    """Spec of `LoadOnlineJob`.

    :param kind: ``load_online``.
    :param deployment: ``name`` or ``name@version``: all tables that it needs are loaded; empty for `tables` alone.
    :param tables: table → version of the offline table, None being the newest; with a deployment these are the
        versions of some of its tables.
    :param table: one table, to be loaded from `paths`.
    :param paths: files, folders and patterns for `table`.
    :param format: ``csv``, ``parquet``, ``orc`` or ``json``; empty goes by the files' names.
    :param options: further options of LOAD DATA for `paths`.
    :param mode: ``follow``, ``append`` or ``replace``; empty is ``follow`` for tables and ``append`` for files.
    :param load_id: name of an ``append``, which is done once; empty is the identity of what is loaded.
    :param earliest: no request will be for a time before this one, in units of the time columns; None promises nothing.
    :param database: the database of names that have none.
    :param online: the online store.
    """

    kind: Literal["load_online"] = "load_online"
    deployment: str = ""
    tables: dict[str, int | None] = Field(default_factory=dict)
    table: str = ""
    paths: tuple[str, ...] = ()
    format: str = ""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    mode: Literal["", "follow", "append", "replace"] = ""
    load_id: str = ""
    earliest: int | None = None
    database: str = ""
    online: OnlinePlace = OnlinePlace()


class LoadOnlineResult(JobResult):
    """Result of `LoadOnlineJob`.

    :param kind: ``load_online``.
    :param tables: table → version of the offline table that it holds now; -1 for files.
    :param rows: rows that this run put.
    :param rows_per_second: how fast.
    :param replaced: tables whose rows were built anew.
    :param already_loaded: whether everything was there before.
    :param store: where the online store is.
    """

    kind: Literal["load_online"] = "load_online"
    tables: dict[str, int]
    rows: int
    rows_per_second: float
    replaced: tuple[str, ...]
    already_loaded: bool
    store: str


class LoadOnlineJob(Job[LoadOnlineSpec, LoadOnlineResult]):
    """Load the online store: every load once, and only what is new since the last one."""

    kind: ClassVar[str] = "load_online"
    spec_type: ClassVar[type[JobSpec]] = LoadOnlineSpec
    result_type: ClassVar[type[JobResult]] = LoadOnlineResult

    def is_cacheable(self, spec: LoadOnlineSpec) -> bool:
        """No: what was loaded is known to the store."""
        return False

    def run(self, spec: LoadOnlineSpec, context: JobContext) -> LoadOnlineResult:
        """Load table by table."""
        from airflow_provider_mlfeat.online.loading import load_table

        versions: dict[str, int] = {}
        replaced, rows, seconds, there = [], 0, 0.0, True
        with spec.online.open(context.secrets) as store:
            for table, source, version in list(self._sources(spec, store, context)):
                done = load_table(
                    store,
                    table,
                    source,
                    context.progress,
                    mode=spec.mode or ("follow" if version >= 0 else "append"),
                    load_id=spec.load_id,
                    earliest=spec.earliest,
                )
                what = f"version {version}" if version >= 0 else "the files"
                if done.already_loaded:
                    log.info("'%s' holds %s already", table.qualified_name, what)
                else:
                    log.info("'%s' holds %s now: %d rows put (%s)", table.qualified_name, what, done.rows, done.mode)
                versions[table.qualified_name] = version
                replaced += [table.qualified_name] if done.mode == "replace" else []
                rows, seconds, there = rows + done.rows, seconds + done.seconds, there and done.already_loaded
        return LoadOnlineResult(
            tables=versions,
            rows=rows,
            rows_per_second=round(rows / seconds, 1) if seconds else 0.0,
            replaced=tuple(replaced),
            already_loaded=there,
            store=str(spec.online.address({})),
        )

    def _sources(
        self, spec: LoadOnlineSpec, store: OnlineStore, context: JobContext
    ) -> Iterator[tuple[StoredTable, Source, int]]:
        """What goes where: the table, its rows, and the version of the offline table or -1."""
        from airflow_provider_mlfeat.online.sources import FilesSource, TableVersionSource
        from airflow_provider_mlfeat.tables.definitions import read_definition
        from airflow_provider_mlfeat.tables.versions import current

        if spec.paths or spec.table:
            if not (spec.paths and spec.table) or spec.tables or spec.deployment:
                raise UserError(
                    "files are loaded into one table: give 'table' and 'paths', and no deployment or tables"
                )
            table = store.table(*split_name(spec.table, spec.database))
            options = self._file_options(spec)
            yield (
                table,
                FilesSource(table.definition, spec.paths, options, spec.all_storage_options(context.secrets)),
                -1,
            )
            return
        offline = spec.store(context.secrets)
        for (database, name), version in self._versions(spec, store).items():
            definition = read_definition(offline, database, name)
            table = store.create_table(definition)
            number = current(offline, database, name).version if version is None else version
            yield table, TableVersionSource(offline, database, name, number), number

    def _versions(self, spec: LoadOnlineSpec, store: OnlineStore) -> dict[tuple[str, str], int | None]:
        """The tables to load, and the version of each."""
        from airflow_provider_mlfeat.online.deployments import find_deployment

        wanted: dict[tuple[str, str], int | None] = {}
        if spec.deployment:
            found = find_deployment(store.documents.read(), spec.deployment, spec.database)
            wanted = dict.fromkeys(found.tables())
        by_lower = {join_name(*name).lower(): name for name in wanted}
        for name, version in spec.tables.items():
            parts = split_name(name, spec.database)
            known = by_lower.get(join_name(*parts).lower())
            if spec.deployment and known is None:
                raise UserError(f"deployment '{spec.deployment}' does not need table '{name}'")
            wanted[known or parts] = version
        if not wanted:
            raise UserError("there is nothing to load: name a deployment, tables, or a table and files")
        return wanted

    def _file_options(self, spec: LoadOnlineSpec) -> Any:
        from airflow_provider_mlfeat.jobs.tables.load import format_of
        from airflow_provider_mlfeat.tables.load import LoadOptions

        form = spec.format or format_of(spec.paths)
        return LoadOptions.from_statement({name.lower(): value for name, value in spec.options.items()}, format=form)
