"""The feature language as a sqlglot dialect."""

from airflow_provider_mlfeat.sql.dialect.dialect import FeatureSql, check_sqlglot_build

__all__ = ["FeatureSql", "check_sqlglot_build"]
