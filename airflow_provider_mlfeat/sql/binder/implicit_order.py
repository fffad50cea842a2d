"""The order of the right rows of a LAST JOIN without ORDER BY.

It is the time column of the first declared index whose key columns are all compared for equality, and it passes
through projection, WHERE and UNION ALL: where a sub-query does not show the time column, it gets a hidden one.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.plan import Column, ColumnReference, Filter, Project, Relation, Source, Union

# The relation with every column it had, perhaps one more at the end, and the number of the order column.
Ordered = tuple[Relation, int]


def implicit_order(relation: Relation, keys: frozenset[int], catalog: Catalog) -> Ordered | None:
    """The order that declared indexes give to `relation` when its columns `keys` are compared, or None for arrival.

    :param relation: the right side.
    :param keys: its columns that an equality term compares.
    :param catalog: the declared indexes.
    """
    match relation:
        case Source():
            return _declared(relation, keys, catalog)
        case Filter():
            inner = implicit_order(relation.input, keys, catalog)
            if inner is None:
                return None
            return replace(relation, input=inner[0], schema=inner[0].schema), inner[1]
        case Project():
            return _projected(relation, keys, catalog)
        case Union(distinct=False):
            return _united(relation, keys, catalog)
    return None


def _declared(source: Source, keys: frozenset[int], catalog: Catalog) -> Ordered | None:
    table = catalog.get_table(source.database, source.table)
    numbers = {column.name.lower(): number for number, column in enumerate(source.schema)}
    for index in table.indexes:
        if index.ts is not None and all(numbers[key.lower()] in keys for key in index.keys):
            return source, numbers[index.ts.lower()]
    return None


def _projected(project: Project, keys: frozenset[int], catalog: Catalog) -> Ordered | None:
    inputs = {number: e.index for number, e in enumerate(project.expressions) if isinstance(e, ColumnReference)}
    inner = implicit_order(project.input, frozenset(inputs[key] for key in keys if key in inputs), catalog)
    if inner is None:
        return None
    relation, order = inner
    for number, shown in inputs.items():
        if shown == order:
            return replace(project, input=relation), number
    column = relation.schema[order]
    hidden = replace(
        project,
        input=relation,
        expressions=(*project.expressions, ColumnReference(order, column.type)),
        schema=(*project.schema, Column(column.name, column.type)),
    )
    return hidden, len(project.schema)


def _united(union: Union, keys: frozenset[int], catalog: Catalog) -> Ordered | None:
    branches = [implicit_order(branch, keys, catalog) for branch in union.inputs]
    ordered = [branch for branch in branches if branch is not None]
    if len(ordered) < len(branches) or len({relation.schema[order].type for relation, order in ordered}) > 1:
        return None
    if len({order for _, order in ordered}) == 1 and all(
        len(relation.schema) == len(union.schema) for relation, _ in ordered
    ):
        return replace(union, inputs=tuple(relation for relation, _ in ordered)), ordered[0][1]
    width = len(union.schema)
    inputs = tuple(_moved_to_end(relation, order, width) for relation, order in ordered)
    return replace(union, inputs=inputs, schema=(*union.schema, inputs[0].schema[-1])), width


def _moved_to_end(relation: Relation, order: int, width: int) -> Relation:
    """The first `width` columns of a relation, then its order column."""
    if order == width == len(relation.schema) - 1:
        return relation
    numbers = [*range(width), order]
    return Project(
        relation,
        tuple(ColumnReference(number, relation.schema[number].type) for number in numbers),
        tuple(relation.schema[number] for number in numbers),
    )
