from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_mlfeat import files


def test_a_staged_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "result.txt"
    with files.staged_file(target) as staging:
        staging.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["result.txt"]


def test_a_failed_block_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.staged_file(target) as staging:
        staging.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_staged_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    with pytest.raises(RuntimeError), files.staged_directory(target) as staging:
        (staging / "part").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with files.staged_directory(target) as staging:
        (staging / "part").write_text("whole")
    assert (target / "part").read_text() == "whole"
    with pytest.raises(FileExistsError), files.staged_directory(target):
        pass


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    code = (
        "import sys, time; from pathlib import Path; from airflow_provider_mlfeat import files\n"
        f"with files.staged_file(Path({str(target)!r})) as staging:\n"
        "    staging.write_text('half'); print('written', flush=True); time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    assert not target.exists()
    # A writer that lives keeps its staging file.
    with files.staged_file(target) as staging:
        staging.write_text("other")
    assert len(os.listdir(tmp_path)) == 2
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    with files.staged_file(target) as staging:
        staging.write_text("next")
    assert os.listdir(tmp_path) == ["result.txt"]


def test_another_hosts_staging_file_stays_for_a_day(tmp_path: Path) -> None:
    foreign = tmp_path / ".mlfeat-staging-result.txt.elsewhere.1.abc"
    foreign.write_text("half")
    files.write_json(tmp_path / "result.txt", {})
    assert foreign.exists()
    yesterday = time.time() - 25 * 3600
    os.utime(foreign, (yesterday, yesterday))
    files.write_json(tmp_path / "result.txt", {})
    assert not foreign.exists()


def test_a_directorys_digest_covers_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = files.digest_path(folder)
    (folder / "a").rename(folder / "b")
    renamed = files.digest_path(folder)
    (folder / "b").write_text("2")
    assert len({first, renamed, files.digest_path(folder)}) == 3
    assert files.size_of(folder) == 1


def test_canonical_json_does_not_depend_on_order() -> None:
    assert (
        files.canonical_json({"b": 1, "a": "é"}) == files.canonical_json({"a": "é", "b": 1}) == '{"a":"\\u00e9","b":1}'
    )
