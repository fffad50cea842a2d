"""Short ways to plan a query in a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, IndexDefinition, TableDefinition
from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.plan import Plan, Relation
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type

TABLES: Mapping[str, Mapping[str, str]] = {
    "t": {
        "id": "int",
        "key": "string",
        "ts": "timestamp",
        "small": "smallint",
        "big": "bigint",
        "real": "float",
        "number": "double",
        "flag": "bool",
        "day": "date",
        "text": "string",
    },
    "u": {"id": "int", "key": "string", "at_time": "timestamp", "value": "double"},
    "v": {"id": "bigint", "name": "string", "step": "bigint"},
}


def catalog(**indexes: IndexDefinition) -> Catalog:
    """The tables above, each with the index given for it."""
    return Catalog(
        TableDefinition(
            "",
            name,
            tuple(ColumnDefinition(column, parse_type(text)) for column, text in columns.items()),
            (indexes[name],) if name in indexes else (),
        )
        for name, columns in TABLES.items()
    )


def plan(sql: str, **options: Any) -> Plan:
    """The plan of a query over the tables above."""
    tables = options.pop("tables", None) or catalog()
    return plan_query(sql, tables, **options)


def refused(sql: str, **options: Any) -> SqlError:
    """The error of a query over the tables above."""
    with pytest.raises(SqlError) as caught:
        plan(sql, **options)
    return caught.value


def relations(root: Relation) -> list[Relation]:
    """A relation and all below it, from the top, left to right."""
    found = [root]
    for name in ("input", "left", "right"):
        if hasattr(root, name):
            found += relations(getattr(root, name))
    for branch in getattr(root, "inputs", ()):
        found += relations(branch)
    return found


def first(root: Relation, kind: type[Any]) -> Any:
    """The first relation of a kind."""
    return next(relation for relation in relations(root) if isinstance(relation, kind))
