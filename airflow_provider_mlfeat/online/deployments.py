"""Deployments: versions of feature queries that requests can ask for, and the alias that says which one is live."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.documents import Document, Draft
from airflow_provider_mlfeat.online.series import Need, TableName
from airflow_provider_mlfeat.sql.errors import nearest_name
from airflow_provider_mlfeat.sql.plan import LongWindow, Plan, Schema

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.store import OnlineStore

_VERSIONS, _ALIASES = "deployment/", "live/"
_NAME = re.compile(r"[A-Za-z_][\w-]*")
Options = Mapping[str, bool | int | str]


@dataclass(frozen=True)
class Deployment:
    """One version of a deployed query; it never changes.

    :param database: the database that it is deployed in; '' is the default one.
    :param name: its name.
    :param version: counts from 1.
    :param sql: the query as written.
    :param plan_text: the plan's canonical JSON.
    :param plan_id: the plan's identity, which feature sets and models carry as well.
    :param options: of DEPLOY.
    :param needs: what it needs to have stored.
    :param model: the model that answers with these features: ``name``, ``version``, ``plan_id`` and what else its
        user wants to know; empty without one.
    :param created_at: when, in ISO 8601.
    :param long_windows: the windows that are computed from partial aggregates.
    """

    database: str
    name: str
    version: int
    sql: str
    plan_text: str = field(repr=False)
    plan_id: str
    options: Options
    needs: tuple[Need, ...]
    model: Mapping[str, Any]
    created_at: str
    long_windows: tuple[LongWindow, ...] = ()

    @property
    def full_name(self) -> str:
        """``database.name``, or only the name in the default database."""
        return f"{self.database}.{self.name}" if self.database else self.name

    @property
    def reference(self) -> str:
        """``name@version``, which means this one for ever."""
        return f"{self.full_name}@{self.version}"

    def plan(self) -> Plan:
        """The plan."""
        return replace(Plan.from_json(self.plan_text), long_windows=self.long_windows)

    def tables(self) -> list[TableName]:
        """The tables that it reads."""
        return sorted({need.table for need in self.needs})

    def to_document(self) -> Document:
        """The JSON form."""
        return {
            "database": self.database,
            "name": self.name,
            "version": self.version,
            "sql": self.sql,
            "plan": self.plan_text,
            "plan_id": self.plan_id,
            "options": dict(self.options),
            "needs": [need.to_document() for need in self.needs],
            "model": dict(self.model),
            "created_at": self.created_at,
            "long_windows": [list(astuple(window)) for window in self.long_windows],
        }

    @classmethod
    def from_document(cls, document: Document) -> Deployment:
        """The deployment of a JSON form."""
        given = {**document, "plan_text": document["plan"]}
        given["needs"] = tuple(Need.from_document(need) for need in document["needs"])
        given["long_windows"] = tuple(LongWindow(*window) for window in document.get("long_windows", ()))
        return cls(**{name: given[name] for name in cls.__dataclass_fields__})


def parse_reference(text: str, database: str = "") -> tuple[str, str, int | None]:
    """Database, name and version of ``[database.]name[@version]``; without a version the live one is meant."""
    match = re.fullmatch(r"(?:([\w-]+)\.)?([\w-]+)(?:@(\d+))?", text)
    if match is None:
        raise UserError(f"'{text}' names no deployment: write NAME, NAME@VERSION or DATABASE.NAME@VERSION")
    return match[1] or database, match[2], int(match[3]) if match[3] else None


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def all_deployments(draft: Draft) -> list[Deployment]:
    """Every version of every deployment, by name and version."""
    found = [Deployment.from_document(document) for document in draft.list(_VERSIONS).values()]
    return sorted(found, key=lambda one: (one.database, one.name, one.version))


def versions_of(draft: Draft, database: str, name: str) -> list[Deployment]:
    """The versions of a deployment, the oldest first."""
    found = draft.list(f"{_VERSIONS}{database.lower()}/{name.lower()}/").values()
    return sorted(map(Deployment.from_document, found), key=lambda one: one.version)


def live_version(draft: Draft, database: str, name: str) -> int | None:
    """The version that answers requests, if any does."""
    document = draft.get(_alias(database, name))
    return None if document is None else int(document["version"])


def find_deployment(draft: Draft, reference: str, database: str = "") -> Deployment:
    """The deployment that a reference means; raises UserError when there is none."""
    database, name, version = parse_reference(reference, database)
    if version is None:
        version = live_version(draft, database, name)
    document = None if version is None else draft.get(_document_name(database, name, version))
    if document is not None:
        return Deployment.from_document(document)
    full_name = f"{database}.{name}" if database else name
    there = versions_of(draft, database, name)
    if not there:
        known = {one.full_name for one in all_deployments(draft)}
        suggestion = nearest_name(full_name, known)
        raise UserError(f"there is no deployment '{full_name}'" + (f". {suggestion}" if suggestion else ""))
    numbers = ", ".join(str(one.version) for one in there)
    if version is None:
        raise UserError(f"no version of deployment '{full_name}' is live; there are {numbers}: switch to one")
    raise UserError(f"deployment '{full_name}' has no version {version}; there are {numbers}")


# ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_version(draft: Draft, deployment: Deployment) -> None:
    """Write a version that is not there yet."""
    name = _document_name(deployment.database, deployment.name, deployment.version)
    assert draft.get(name) is None, f"{deployment.reference} is there already"
    draft.put(name, deployment.to_document())


def switch_live(draft: Draft, deployment: Deployment) -> int | None:
    """Make a version the live one → the one that was live before.

    Parts of a change may be put together: whoever switches a model along does both in one draft.
    """
    name = _alias(deployment.database, deployment.name)
    document = draft.get(name) or {"version": None, "before": []}
    before: int | None = document["version"]
    if before == deployment.version:
        return before
    earlier = [version for version in document["before"] if version != deployment.version]
    if before is not None:
        earlier.append(before)
    draft.put(name, {"version": deployment.version, "before": earlier})
    return before


def previous_version(draft: Draft, database: str, name: str) -> int | None:
    """The version that was live before the one that is."""
    document = draft.get(_alias(database, name)) or {"before": []}
    there = {one.version for one in versions_of(draft, database, name)}
    return next((version for version in reversed(document["before"]) if version in there), None)


def remove_versions(draft: Draft, deployments: Sequence[Deployment]) -> None:
    """Delete versions; the alias goes with the last one."""
    for one in deployments:
        draft.delete(_document_name(one.database, one.name, one.version))
        if not versions_of(draft, one.database, one.name):
            draft.delete(_alias(one.database, one.name))


def needs_by_table(draft: Draft) -> dict[TableName, list[Need]]:
    """What all versions of all deployments need of each table."""
    found: dict[TableName, list[Need]] = {}
    for deployment in all_deployments(draft):
        for need in deployment.needs:
            found.setdefault(need.table, []).append(need)
    return found


def check_name(name: str) -> str:
    """The name of a deployment, which must look like one."""
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot name a deployment: letters, digits, _ and - can, a letter first")
    return name


def input_schema(plan: Plan) -> Schema:
    """The columns of a request row."""
    from airflow_provider_mlfeat.engine.requirements import table_schemas

    return () if plan.request_source is None else table_schemas(plan.root)[plan.request_source]


def keep_needs(store: OnlineStore, tables: Sequence[TableName], more: Sequence[Need] = ()) -> list[TableName]:
    """Have tables keep what all deployments need, and `more` → the tables that do not have all of it."""
    needs = needs_by_table(store.documents.read())
    lacking = []
    for table in tables:
        wanted = [*needs.get(table, []), *(need for need in more if need.table == table)]
        if not store.keep(table, wanted):
            lacking.append(table)
    return lacking


def _document_name(database: str, name: str, version: int) -> str:
    return f"{_VERSIONS}{database.lower()}/{name.lower()}/{version:08}"


def _alias(database: str, name: str) -> str:
    return f"{_ALIASES}{database.lower()}/{name.lower()}"
