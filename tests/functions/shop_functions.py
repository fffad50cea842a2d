"""Functions of a user, in a module of their own, as Spark's workers want them."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.functions.user import aggregate_function, scalar_function


@scalar_function("string", "int", returns="string")
def shortened(text: str, length: int = 2) -> str:
    """The first characters of a text."""
    return text[:length]


@aggregate_function("double", "string", returns="string")
def price_path(prices: list[float], names: list[str]) -> str | None:
    """Names and prices, the newest first."""
    return " ".join(f"{name}={price:g}" for name, price in zip(names, prices, strict=True)) or None
