"""The function catalogue, filled with the functions of the language."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.functions import (
    aggregates,
    casts,
    conditional,
    dates,
    features,
    hashing,
    json,
    lists,
    math,
    operators,
    text,
)
from airflow_provider_mlfeat.sql.functions.registry import CATALOGUE

# Importing a group defines its functions.
GROUPS = (operators, casts, conditional, math, dates, text, hashing, json, lists, features, aggregates)

__all__ = ["CATALOGUE", "GROUPS"]
