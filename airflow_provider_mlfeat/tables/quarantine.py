"""The rows that a load refused, in a file beside the table."""

from __future__ import annotations

import csv
import hashlib
import io
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from uuid import uuid4

from airflow_provider_mlfeat.tables.conform import Rejection
from airflow_provider_mlfeat.tables.store import TableStore

FOLDER = "_quarantine"
COLUMNS = ("file", "row", "column", "value", "reason")
SHOWN = 5


class BadRows:
    """Refused rows of a load's tasks while they are collected, on disk beyond the first few.

    Once there are more than allowed, tasks after the earliest bad one stop; those before it go on, because their rows
    come first in the report.

    :param most: how many rows may be refused; None is any number.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._folder = TemporaryDirectory(prefix="mlfeat-refused-")
        self._earliest: int | None = None
        self._limit_reached = False
        self.rows = 0

    def close(self) -> None:
        """Forget what was collected."""
        self._folder.cleanup()

    def stops(self, task: int) -> bool:
        """Whether a task need not go on."""
        return self._limit_reached and self._earliest is not None and task >= self._earliest

    def add(self, task: int, file: int, first: int, rejected: Sequence[Rejection]) -> None:
        """Collect what a task refused.

        :param task: its number.
        :param file: the file's number.
        :param first: rows of this task and file before these.
        :param rejected: with places from 0.
        """
        with (Path(self._folder.name) / f"{task}").open("a", encoding="utf-8", newline="") as spilled:
            writer = csv.writer(spilled)
            writer.writerows([(file, first + bad.row, bad.column, bad.value, bad.reason) for bad in rejected])
        with self._lock:
            self.rows += len({bad.row for bad in rejected})
            self._earliest = task if self._earliest is None else min(self._earliest, task)
            self._limit_reached = self._most is not None and self.rows > self._most

    def of_task(self, task: int) -> Iterable[list[str]]:
        """What a task refused: number of the file, row within task and file, column, value, reason."""
        spilled = Path(self._folder.name) / f"{task}"
        if spilled.exists():
            with spilled.open(encoding="utf-8", newline="") as lines:
                yield from csv.reader(lines)


def write_quarantine(store: TableStore, table_uri: str, load_id: str | None, rows: Iterable[Sequence[object]]) -> str:
    """Write the quarantine file of a load; the file's place.

    :param store: where the table is.
    :param table_uri: the table.
    :param load_id: names the file, so that a repeated load writes the same one.
    :param rows: as `COLUMNS` says; rows count from 1, without a header.
    """
    name = hashlib.sha256(load_id.encode()).hexdigest()[:32] if load_id is not None else uuid4().hex
    path = f"{FOLDER}/{name}.csv"
    system = store.filesystem(table_uri)
    if store.is_local:
        system.create_dir(FOLDER)
    with system.open_output_stream(path) as stream, io.TextIOWrapper(stream, "utf-8", newline="") as text:
        _write(text, rows)
    return f"{table_uri}/{path}"


def _write(text: IO[str], rows: Iterable[Sequence[object]]) -> None:
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(rows)
