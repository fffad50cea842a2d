"""SELECT … INTO OUTFILE: a folder is there as a whole or not at all, in every mode and whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables import directories
from airflow_provider_mlfeat.tables.export import read_schema, write_outfile
from tests.tables.exporting import LINES, TABLE, numbers, read_numbers, text_of, write

ROOT = Path(__file__).resolve().parent.parent.parent

# ── modes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["exchange", "renames"])
def renames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to put a folder in place: in one step, and for file systems that cannot."""
    if request.param == "renames":
        monkeypatch.setattr(directories, "_renameat2", lambda: None)
    return str(request.param)


def test_error_if_exists(tmp_path: Path, renames: str) -> None:
    write(tmp_path / "out", numbers(3), format="parquet")
    with pytest.raises(UserError, match="out exists; mode='overwrite' replaces it and mode='append' adds to it"):
        write(tmp_path / "out", numbers(4), format="parquet")
    assert read_numbers(tmp_path / "out") == [0, 1, 2]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty exists"):
        write(tmp_path / "empty", numbers(4))


def test_error_if_exists_when_somebody_was_faster(tmp_path: Path, renames: str) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        write(tmp_path / "out", numbers(3), format="parquet")
        yield from numbers(9).to_batches()

    with pytest.raises(UserError, match="out exists"):
        write_outfile(batches(), numbers(0).schema, tmp_path / "out")
    assert read_numbers(tmp_path / "out") == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_overwrite(tmp_path: Path, renames: str) -> None:
    for first in (0, 10):
        write(tmp_path / "out", numbers(3, first), format="parquet", mode="overwrite")
        assert read_numbers(tmp_path / "out") == [first, first + 1, first + 2]
    write(tmp_path / "out", TABLE, mode="overwrite")
    assert text_of(tmp_path / "out") == LINES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_append(tmp_path: Path, renames: str) -> None:
    write(tmp_path / "out", numbers(3), format="parquet", mode="append")
    inodes = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("part*")}
    report = write(tmp_path / "out", numbers(2, 3), format="parquet", mode="append")
    assert (report.rows, report.total_rows) == (2, 5)
    assert read_numbers(tmp_path / "out") == [0, 1, 2, 3, 4]
    assert max(part.name for part in (tmp_path / "out").glob("part*")) == report.files[0]
    for name, inode in inodes.items():
        assert (tmp_path / "out" / name).stat().st_ino == inode, "the old files were copied"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_append_copies_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    for first in (0, 3):
        write(tmp_path / "out", numbers(3, first), format="parquet", mode="append")
    assert read_numbers(tmp_path / "out") == list(range(6))


def test_two_writers_append_both(tmp_path: Path) -> None:
    target, count = tmp_path / "out", 12
    write(target, numbers(0), format="parquet")
    threads = [
        threading.Thread(target=write, args=(target, numbers(2, first)), kwargs={"format": "parquet", "mode": "append"})
        for first in range(0, 2 * count, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_numbers(target)) == list(range(2 * count))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_readers_always_find_a_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target, numbers(5), format="parquet")
    stop, missing, looks = threading.Event(), [], [0]

    def look() -> None:
        while not stop.is_set():
            looks[0] += 1
            try:
                names = os.listdir(target)
            except FileNotFoundError:
                missing.append("the folder")
                continue
            if "_SUCCESS" not in names or "_schema.json" not in names or len(names) != 3:
                # A folder that is taken away while it is listed is an old one; the new one is whole already.
                missing.extend([str(names)] if "_SUCCESS" not in os.listdir(target) else [])

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(60):
        write(target, numbers(5), format="parquet", mode="overwrite")
    stop.set()
    reader.join()
    assert missing == []
    assert looks[0] > 10


def test_a_folder_is_replaced_in_one_step_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    if not directories._rename(tmp_path / "one", tmp_path / "two", directories._EXCHANGE):
        pytest.skip("this file system cannot exchange two names; TMPDIR on ext4, xfs, btrfs or tmpfs can")

    def in_steps(*_: object) -> None:
        raise AssertionError("there was a moment without a folder")

    monkeypatch.setattr(directories, "_without_exchange", in_steps)
    for mode in ("error_if_exists", "overwrite", "append"):
        write(tmp_path / "out", numbers(3), format="parquet", mode=mode)
    assert len(read_numbers(tmp_path / "out")) == 6


# ── killed in the middle ────────────────────────────────────────────────────────────────────────────────────────────

WRITER = """
import sys, pyarrow as pa
from airflow_provider_mlfeat.tables.export import OutfileOptions, write_outfile
target, mode = sys.argv[1:]
table = pa.table({"n": range(1_000)})
print("ready", flush=True)
while True:
    write_outfile(table.to_batches(), table.schema, target, OutfileOptions(format="parquet", mode=mode))
"""


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_a_killed_writer_leaves_a_whole_folder(tmp_path: Path, mode: str) -> None:
    target, random = tmp_path / "out", np.random.default_rng(0)
    write(target, numbers(1_000), format="parquet")
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(target), mode]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.02 + random.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        document = read_schema(target)
        assert (target / "_SUCCESS").exists()
        names = {path.name for path in target.iterdir()} - {"_SUCCESS", "_schema.json"}
        assert names == {part["name"] for part in document["files"]}
        assert len(read_numbers(target)) == document["rows"]
        assert document["rows"] % 1_000 == 0
    write(target, numbers(3), format="parquet", mode="overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "what killed writers left is gone"


def test_a_folder_that_stepped_aside_comes_back(tmp_path: Path) -> None:
    """Killed between the two renames of a file system without exchange."""
    write(tmp_path / "out", numbers(3), format="parquet")
    (tmp_path / "out").rename(tmp_path / ".mlfeat-aside-out")
    write(tmp_path / "out", numbers(2, 3), format="parquet", mode="append")
    assert read_numbers(tmp_path / "out") == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # Killed after them: the old folder is waste.
    (tmp_path / ".mlfeat-aside-out").mkdir()
    directories.restore_interrupted(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "_schema.json").read_text())["rows"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
