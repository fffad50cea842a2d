"""The bench's feature query, planned over the bench's tables."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type
from tests.bench.data import TABLES

# The text of the example pipeline: what is measured is what users run.
FEATURES = Path(__file__).resolve().parents[2] / "dags" / "sql" / "jd_features.sql"


def feature_sql(maxsize: bool = True) -> str:
    """The text of the query; without MAXSIZE every frame holds all rows of its time span."""
    text = FEATURES.read_text()
    return text if maxsize else text.replace(" MAXSIZE 200", "").replace(" MAXSIZE 100", "")


def feature_plan(maxsize: bool = True, text: str | None = None) -> Plan:
    """The plan of the query, or of another one over the same tables."""
    return plan_query(text or feature_sql(maxsize), catalog())


def catalog() -> Catalog:
    """The bench's tables."""
    tables = (
        TableDefinition("", name, tuple(ColumnDefinition(column, parse_type(kind)) for column, kind in columns))
        for name, columns in TABLES.items()
    )
    return Catalog(tables)
