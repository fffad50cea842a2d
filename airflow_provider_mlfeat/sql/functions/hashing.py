"""Hash functions."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Form
from airflow_provider_mlfeat.sql.functions.signatures import ANY, signature
from airflow_provider_mlfeat.sql.types import BIGINT

HASHING = Group("Hashes", "hashing")
HASHING.scalar(
    "hash64",
    "hash64(x)",
    signature(ANY, result=BIGINT),
    "FarmHash Fingerprint64 of the value's bytes at the width of its type, as a signed number.",
    form=Form.COLUMN,
    aliases=("farm_fingerprint",),
)
