"""Operators on the online store: deploy feature queries, load the history that requests need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.hooks.arguments import optional_number
from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.tables import TableJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class OnlineJobOperator(JobOperator):
    """What operators on the online store share: which store, and how to get there.

    :param online_conn_id: connection of type ``mlfeat_online``; None is the embedded store below the state directory.
        (templated)
    """

    template_fields: Sequence[str] = ("online_conn_id", *JobOperator.template_fields)
    ui_color = "#f7ecd9"

    def __init__(self, *, online_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.online_conn_id = online_conn_id

    def online_place(self) -> dict[str, Any]:
        """Where the store is, as specs say it."""
        if self.online_conn_id is None:
            return {}
        from airflow_provider_mlfeat.hooks.online import OnlineStoreHook

        return OnlineStoreHook(self.online_conn_id).settings.place()

    def secrets(self, context: Context) -> dict[str, str]:
        """The store's password."""
        secrets = super().secrets(context)
        if self.online_conn_id is not None:
            from airflow_provider_mlfeat.hooks.online import OnlineStoreHook
            from airflow_provider_mlfeat.jobs.online.place import PASSWORD_SECRET

            password = OnlineStoreHook(self.online_conn_id).settings.password
            if password:
                secrets[PASSWORD_SECRET] = password
        return secrets


class DeployFeaturesOperator(OnlineJobOperator, TableJobOperator):
    """Deploy a feature query: the online store keeps the history that it needs, and requests are answered with it.

    Each query becomes an immutable version; the same query again is found instead of made again. The version answers
    requests as soon as it is live; with ``switch=False`` it waits until something switches to it. A model that was
    trained on features of another plan is refused.

    XCom, beside what every job returns: ``deployment`` (``name@3``), ``deployment_name``, ``deployment_version``,
    ``plan_id``, ``created``, ``live``, ``tables`` (list), ``lacking`` (list of tables that have to be loaded again),
    ``changed_output``, ``from_rows`` (features of LONG_WINDOWS that have no buckets) and ``store``.

    :param sql: a query or a DEPLOY statement, or a ``.sql`` file with one. (templated)
    :param name: of the deployment; None where the DEPLOY statement says it. (templated)
    :param database: the current database, which is the deployment's. (templated)
    :param options: of DEPLOY: ``range_bias`` and ``rows_bias`` keep more history than the query needs. (templated)
    :param if_not_exists: do nothing when there is a deployment of that name, whatever it does.
    :param replace: whether another query may take the place of the one that is live.
    :param switch: whether the version answers requests from now on.
    :param time_zone: zone of date parts, casts and text in the query, such as ``+08:00``; None is the language's
        default. (templated)
    :param null_join_keys: whether NULL keys of joins ``match`` one another or ``never``. (templated)
    :param plan_id: the plan that the query must have, for instance that of the feature set. (templated)
    :param model: folder of the model that answers with these features. (templated)
    :param model_name: what the registry calls that model. (templated)
    :param model_version: its version in the registry. (templated)
    """

    template_fields: Sequence[str] = (
        *("sql", "name", "database", "options", "time_zone", "null_join_keys", "plan_id", "model", "model_name"),
        *("model_version", "root", "storage_conn_id"),
        *OnlineJobOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: Mapping[str, str] = {
        "sql": "sql",
        "options": "json",
        **JobOperator.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        sql: str,
        name: str | None = None,
        database: str = "",
        options: dict[str, Any] | None = None,
        if_not_exists: bool = False,
        replace: bool = True,
        switch: bool = True,
        time_zone: str | None = None,
        null_join_keys: str = "match",
        plan_id: str | None = None,
        model: str | None = None,
        model_name: str | None = None,
        model_version: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.name = name
        self.database = database
        self.options = options
        self.if_not_exists = if_not_exists
        self.replace = replace
        self.switch = switch
        self.time_zone = time_zone
        self.null_join_keys = null_join_keys
        self.plan_id = plan_id
        self.model = model
        self.model_name = model_name
        self.model_version = model_version

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``deploy_features`` job."""
        return {
            "kind": "deploy_features",
            "root": self.tables_root(),
            "online": self.online_place(),
            "sql": self.sql,
            "name": self.name or "",
            "database": self.database,
            "options": dict(self.options or {}),
            "if_not_exists": self.if_not_exists,
            "replace": self.replace,
            "switch": self.switch,
            "time_zone": self.time_zone or "",
            "null_join_keys": self.null_join_keys,
            "plan_id": self.plan_id or "",
            "model": self.model or "",
            "model_name": self.model_name or "",
            "model_version": "" if self.model_version is None else str(self.model_version),
        }


class LoadOnlineOperator(OnlineJobOperator, TableJobOperator):
    """Load the history that requests need from offline tables, or from files.

    By default the online tables *follow* the offline ones: what was appended since the last load is appended, and a
    table whose older rows changed, or of which a deployment now needs more, is built anew beside the old rows and takes
    their place in one step. Loading again what is there changes nothing, and a load that was cut off goes on.

    XCom, beside what every job returns: ``tables`` (table → version of the offline table), ``rows`` (put by this run),
    ``rows_per_second``, ``replaced`` (list), ``already_loaded`` and ``store``.

    :param deployment: ``name`` or ``name@3``: load all tables that it needs. (templated)
    :param tables: tables to load, or table → version of the offline table, None being the newest; with a deployment,
        versions of some of its tables. (templated)
    :param table: one table, to be loaded from `paths`. (templated)
    :param paths: files, folders and patterns for `table`. (templated)
    :param format: ``csv``, ``parquet``, ``orc`` or ``json``; None goes by the files' names. (templated)
    :param options: further options of LOAD DATA for `paths`. (templated)
    :param mode: ``follow``, ``append`` or ``replace``; None is ``follow`` for tables and ``append`` for files.
        (templated)
    :param load_id: name of an ``append``, which is done once; None is dag, run, task and map index for files.
        (templated)
    :param earliest: promise that no request will be for a time before this, in units of the time columns
        (milliseconds): rows that only such a request could see are left out. None keeps all. (templated)
    :param database: the database of names that have none. (templated)
    """

    template_fields: Sequence[str] = (
        *("deployment", "tables", "table", "paths", "format", "options", "mode", "load_id", "earliest", "database"),
        *("root", "storage_conn_id"),
        *OnlineJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {
        "tables": "json",
        "options": "json",
        **JobOperator.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        deployment: str | None = None,
        tables: Mapping[str, int | str | None] | Sequence[str] | None = None,
        table: str | None = None,
        paths: Sequence[str] | str = (),
        format: str | None = None,  # noqa: A002 - the language's own word
        options: dict[str, Any] | None = None,
        mode: str | None = None,
        load_id: str | None = None,
        earliest: int | str | None = None,
        database: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deployment = deployment
        self.tables = tables
        self.table = table
        self.paths = paths
        self.format = format
        self.options = options
        self.mode = mode
        self.load_id = load_id
        self.earliest = earliest
        self.database = database

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``load_online`` job."""
        versions = self.tables or {}
        if not isinstance(versions, Mapping):
            versions = dict.fromkeys([versions] if isinstance(versions, str) else versions)
        paths = [self.paths] if isinstance(self.paths, str) else list(self.paths)
        return {
            "kind": "load_online",
            "root": self.tables_root(),
            "online": self.online_place(),
            "deployment": self.deployment or "",
            "tables": {name: optional_number(int, version, "version") for name, version in versions.items()},
            "table": self.table or "",
            "paths": paths,
            "format": self.format or "",
            "options": dict(self.options or {}),
            "mode": self.mode or "",
            "load_id": self.load_id or (self.work_id(context) if paths else ""),
            "earliest": optional_number(int, self.earliest, "earliest"),
            "database": self.database,
        }
