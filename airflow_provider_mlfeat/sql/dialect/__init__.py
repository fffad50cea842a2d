"""The feature language as a sqlglot dialect."""

from airflow_provider_mlfeat.sql.dialect.build import check_sqlglot_build

# Before any class of sqlglot is extended.
check_sqlglot_build()

from airflow_provider_mlfeat.sql.dialect.dialect import FeatureSql  # noqa: E402

__all__ = ["FeatureSql", "check_sqlglot_build"]
