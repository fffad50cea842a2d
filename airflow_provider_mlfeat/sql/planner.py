"""From a query's text to its plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from sqlglot import exp

# The import fills the function catalogue.
import airflow_provider_mlfeat.sql.functions  # noqa: F401
from airflow_provider_mlfeat.sql.binder.config import bind_config
from airflow_provider_mlfeat.sql.binder.leftmost import leftmost_source
from airflow_provider_mlfeat.sql.binder.queries import QueryBinder
from airflow_provider_mlfeat.sql.binder.scope import Bound
from airflow_provider_mlfeat.sql.binder.session import Session
from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlError, SqlTypeError
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.statements import Query
from airflow_provider_mlfeat.sql.syntax import parse_query
from airflow_provider_mlfeat.sql.types import DataType, Kind

Mode = Literal["batch", "request"]

DEFAULT_TIME_ZONE = "+08:00"
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options of a session that change what a query means; plans carry them.

    :param time_zone: the zone of date parts, casts and text: an offset like ``+08:00`` or an IANA name.
    :param null_join_keys: ``match``: NULL keys of a join equal one another; ``never``: they equal nothing.
    """

    time_zone: str = DEFAULT_TIME_ZONE
    null_join_keys: str = "match"

    def __post_init__(self) -> None:
        if self.null_join_keys not in ("match", "never"):
            raise SqlError(f"null_join_keys is 'match' or 'never', not '{self.null_join_keys}'")
        if not _OFFSET.fullmatch(self.time_zone):
            try:
                ZoneInfo(self.time_zone)
            except (ValueError, OSError, KeyError):
                raise SqlError(
                    f"unknown time zone '{self.time_zone}'", suggestion="Write an offset like +08:00 or an IANA name."
                ) from None


def plan_query(
    query: str | Query,
    catalog: Catalog,
    *,
    mode: Mode = "batch",
    database: str = "",
    time_zone: str = DEFAULT_TIME_ZONE,
    null_join_keys: str = "match",
    parameter_types: Sequence[DataType] = (),
    long_windows: Mapping[str, int] | None = None,
) -> Plan:
    """Bind a query and plan it; raises an SqlError that knows its place.

    :param query: its text, or its syntax.
    :param catalog: the stored tables.
    :param mode: ``request`` refuses what cannot run on single request rows; the plan is the same in both modes.
    :param database: the current database.
    :param time_zone: the session's time zone.
    :param null_join_keys: whether NULL join keys ``match`` one another or ``never``.
    :param parameter_types: types of the ``?`` parameters, in order.
    :param long_windows: windows that a deployment pre-aggregates, by name, with the milliseconds of a bucket.
    """
    options = SessionOptions(time_zone, null_join_keys)
    parsed = parse_query(query) if isinstance(query, str) else query
    try:
        session = Session(
            catalog=catalog,
            database=catalog.resolve_database(database),
            request=mode == "request",
            parameters=tuple(parameter_types),
            buckets={name.lower(): bucket for name, bucket in (long_windows or {}).items()},
        )
        plan = _plan(parsed, session, options)
        # A plan that cannot be written down is of no use: this is the place to say so.
        plan.to_json()
        return plan
    except RecursionError:
        raise SqlError("the query is nested too deeply").with_source(parsed.source) from None
    except SqlError as error:
        raise error.with_source(parsed.source) from None


def _plan(query: Query, session: Session, options: SessionOptions) -> Plan:
    rows = bind_config(query.tree.args.get("config"))
    session.request |= rows.mode == "request"
    bound = QueryBinder(session, {}).bind(query.tree)
    _check_output(bound, query.tree)
    source = leftmost_source(bound.relation)
    return Plan(
        bound.relation,
        options.time_zone,
        options.null_join_keys,
        source,
        session.parameters,
        rows.typed(session.catalog.get_table(*source) if source else None, options.time_zone),
        tuple(dict.fromkeys(session.warnings)),
        tuple(session.long_windows),
    )


def _check_output(bound: Bound, tree: exp.Query) -> None:
    """Lists, arrays and maps live inside expressions only."""
    for number, field in enumerate(bound.fields):
        if field.type.is_nested or field.type.kind is Kind.FEATURE:
            items = tree.selects
            node = items[number] if number < len(items) else tree
            raise SqlTypeError(
                f"a query cannot return column '{field.name}' of type {field.type}",
                position_of(node),
                "Turn it into text with `join` or array_join, or take an element of it.",
            )
