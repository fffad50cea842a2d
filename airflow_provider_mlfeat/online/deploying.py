"""DEPLOY and what belongs to it: plan a query, keep the history that it needs, make it a version, switch to it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online import deployments as d
from airflow_provider_mlfeat.online.deployments import Deployment
from airflow_provider_mlfeat.online.documents import Draft
from airflow_provider_mlfeat.online.needs import needs_of

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.store import OnlineStore
    from airflow_provider_mlfeat.sql.plan import Plan

# What the statement says about itself, not about the deployment.
_STATEMENT_OPTIONS = ("replace", "sync", "skip_index_check")


@dataclass(frozen=True)
class Deployed:
    """What a deployment came to.

    :param deployment: the version.
    :param created: whether it is new; False where the same query was deployed already.
    :param live: whether it answers requests that name no version.
    :param lacking: tables, as ``database.table``, that hold less history than it needs: they have to be loaded again.
    :param changed_output: whether its answers have other columns than those of the version that was live before.
    :param from_rows: features of long windows that are computed from their rows all the same, with the reason.
    """

    deployment: Deployment
    created: bool
    live: bool
    lacking: tuple[str, ...]
    changed_output: bool
    from_rows: tuple[str, ...] = ()


def deploy(
    store: OnlineStore,
    name: str,
    sql: str,
    plan: Plan,
    *,
    database: str = "",
    options: d.Options | None = None,
    model: Mapping[str, Any] | None = None,
    if_not_exists: bool = False,
    replace: bool = False,
    switch: bool = True,
) -> Deployed:
    """Make a query a version of a deployment; the alias moves last.

    The same query with the same options and model is found instead of made again.

    :param store: where; the tables of the plan must be there.
    :param name: of the deployment.
    :param sql: the query as written.
    :param plan: its plan.
    :param database: of the deployment.
    :param options: RANGE_BIAS, ROWS_BIAS, LONG_WINDOWS.
    :param model: the model that answers with these features; its ``plan_id`` must be the plan's.
    :param if_not_exists: do nothing when there is a deployment of that name, whatever it does.
    :param replace: whether another query may take the place of the one that is live.
    :param switch: whether the new version becomes the live one.
    """
    from airflow_provider_mlfeat.engine.request_long import long_frames

    d.check_name(name)
    options = {key: value for key, value in (options or {}).items() if key not in _STATEMENT_OPTIONS}
    model = dict(model or {})
    _check_model(model, plan)
    _check_plan(store, plan)
    draft = store.documents.read()
    existing = d.versions_of(draft, database, name)
    if existing and if_not_exists:
        live = d.live_version(draft, database, name)
        return _found(draft, next((one for one in existing if one.version == live), existing[-1]))
    same = [one for one in existing if (one.plan_id, one.options, one.model) == (plan.plan_id, options, model)]
    if same:
        if switch and d.live_version(draft, database, name) != same[-1].version:
            _check_replace(existing, replace)
            store.documents.change(lambda editing: d.switch_live(editing, same[-1]))
        return _found(store.documents.read(), same[-1])
    if existing and switch:
        _check_replace(existing, replace)
    needs = needs_of(plan, options)
    tables = sorted({need.table for need in needs})
    lacking = d.keep_needs(store, tables, needs)

    def add(editing: Draft) -> Deployment:
        versions = d.versions_of(editing, database, name)
        made = Deployment(
            versions[0].database if versions else database,
            versions[0].name if versions else name,
            _next_version(editing, database, name),
            sql,
            plan.to_json(),
            plan.plan_id,
            options,
            needs,
            model,
            datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            plan.long_windows,
        )
        d.add_version(editing, made)
        if switch:
            d.switch_live(editing, made)
        return made

    before = d.live_version(draft, database, name)
    outputs = next((one.plan().schema for one in existing if one.version == before), plan.schema)
    made = store.documents.change(add)
    names = tuple(".".join(filter(None, table)) for table in lacking)
    from_rows = tuple(feature for long in long_frames(plan) for feature in long.from_rows())
    return Deployed(made, True, switch, names, outputs != plan.schema, from_rows)


def switch(store: OnlineStore, reference: str, database: str = "") -> tuple[Deployment, int | None]:
    """Make a version live → it, and the version that was live before."""

    def edit(draft: Draft) -> tuple[Deployment, int | None]:
        found = d.find_deployment(draft, reference, database)
        return found, d.switch_live(draft, found)

    return store.documents.change(edit)


def rollback(store: OnlineStore, name: str, version: int | None = None, database: str = "") -> Deployment:
    """Make an earlier version live; without a number, the one that was live before."""
    database, name, _ = d.parse_reference(name, database)

    def edit(draft: Draft) -> Deployment:
        wanted = d.previous_version(draft, database, name) if version is None else version
        if wanted is None:
            d.find_deployment(draft, name, database)
            raise UserError(f"no other version of deployment '{name}' was live before: there is nothing to go back to")
        found = d.find_deployment(draft, f"{name}@{wanted}", database)
        d.switch_live(draft, found)
        return found

    return store.documents.change(edit)


def drop(store: OnlineStore, reference: str, database: str = "", if_exists: bool = False) -> list[Deployment]:
    """Delete a version, or all of them, and the history that nothing else needs.

    The live version goes only together with all others.
    """
    database, name, version = d.parse_reference(reference, database)

    def edit(draft: Draft) -> list[Deployment]:
        found = d.versions_of(draft, database, name)
        if not found and if_exists:
            return []
        if version is not None or not found:
            one = d.find_deployment(draft, reference, database)
            if d.live_version(draft, database, name) == one.version:
                raise UserError(f"'{one.reference}' is live: switch to another version first")
            found = [one]
        d.remove_versions(draft, found)
        return found

    gone = store.documents.change(edit)
    d.keep_needs(store, sorted({table for one in gone for table in one.tables()}))
    return gone


def _check_replace(existing: list[Deployment], replace: bool) -> None:
    if not replace:
        message = f"deployment '{existing[-1].full_name}' exists with another query, options or model"
        raise UserError(f"{message}: write OPTIONS(REPLACE='true') to make this its next version")


def _check_model(model: Mapping[str, Any], plan: Plan) -> None:
    if model and model.get("plan_id") != plan.plan_id:
        name = "@".join(str(model[part]) for part in ("name", "version") if model.get(part))
        trained = str(model.get("plan_id") or "no plan")[:12]
        message = f"model '{name}' was trained on features of plan {trained}, but this query has plan"
        raise UserError(f"{message} {plan.plan_id[:12]}: train it on a feature set of this query")


def _check_plan(store: OnlineStore, plan: Plan) -> None:
    """The plan must be one for requests, over tables that the store has as the plan knows them."""
    from airflow_provider_mlfeat.engine.requirements import table_schemas

    if plan.request_source is None:
        raise UserError("a query without a table cannot be deployed: requests have no columns to give")
    if plan.parameters:
        raise UserError("a deployed query cannot have '?' parameters")
    tables = store.tables()
    for name, schema in table_schemas(plan.root).items():
        if name not in tables:
            raise UserError(f"the online store has no table '{'.'.join(filter(None, name))}': create it first")
        if tables[name].schema != schema:
            raise UserError(f"table '{'.'.join(filter(None, name))}' has other columns in the online store")


def _found(draft: Draft, deployment: Deployment) -> Deployed:
    live = d.live_version(draft, deployment.database, deployment.name) == deployment.version
    return Deployed(deployment, False, live, (), False)


def _next_version(draft: Draft, database: str, name: str) -> int:
    """The number after the last one that was ever used for this name."""
    counter = f"versions/{database.lower()}/{name.lower()}"
    version = int((draft.get(counter) or {}).get("last", 0)) + 1
    draft.put(counter, {"last": version})
    return version
