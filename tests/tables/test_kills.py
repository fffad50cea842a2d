"""A loader that is killed, or that is one of two: every time the old version or the whole new one.

``MLFEAT_KILLS=50 pytest tests/tables/test_kills.py`` kills at 50 random points.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.tables import delta
from airflow_provider_mlfeat.tables.load import LoadOptions, load_files
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.tables.versions import history, read, vacuum
from tests.tables.loading import create, load, rows, version_of, write

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("MLFEAT_KILLS", "4"))
ROWS = 400_000


def start(store: TableStore, path: Path, load_id: str) -> subprocess.Popen[str]:
    """A loader that has begun."""
    asked = {"root": store.root, "paths": str(path), "options": {"mode": "append"}, "load_id": load_id}
    command = [sys.executable, "-m", "tests.tables.loader", json.dumps(asked)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    return process


def test_killed_at_random_points(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int, b string)")
    big = write(tmp_path / "big.csv", "a,b\n" + "".join(f"{n},{n * 7919 % 100_003}\n" for n in range(ROWS)))
    assert start(store, big, "whole").wait(60) == 0
    # How long a warm load takes: from its beginning to its end, without the end of its process.
    process = start(store, big, "timed")
    began = time.monotonic()
    assert process.stdout is not None
    assert process.stdout.readline() == "end\n"
    duration = time.monotonic() - began
    assert process.wait(60) == 0
    loads, killed, seen = 2, 0, set()
    draw = random.Random(1)
    for number in range(KILLS):
        process = start(store, big, f"load {number}")
        time.sleep(draw.uniform(0, duration * 1.1))
        process.send_signal(signal.SIGKILL)
        killed += process.wait(60) == -signal.SIGKILL
        held = read(store, "", "t").count_rows()
        assert held in (loads * ROWS, (loads + 1) * ROWS)
        seen.add(held == loads * ROWS)
        loads = held // ROWS
        assert version_of(store) == loads
        # What was killed before its commit is whole after the next try, and what was not is not doubled.
        if number % 10 == 0:
            again = load_files(store, "", "t", str(big), LoadOptions(mode="append"), load_id=f"load {number}")
            loads += not again.already_loaded
            assert again.rows_in_table == loads * ROWS
    assert killed
    assert True in seen
    files = {file.path for file in delta.data_files(delta.open_table(store, "", "t"))}
    vacuum(store, "", "t", retention_hours=0)
    assert {path.name for path in Path(store.uri("", "t")).glob("*.parquet")} == files
    assert read(store, "", "t").to_table().column("a")[-1].as_py() == ROWS - 1


def test_two_writers_at_once(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    threads, writers, errors = [], 6, []

    def append(number: int) -> None:
        try:
            file = write(tmp_path / f"{number}.csv", f"a\n{number}\n" * 1 + f"{number}\n" * 9)
            load(store, file, mode="append", load_id=f"writer {number}")
        except Exception as error:
            errors.append(error)

    for number in range(writers):
        threads.append(threading.Thread(target=append, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert not errors
    values = [row["a"] for row in rows(store)]
    assert sorted(values) == sorted(list(range(writers)) * 10)
    # Each load's rows stand together, in the order of the versions.
    order = [change.details["load"]["load_id"] for change in reversed(history(store, "", "t")) if change.details]
    assert values == [int(name.removeprefix("writer ")) for name in order for _ in range(10)]
    assert version_of(store) == writers


def between(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """Do something just before the next commit."""
    real = DeltaTable.create_write_transaction
    left = [action]

    def create_write_transaction(self: DeltaTable, *arguments: Any, **options: Any) -> None:
        if left:
            left.pop()()
        real(self, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", create_write_transaction)


def test_a_version_that_came_between_is_not_lost(
    store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store, "CREATE TABLE t (a int)")
    one, two = (write(tmp_path / f"{number}.csv", f"a\n{number}\n") for number in (1, 2))
    between(monkeypatch, lambda: load(store, two, mode="append"))
    report = load(store, one, mode="append")
    assert (report.version, [row["a"] for row in rows(store)]) == (2, [2, 1])


def test_the_same_load_twice_at_once_loads_once(
    store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store, "CREATE TABLE t (a int)")
    one = write(tmp_path / "1.csv", "a\n1\n")
    between(monkeypatch, lambda: load(store, one, mode="append", load_id="x"))
    assert load(store, one, mode="append", load_id="x").already_loaded
    assert rows(store) == [{"a": 1}]
    assert len(list(Path(store.uri("", "t")).glob("*.parquet"))) == 1


def test_rows_that_came_between_are_an_error_where_there_must_be_none(
    store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store, "CREATE TABLE t (a int)")
    one = write(tmp_path / "1.csv", "a\n1\n")
    between(monkeypatch, lambda: load(store, one, mode="append"))
    with pytest.raises(UserError, match="table 't' has 1 rows"):
        load(store, one)
    assert len(list(Path(store.uri("", "t")).glob("*.parquet"))) == 1


def test_a_commit_that_never_fits(store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(store, "CREATE TABLE t (a int)")
    one = write(tmp_path / "1.csv", "a\n1\n")

    def fail(*_: Any, **__: Any) -> None:
        raise CommitFailedError("no")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fail)
    with pytest.raises(TransientError, match="committing to table 't': no"):
        load(store, one)
    assert list(Path(store.uri("", "t")).glob("*.parquet")) == []
