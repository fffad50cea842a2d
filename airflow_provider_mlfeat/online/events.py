"""Names of rows that may be sent more than once and count once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from struct import Struct

from airflow_provider_mlfeat.errors import UserError

# So many of the newest names are remembered, among all tables; a row that is sent again later than that is a new one.
REMEMBERED_EVENTS = 1_000_000
_TABLE = Struct(">I")


def event_key(table: int, event: str) -> bytes:
    """What an event is remembered by."""
    return _TABLE.pack(table) + hashlib.sha256(event.encode()).digest()[:16]


def check_events(events: Sequence[str], rows: int) -> None:
    """Every row has a name of its own."""
    if len(events) != rows:
        raise UserError(f"{rows} rows have {len(events)} event ids: each needs one")
    if not all(events):
        raise UserError(f"row {list(events).index('')} has an empty event id")
