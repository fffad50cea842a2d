"""A script with one query, bound to files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.commands import BoundQuery, bind_script
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.statements import Statement
from airflow_provider_mlfeat.sql.syntax import parse_script


@dataclass(frozen=True)
class QueryScript:
    """One query of a script and the tables that it reads.

    :param plan: the query's plan.
    :param tables: what a driver reads, by (database, table).
    """

    plan: Plan
    tables: dict[tuple[str, str], Any]


def bind_query(
    text: str, bindings: Mapping[str, str], *, database: str = "", path: str | None = None, number: int | None = None
) -> QueryScript:
    """Bind the query of a script.

    :param text: the script: definitions, SET, and queries.
    :param bindings: path of each table.
    :param database: the current database at the beginning.
    :param path: the script's file, for error messages.
    :param number: which query, from 1, where there are several.
    """
    from airflow_provider_mlfeat.engine.requirements import table_schemas
    from airflow_provider_mlfeat.jobs.query.tables import BoundTables, columns_of_source

    statements: tuple[Statement, ...] = tuple(parse_script(text))
    tables = BoundTables(bindings, statements, database)
    queries = list(bind_script(text, tables.catalog, database, columns_of_source))
    plan = _chosen(queries, number, path)
    return QueryScript(plan, tables.for_plan(table_schemas(plan.root), plan.time_zone))


def _chosen(queries: list[BoundQuery], number: int | None, path: str | None) -> Plan:
    for query in queries:
        if query.error is not None:
            query.error.path = path
            raise query.error
    plans = [query.plan for query in queries if query.plan is not None]
    if not plans:
        raise UserError(f"{path or 'the script'} holds no query")
    if number is None and len(plans) > 1:
        raise UserError(f"{path or 'the script'} holds {len(plans)} queries: say which with --query N")
    if number is not None and not 1 <= number <= len(plans):
        raise UserError(f"{path or 'the script'} has queries 1 to {len(plans)}, not {number}")
    return plans[(number or 1) - 1]


def read_script(path: str) -> str:
    """The text of a script file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
