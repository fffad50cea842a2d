"""A feature query becomes a version of a deployment that answers requests."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.online.place import OnlinePlace
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec, join_name

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.deploying import Deployed
    from airflow_provider_mlfeat.sql.catalog import Catalog
    from airflow_provider_mlfeat.sql.plan import Plan
    from airflow_provider_mlfeat.sql.statements import Deploy

log = logging.getLogger("mlfeat.job")


class DeployFeaturesSpec(TableJobSpec):
    """Spec of `DeployFeaturesJob`.

    :param kind: ``deploy_features``.
    :param sql: a query, or a DEPLOY statement.
    :param name: of the deployment; empty where the DEPLOY statement says it.
    :param database: the current database, which is the deployment's.
    :param online: the online store.
    :param options: of DEPLOY, names in lower case; they add to those of the statement.
    :param if_not_exists: do nothing when there is a deployment of that name, whatever it does.
    :param replace: whether another query may take the place of the one that is live.
    :param switch: whether the new version answers requests from now on.
    :param time_zone: zone of date parts, casts and text; empty is the language's default.
    :param null_join_keys: ``match`` or ``never``.
    :param plan_id: what the query's plan has to be; empty does not check.
    :param model: folder of the model that answers with these features; empty without one.
    :param model_name: what the registry calls that model; empty without one.
    :param model_version: its version in the registry; empty without one.
    """

    kind: Literal["deploy_features"] = "deploy_features"
    sql: str = Field(min_length=1)
    name: str = ""
    database: str = ""
    online: OnlinePlace = OnlinePlace()
    options: dict[str, bool | int | str] = Field(default_factory=dict)
    if_not_exists: bool = False
    replace: bool = False
    switch: bool = True
    time_zone: str = ""
    null_join_keys: Literal["match", "never"] = "match"
    plan_id: str = ""
    model: str = ""
    model_name: str = ""
    model_version: str = ""


class DeployFeaturesResult(JobResult):
    """Result of `DeployFeaturesJob`.

    :param kind: ``deploy_features``.
    :param deployment: ``name@version``.
    :param deployment_name: the name, which requests use.
    :param deployment_version: the version.
    :param plan_id: the plan's identity.
    :param created: whether the version is new.
    :param live: whether it answers requests that name no version.
    :param tables: the tables that it keeps history of.
    :param lacking: those of them that hold less history than it needs and have to be loaded again.
    :param changed_output: whether its answers have other columns than those of the version that was live before.
    :param from_rows: features of long windows that are computed from rows all the same, with the reason.
    :param store: where the online store is.
    """

    kind: Literal["deploy_features"] = "deploy_features"
    deployment: str
    deployment_name: str
    deployment_version: int
    plan_id: str
    created: bool
    live: bool
    tables: tuple[str, ...]
    lacking: tuple[str, ...]
    changed_output: bool
    from_rows: tuple[str, ...] = ()
    store: str


class DeployFeaturesJob(Job[DeployFeaturesSpec, DeployFeaturesResult]):
    """Deploy a feature query: keep the history that it needs, and let it answer requests."""

    kind: ClassVar[str] = "deploy_features"
    spec_type: ClassVar[type[JobSpec]] = DeployFeaturesSpec
    result_type: ClassVar[type[JobResult]] = DeployFeaturesResult

    def is_cacheable(self, spec: DeployFeaturesSpec) -> bool:
        """No: what is deployed is known to the store."""
        return False

    def run(self, spec: DeployFeaturesSpec, context: JobContext) -> DeployFeaturesResult:
        """Plan, deploy, and open what was deployed as a server does."""
        from airflow_provider_mlfeat.online.deploying import deploy
        from airflow_provider_mlfeat.online.features import FeatureService
        from airflow_provider_mlfeat.tables.definitions import load_catalog

        context.progress.stage("deploy", unit="steps")
        catalog = load_catalog(spec.store(context.secrets))
        statement = _with_options(parse_deploy(spec.sql, spec.name), spec.options)
        plan = self._plan(spec, statement, catalog)
        for warning in plan.warnings:
            log.warning("%s", warning)
        model = _model(spec)
        with spec.online.open(context.secrets) as store:
            _create_tables(store, plan, catalog)
            context.progress.advance()
            done = deploy(
                store,
                statement.name,
                statement.query.text,
                plan,
                database=catalog.resolve_database(spec.database),
                options=statement.options,
                model=model,
                if_not_exists=spec.if_not_exists or statement.if_not_exists,
                replace=spec.replace or bool(statement.options.get("replace")),
                switch=spec.switch,
            )
            context.progress.advance()
            FeatureService(store).served(done.deployment.reference)
        _tell(done)
        one = done.deployment
        return DeployFeaturesResult(
            deployment=one.reference,
            deployment_name=one.full_name,
            deployment_version=one.version,
            plan_id=one.plan_id,
            created=done.created,
            live=done.live,
            tables=tuple(join_name(*table) for table in one.tables()),
            lacking=done.lacking,
            changed_output=done.changed_output,
            from_rows=done.from_rows,
            store=str(spec.online.address({})),
        )

    def _plan(self, spec: DeployFeaturesSpec, statement: Deploy, catalog: Catalog) -> Plan:
        from airflow_provider_mlfeat.sql.deployments import long_windows
        from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE, plan_query

        plan = plan_query(
            statement.query,
            catalog,
            mode="request",
            database=spec.database,
            time_zone=spec.time_zone or DEFAULT_TIME_ZONE,
            null_join_keys=spec.null_join_keys,
            long_windows=long_windows(statement),
        )
        if spec.plan_id and spec.plan_id != plan.plan_id:
            message = f"this query has plan {plan.plan_id[:12]}, not {spec.plan_id[:12]}"
            raise UserError(f"{message}: deploy the query, database and time zone that the feature set was made with")
        return plan


def parse_deploy(sql: str, name: str) -> Deploy:
    """The DEPLOY statement of a text that is one, or a query to deploy under a name."""
    from airflow_provider_mlfeat.sql import statements as s
    from airflow_provider_mlfeat.sql.syntax import parse_script

    found = list(parse_script(sql))
    if len(found) != 1 or not isinstance(found[0], s.Deploy | s.Select):
        raise UserError("the SQL of a deployment is one query, or one DEPLOY statement")
    statement = found[0]
    if isinstance(statement, s.Select):
        if not name:
            raise UserError("the deployment has no name: give it one, or write DEPLOY name SELECT …")
        return s.Deploy(name=name, query=statement.query, options={}, text=statement.text)
    if name and name.lower() != statement.name.lower():
        raise UserError(f"the statement deploys '{statement.name}', but the name is '{name}'")
    return statement


def _with_options(statement: Deploy, given: dict[str, bool | int | str]) -> Deploy:
    """The statement with options from elsewhere; all are checked, and windows that they name must be there."""
    from airflow_provider_mlfeat.sql.deployments import long_windows
    from airflow_provider_mlfeat.sql.options import DEPLOY_OPTIONS, check_option

    options = (check_option(DEPLOY_OPTIONS, name, value, "option of DEPLOY", None) for name, value in given.items())
    statement = replace(statement, options={**statement.options, **dict(options)})
    long_windows(statement)
    return statement


def _create_tables(store: Any, plan: Plan, catalog: Catalog) -> None:
    """The tables that the plan reads, as the offline tables are defined."""
    from airflow_provider_mlfeat.engine.requirements import table_schemas

    for database, table in table_schemas(plan.root):
        store.create_table(catalog.get_table(database, table))


def _model(spec: DeployFeaturesSpec) -> dict[str, Any]:
    """What the deployment notes of its model."""
    if not spec.model:
        if spec.model_name or spec.model_version:
            raise UserError("a model's name and version need its folder too: give 'model'")
        return {}
    path = Path(spec.model.removeprefix("file://")) / "model.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"'{spec.model}' is no model folder: {error}") from None
    noted = {name: manifest.get(name) for name in ("plan_id", "fingerprint", "encoder_fingerprint")}
    return {"name": spec.model_name or path.parent.name, "version": spec.model_version, "folder": spec.model, **noted}


def _tell(done: Deployed) -> None:
    one = done.deployment
    if not done.created:
        log.info("'%s' is deployed already%s", one.reference, " and live" if done.live else "")
        return
    log.info("'%s' is deployed%s, plan %s", one.reference, " and live" if done.live else "", one.plan_id[:12])
    if done.changed_output:
        log.warning("'%s' answers with other columns than the version that was live before", one.reference)
    for feature in done.from_rows:
        log.warning("LONG_WINDOWS does not speed up %s; it is computed from rows", feature)
    if done.lacking:
        log.warning("less history than '%s' needs: load %s again", one.reference, ", ".join(done.lacking))
