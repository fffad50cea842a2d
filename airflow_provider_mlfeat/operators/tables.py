"""Operators on versioned tables: create, load, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from airflow_provider_mlfeat.hooks.arguments import optional_number
from airflow_provider_mlfeat.operators.job import JobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class TableJobOperator(JobOperator):
    """What operators on versioned tables share: where the tables are, and how to get there.

    :param root: folder or object-store prefix (``s3://``, ``gs://``, ``abfs://``) of all databases; the default is
        ``[mlfeat] tables_root``, and where that is empty, ``tables/`` below the state directory. (templated)
    :param storage_conn_id: connection of type ``aws``, ``google_cloud_platform``, ``wasb`` or ``adls`` for tables and
        files in an object store; None is for local folders, or when the machine has its own credentials. (templated)
    """

    template_fields: Sequence[str] = ("root", "storage_conn_id", *JobOperator.template_fields)
    ui_color = "#dceaf7"

    def __init__(self, *, root: str | None = None, storage_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = root
        self.storage_conn_id = storage_conn_id

    def secrets(self, context: Context) -> dict[str, str]:
        """The connection's storage options."""
        from airflow_provider_mlfeat.hooks.storage import storage_secrets

        return storage_secrets(self.storage_conn_id)

    def tables_root(self) -> str:
        """Where the tables are; empty for the job's own default."""
        return self.root or str(conf.get("mlfeat", "tables_root", fallback=""))

    def work_id(self, context: Context) -> str:
        """A name for this piece of work that all its tries share: dag, run, task and map index."""
        origin = self._origin(context)
        return "/".join(origin[name] for name in ("dag_id", "run_id", "task_id", "map_index"))


class CreateTablesOperator(TableJobOperator):
    """Create databases and tables from the feature language's CREATE statements; what exists already stays.

    A table that exists with the same definition is left as it is; one that exists with another definition is an error.

    XCom, beside what every job returns: ``created`` and ``existing`` (lists of table names).

    :param sql: CREATE DATABASE, USE, CREATE TABLE and CREATE INDEX statements, or a ``.sql`` file. (templated)
    :param database: the current database at the beginning; it is created when it does not exist. (templated)
    """

    template_fields: Sequence[str] = ("sql", "database", *TableJobOperator.template_fields)
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: Mapping[str, str] = {"sql": "sql", **JobOperator.template_fields_renderers}

    def __init__(self, *, sql: str, database: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.database = database

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``create_tables`` job."""
        return {"kind": "create_tables", "root": self.tables_root(), "sql": self.sql, "database": self.database}


class LoadTableOperator(TableJobOperator):
    """Load one set of files into one table, as one new version; maps over many with ``expand``.

    Loading again what is loaded already changes nothing: all tries of one task, and its clearing, carry one load id.
    Rows that do not fit are never dropped in silence: by default they fail the task, and the message shows the first;
    with `max_bad_rows` or `max_bad_share` they go to a quarantine file.

    XCom, beside what every job returns: ``table``, ``table_version``, ``rows`` (of the table), ``table_fingerprint``,
    ``rows_read``, ``rows_loaded``, ``rows_rejected``, ``already_loaded`` and ``quarantine`` (path, or empty).

    :param table: ``table`` or ``database.table``; it must exist. (templated)
    :param paths: files, folders and patterns; each must name at least one file. (templated)
    :param format: ``csv``, ``parquet``, ``orc`` or ``json``; None goes by the files' names. (templated)
    :param mode: ``append``, ``overwrite`` or ``error_if_exists``. (templated)
    :param options: further options of LOAD DATA, such as ``delimiter`` or ``null_value``. (templated)
    :param max_bad_rows: how many rows may be put into quarantine; None is 0, or no such limit where `max_bad_share` is
        given. (templated)
    :param max_bad_share: which share of the rows may be put into quarantine, 0 to 1. (templated)
    :param load_id: name of the load in place of dag, run, task and map index. (templated)
    """

    template_fields: Sequence[str] = (
        *("table", "paths", "format", "mode", "options", "max_bad_rows", "max_bad_share", "load_id"),
        *TableJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"options": "json", **JobOperator.template_fields_renderers}

    def __init__(
        self,
        *,
        table: str,
        paths: Sequence[str] | str,
        format: str | None = None,  # noqa: A002 - the language's own word
        mode: str = "append",
        options: dict[str, Any] | None = None,
        max_bad_rows: int | str | None = None,
        max_bad_share: float | str | None = None,
        load_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.paths = paths
        self.format = format
        self.mode = mode
        self.options = options
        self.max_bad_rows = max_bad_rows
        self.max_bad_share = max_bad_share
        self.load_id = load_id

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``load_table`` job."""
        return {
            "kind": "load_table",
            "root": self.tables_root(),
            "table": self.table,
            "paths": [self.paths] if isinstance(self.paths, str) else list(self.paths),
            "format": self.format or "",
            "mode": self.mode,
            "options": dict(self.options or {}),
            "max_bad_rows": optional_number(int, self.max_bad_rows, "max_bad_rows"),
            "max_bad_share": optional_number(float, self.max_bad_share, "max_bad_share"),
            "load_id": self.load_id or self.work_id(context),
        }


class ExportOperator(TableJobOperator):
    """Write a version of a table, or of a feature set, to a folder of files that appears whole or not at all.

    XCom, beside what every job returns: ``table``, ``table_version``, ``rows``, ``table_fingerprint``, ``output`` and
    ``files`` (count).

    :param table: ``table`` or ``database.table``; a feature set is such a table. (templated)
    :param path: the folder. (templated)
    :param table_version: which version; None is the current one. (templated)
    :param format: ``parquet`` or ``csv``. (templated)
    :param mode: ``overwrite``, ``append`` or ``error_if_exists``. (templated)
    :param options: further options of INTO OUTFILE, such as ``coalesce`` or ``delimiter``. (templated)
    """

    template_fields: Sequence[str] = (
        *("table", "path", "table_version", "format", "mode", "options"),
        *TableJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"options": "json", **JobOperator.template_fields_renderers}

    def __init__(
        self,
        *,
        table: str,
        path: str,
        table_version: int | str | None = None,
        format: str = "parquet",  # noqa: A002 - the language's own word
        mode: str = "overwrite",
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.path = path
        self.table_version = table_version
        self.format = format
        self.mode = mode
        self.options = options

    def build_spec(self, context: Context) -> dict[str, Any]:
        """An ``export`` job."""
        return {
            "kind": "export",
            "root": self.tables_root(),
            "table": self.table,
            "output": self.path,
            "table_version": optional_number(int, self.table_version, "table_version"),
            "format": self.format,
            "mode": self.mode,
            "options": dict(self.options or {}),
        }
