"""What the options of a DEPLOY say about its query."""

from __future__ import annotations

import re

from airflow_provider_mlfeat.sql.errors import SqlError, SqlNameError, nearest_name
from airflow_provider_mlfeat.sql.statements import Deploy

_MILLISECONDS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DEFAULT_BUCKET = "1d"


def long_windows(statement: Deploy) -> dict[str, int]:
    """The windows that are to be pre-aggregated, with the milliseconds of a bucket.

    ``LONG_WINDOWS='w1:1d,w2'``: a name without a time gets one day. Raises for a window that the query does not name.
    """
    buckets: dict[str, int] = {}
    known = [window.this.name for window in statement.query.tree.args.get("windows") or []]
    for part in filter(None, str(statement.options.get("long_windows", "")).split(",")):
        name, _, time = (piece.strip() for piece in part.partition(":"))
        window = next((window for window in known if window.lower() == name.lower()), None)
        if window is None:
            suggestion = nearest_name(name, known)
            raise SqlNameError(f"LONG_WINDOWS names the unknown window '{name}'", statement.position, suggestion)
        match = re.fullmatch(r"(\d+)([smhd])", (time or _DEFAULT_BUCKET).lower())
        if match is None or not int(match[1]):
            raise SqlError(f"the bucket '{time}' of LONG_WINDOWS is no time like '1d'", statement.position)
        buckets[window] = int(match[1]) * _MILLISECONDS[match[2]]
    return buckets
