"""How a scalar function of the oracle is written down and found.

A function takes the call (its argument types, result type and session) and one Python value per argument. A NULL
argument makes the result NULL before the function is reached, except for functions that declare rules of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType
from tests.oracle.values import fit


@dataclass(frozen=True)
class Invocation:
    """What a function knows besides its values.

    :param types: the argument types.
    :param result: the type of the call.
    :param time_zone: the session's zone.
    """

    types: tuple[DataType, ...]
    result: DataType
    time_zone: str


Function = Callable[..., Any]
_FUNCTIONS: dict[str, tuple[Function, bool]] = {}


def scalar(*names: str, own_nulls: bool = False) -> Callable[[Function], Function]:
    """Register a function under its names; `own_nulls` when it wants to see NULL arguments."""

    def register(function: Function) -> Function:
        for name in names:
            assert name not in _FUNCTIONS, name
            _FUNCTIONS[name] = (function, own_nulls)
        return function

    return register


def apply(name: str, invocation: Invocation, values: list[Any]) -> Any:
    """The value of one call."""
    function, own_nulls = _FUNCTIONS[name]
    if not own_nulls and any(value is None for value in values):
        return None
    return fit(function(invocation, *values), invocation.result)


def known_functions() -> frozenset[str]:
    """The names that the oracle can evaluate."""
    return frozenset(_FUNCTIONS)
