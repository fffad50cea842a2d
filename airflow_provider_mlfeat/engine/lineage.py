"""Where columns come from: which stored column, through relations that keep rows one to one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.sql import plan

TableName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Origin:
    """A column of a stored table that another column is equal to, row by row.

    :param source: the table.
    :param column: the column's number in it.
    """

    source: plan.Source
    column: int


def name_of(source: plan.Source) -> TableName:
    """A table's name in stores."""
    return (source.database, source.table)


def leftmost(relation: plan.Relation) -> plan.Relation:
    """The relation that the rows of a relation come from."""
    while True:
        if isinstance(relation, plan.Join):
            relation = relation.left
        elif isinstance(relation, plan.Project | plan.Filter | plan.Windows | plan.Limit | plan.Aggregate):
            relation = relation.input
        else:
            return relation


def is_over(relation: plan.Relation, table: TableName | None) -> bool:
    """Whether a relation's rows come from a table."""
    below = leftmost(relation)
    return isinstance(below, plan.Source) and name_of(below) == table


def reads(relation: plan.Relation, table: TableName | None) -> bool:
    """Whether a table occurs anywhere below a relation."""
    return any(name_of(source) == table for source in sources_of(relation))


def sources_of(relation: plan.Relation) -> Iterator[plan.Source]:
    """All stored tables below a relation."""
    if isinstance(relation, plan.Source):
        yield relation
    for below in inputs_of(relation):
        yield from sources_of(below)


def origin_of(relation: plan.Relation, column: int, through_filters: bool = False) -> Origin | None:
    """The stored column that a column equals, if rows are those of the stored table, one to one.

    :param through_filters: whether rows may be missing.
    """
    if isinstance(relation, plan.Source):
        return Origin(relation, column)
    if isinstance(relation, plan.Project):
        expression = relation.expressions[column]
        if isinstance(expression, plan.ColumnReference):
            return origin_of(relation.input, expression.index, through_filters)
        return None
    if isinstance(relation, plan.Filter) and through_filters:
        return origin_of(relation.input, column, through_filters)
    if isinstance(relation, plan.Join) and relation.how == "last" and column < len(relation.left.schema):
        return origin_of(relation.left, column, through_filters)
    if isinstance(relation, plan.Windows) and column < len(relation.input.schema):
        return origin_of(relation.input, column, through_filters)
    return None


def origins_of(relation: plan.Relation, columns: list[int]) -> list[Origin] | None:
    """The stored columns that columns equal, which are all of one table; None where they are not."""
    origins: list[Origin] = []
    for column in columns:
        origin = origin_of(relation, column)
        if origin is None or (origins and origin.source != origins[0].source):
            return None
        origins.append(origin)
    return origins


def is_plain(relation: plan.Relation) -> bool:
    """Whether a relation is a stored table with projections and filters on it, so that it can be cut by a key."""
    while isinstance(relation, plan.Project | plan.Filter):
        relation = relation.input
    return isinstance(relation, plan.Source)
