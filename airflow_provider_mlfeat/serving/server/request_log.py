"""A sample of the answered requests, as Parquet, for drift and parity checks."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.serving.server.documents import write_json
from airflow_provider_mlfeat.sql.plan import Schema

log = logging.getLogger("mlfeat.serve")

_MOST_ROWS = 2_000
_SECONDS = 5.0
# What the log knows of a request beside its features.
COLUMNS = (
    ("_time", pa.timestamp("ms", "UTC")),
    ("_request_id", pa.string()),
    ("_release", pa.string()),
    ("_probability", pa.float64()),
    ("_request", pa.string()),
)


# Moment, request id, probability, request row, features.
LoggedRow = tuple[int, str, float | None, Sequence[Any], Sequence[Any]]


class RequestLog:
    """Collects rows of one release and writes them, a file at a time, beside the request path.

    :param folder: where the files go, by service, release and day.
    :param release: ``service@number``.
    :param schema: the columns of the features.
    :param share: which share of the requests is kept, 0 to 1.
    """

    def __init__(self, folder: Path, release: str, schema: Schema, share: float) -> None:
        service, _, number = release.partition("@")
        self._folder = folder / service / number
        self._release, self._schema, self._share = release, schema, share
        self._rows: list[LoggedRow] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write_now_and_then, name="request-log", daemon=True)
        self._thread.start()
        self.lost = 0

    def wants(self) -> bool:
        """Whether this request belongs to the sample."""
        return self._share >= 1 or random.random() < self._share  # noqa: S311 - a sample

    def add(self, request_id: str, request: Sequence[Any], features: Sequence[Any], probability: float | None) -> None:
        """Keep a request; when the disk does not keep up, it is left out rather than waited for."""
        with self._lock:
            if len(self._rows) >= 10 * _MOST_ROWS:
                self.lost += 1
                return
            self._rows.append((time.time_ns() // 1_000_000, request_id, probability, request, features))

    def close(self) -> None:
        """Write what is left."""
        self._stopped.set()
        self._thread.join()

    def _write_now_and_then(self) -> None:
        while not self._stopped.wait(_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            rows, self._rows = self._rows, []
        if not rows:
            return
        try:
            write_rows(self._folder, self._release, self._schema, rows)
        except OSError as error:
            self.lost += len(rows)
            log.warning("%d sampled requests of %s were not written: %s", len(rows), self._release, error)


def write_rows(folder: Path, release: str, schema: Schema, rows: Sequence[LoggedRow]) -> Path:
    """Write one file of the log."""
    known = {
        "_time": [moment for moment, *_ in rows],
        "_request_id": [request_id for _, request_id, *_ in rows],
        "_release": [release] * len(rows),
        "_probability": [probability for _, _, probability, _, _ in rows],
        "_request": [write_json(request).decode() for *_, request, _ in rows],
    }
    columns = {name: pa.array(known[name], kind) for name, kind in COLUMNS}
    for place, column in enumerate(schema):
        values = [features[place] for *_, features in rows]
        columns[column.name] = Column.from_values(values, column.type).to_arrow()
    day = datetime.fromtimestamp(rows[0][0] / 1000, UTC).date().isoformat()
    target = folder / day / f"{rows[0][0]}-{os.getpid()}-{uuid.uuid4().hex[:8]}.parquet"
    with files.staged_file(target) as staging:
        pq.write_table(pa.table(columns), staging)
    return target
