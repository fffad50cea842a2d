"""Names of output columns that the query does not name."""

from __future__ import annotations

from sqlglot import exp

from airflow_provider_mlfeat.sql.dialect import FeatureSql


def expression_name(node: exp.Expr) -> str:
    """The expression's text with normal spacing and without backticks: ``c2 + 1``, ``csv()``."""
    bare = node.copy()
    for identifier in bare.find_all(exp.Identifier):
        identifier.set("quoted", False)
    return str(bare.sql(dialect=FeatureSql, comments=False))
