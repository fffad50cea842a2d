"""What an implementation knows besides its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_mlfeat.engine.functions.zones import Zone
from airflow_provider_mlfeat.sql.types import DataType


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call in a plan.

    :param zone: the session's time zone.
    :param arguments: the types of the arguments.
    :param result: the type of the call.
    """

    zone: Zone
    arguments: tuple[DataType, ...]
    result: DataType
