"""Feature sets from SQL, and whole SQL scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.links.report import ReportLink, push_report
from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.spark import spark_master, spark_secrets
from airflow_provider_mlfeat.operators.tables import TableJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ExtractFeaturesOperator(TableJobOperator):
    """Run a feature query over tables and keep its rows as a new version of a feature set.

    The version's metadata hold the SQL text, the plan's id, the versions of all tables that were read, the engine and
    statistics of every column. The same query over the same versions finds the version that is there already.

    XCom, beside what every job returns: ``feature_set``, ``table``, ``table_version``, ``rows``,
    ``table_fingerprint``, ``columns`` (count), ``plan_id``, ``engine``, ``engine_reason``, ``inputs`` (table →
    version), and ``already_extracted``.

    :param sql: the query, or a ``.sql`` file with one. (templated)
    :param feature_set: name of the feature set, ``name`` or ``database.name``. (templated)
    :param tables: what tables of the query are bound to, by name: a parquet or csv path, ``delta:PATH@VERSION``, or
        ``table:NAME@VERSION``; tables that are not named here are those of the store at their current version.
        (templated)
    :param database: the current database. (templated)
    :param engine: ``batch`` runs in the job's process, ``spark`` on Spark, ``auto`` chooses by the size of what is
        read and says why. (templated)
    :param dialect: ``feature`` is the feature language; ``spark`` runs the text as plain Spark SQL. (templated)
    :param spark_conn_id: connection of type ``mlfeat_spark``; None is Spark in the job's process. (templated)
    :param time_zone: zone of date parts, casts and text in the query, such as ``+08:00``; None is the language's
        default. (templated)
    :param functions: modules that register functions of your own. (templated)
    """

    template_fields: Sequence[str] = (
        *("sql", "feature_set", "tables", "database", "engine", "dialect", "spark_conn_id", "time_zone", "functions"),
        *TableJobOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: Mapping[str, str] = {
        "sql": "sql",
        "tables": "json",
        **JobOperator.template_fields_renderers,
    }
    operator_extra_links = (*JobOperator.operator_extra_links, ReportLink())

    def __init__(
        self,
        *,
        sql: str,
        feature_set: str,
        tables: dict[str, str] | None = None,
        database: str = "",
        engine: str = "auto",
        dialect: str = "feature",
        spark_conn_id: str | None = None,
        time_zone: str | None = None,
        functions: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.feature_set = feature_set
        self.tables = tables
        self.database = database
        self.engine = engine
        self.dialect = dialect
        self.spark_conn_id = spark_conn_id
        self.time_zone = time_zone
        self.functions = functions
        self.report_url: str | None = None

    def build_spec(self, context: Context) -> dict[str, Any]:
        """An ``extract_features`` job."""
        return {
            "kind": "extract_features",
            "root": self.tables_root(),
            "sql": self.sql,
            "feature_set": self.feature_set,
            "tables": dict(self.tables or {}),
            "database": self.database,
            "engine": self.engine,
            "dialect": self.dialect,
            "time_zone": self.time_zone or "",
            "functions": list(self.functions),
            "master": spark_master(self.spark_conn_id),
        }

    def secrets(self, context: Context) -> dict[str, str]:
        """Storage options, and the configuration of Spark, which may hold tokens."""
        return {**super().secrets(context), **spark_secrets(self.spark_conn_id)}

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """The page of the report is there as soon as the job has ended."""
        self.report_url = push_report(result, context)
        return super()._finish(result, context)


class RunScriptOperator(TableJobOperator):
    """Run a whole script of the feature language on the tables, statement by statement.

    The script may create databases and tables, load files, insert rows, show what there is, and write the answers of
    queries with INTO OUTFILE. Running it again doubles nothing: what exists with the same definition stays, and a
    LOAD that this run has done is not done again.

    XCom, beside what every job returns: ``statements`` (count), ``tables`` (name → version), ``outputs`` (folder →
    rows) and ``rows`` (of the last query).

    :param sql: the script, or a ``.sql`` file. (templated)
    :param database: the current database at the beginning. (templated)
    :param path_map: what beginnings of paths in the script stand for here; the longest that fits holds. (templated)
    :param engine: ``batch``, ``spark`` or ``auto``, for the script's queries. (templated)
    :param functions: modules that register functions of your own. (templated)
    :param load_id: name of this run of the script in place of dag, run, task and map index. (templated)
    """

    template_fields: Sequence[str] = (
        *("sql", "database", "path_map", "engine", "functions", "load_id"),
        *TableJobOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: Mapping[str, str] = {
        "sql": "sql",
        "path_map": "json",
        **JobOperator.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        sql: str,
        database: str = "",
        path_map: dict[str, str] | None = None,
        engine: str = "auto",
        functions: Sequence[str] = (),
        load_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.database = database
        self.path_map = path_map
        self.engine = engine
        self.functions = functions
        self.load_id = load_id

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``run_script`` job."""
        return {
            "kind": "run_script",
            "root": self.tables_root(),
            "sql": self.sql,
            "database": self.database,
            "path_map": dict(self.path_map or {}),
            "engine": self.engine,
            "functions": list(self.functions),
            "load_id": self.load_id or self.work_id(context),
        }
