"""Small tables of features, and the canonical text of a value written again, slowly."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from airflow_provider_mlfeat.dataset.source import Source

SEED = 10
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def slow_text(value: Any, kind: str) -> bytes:
    """The canonical bytes of a value, by the rules as they are written down."""
    match kind:
        case "string":
            return str(value).encode()
        case "bool":
            return b"1" if value else b"0"
        case "int":
            return str(value).encode()
        case "float32":
            return np.format_float_positional(np.float32(value) + np.float32(0), unique=True, trim="0").encode()
        case "float64":
            return np.format_float_positional(np.float64(value) + 0.0, unique=True, trim="0").encode()
        case "timestamp":
            return str((value.replace(tzinfo=datetime.UTC) - _EPOCH) // datetime.timedelta(milliseconds=1)).encode()
        case "date":
            return value.isoformat().encode()
        case _:
            assert isinstance(value, Decimal)
            return f"{value:f}".encode()


def source_of(table: pa.Table, plan_id: str | None = None, name: str = "visits") -> Source:
    """A table as the rows of a dataset."""
    description = {"reference": f"{name}@1", "name": name, "version": 1, "uri": "memory", "fingerprint": "f"}
    return Source(table.num_rows, ds.dataset(table), description, plan_id)


def visits(rows: int = 2_000, seed: int = 0) -> pa.Table:
    """Requests with a key, a time, features that say something, and a label."""
    random = np.random.default_rng(seed)
    shop = random.integers(0, 20, rows)
    amount = np.round(random.lognormal(0, 1, rows), 2)
    chance = 1 / (1 + np.exp(-(shop - 10) / 4 - np.log(amount)))
    at = np.datetime64("2026-01-01T00:00:00", "ms") + np.sort(random.integers(0, 30 * 86_400_000, rows))
    return pa.table(
        {
            "request": [f"r{number}" for number in range(rows)],
            "at": pa.array(at, pa.timestamp("us")),
            "customer": [f"c{number}" for number in random.integers(0, rows // 4, rows)],
            "shop": pa.array([f"shop {number}" if number else None for number in shop]),
            "amount": pa.array(amount, pa.float32()),
            "items": pa.array(random.integers(1, 6, rows), pa.int32()),
            "top": [",".join(random.choice(["a", "b", "c", "NULL"], 3)) for _ in range(rows)],
            "bought": pa.array((random.random(rows) < chance).astype(np.int32)),
        }
    )


class Stages:
    """A progress that remembers the stages, and can stop a build."""

    def __init__(self, stop_in: str = "") -> None:
        self.names: list[str] = []
        self._stop_in = stop_in

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        self.names.append(name)

    def advance(self, amount: float = 1) -> None:
        if self.names[-1] == self._stop_in:
            raise KeyboardInterrupt
