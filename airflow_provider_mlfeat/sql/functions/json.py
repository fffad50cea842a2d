"""Functions of JSON texts."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Form
from airflow_provider_mlfeat.sql.functions.signatures import TEXT, signature
from airflow_provider_mlfeat.sql.types import INT, STRING

JSON = Group("JSON", "documents")
JSON.scalar(
    "json_array_length",
    "json_array_length(s)",
    signature(TEXT, result=INT),
    "How many elements a JSON array has; NULL for anything else.",
    form=Form.VALUE,
)
JSON.scalar(
    "get_json_object",
    "get_json_object(s, pointer)",
    signature(TEXT, TEXT, result=STRING),
    "What a JSON pointer (/a/0) finds: a string as it is, anything else as JSON text; NULL when there is nothing.",
    form=Form.VALUE,
)
