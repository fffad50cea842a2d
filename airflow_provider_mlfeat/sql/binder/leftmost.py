"""The leftmost stored table of a query: the one whose rows are requests in request mode."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.plan import Aggregate, Filter, Join, Limit, Project, Relation, Source, Union, Windows


def leftmost_source(relation: Relation) -> tuple[str, str] | None:
    """Database and table of the leftmost source, or None for a query without one."""
    while True:
        match relation:
            case Source():
                return relation.database, relation.table
            case Project() | Filter() | Windows() | Aggregate() | Limit():
                relation = relation.input
            case Join():
                relation = relation.left
            case Union():
                relation = relation.inputs[0]
            case _:
                return None
