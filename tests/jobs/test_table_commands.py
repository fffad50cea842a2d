"""``mlfeat load``, ``mlfeat tables`` and ``mlfeat script``."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_mlfeat.jobs.command import main


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """The command takes over signals and logging, as it may in a process of its own."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = list(logging.getLogger().handlers)
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables with one load, made by a script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFEAT_TABLES", str(tmp_path / "tables"))
    Path("t.csv").write_text("id;name\n1;a\n2;b\n")
    Path("make.sql").write_text(
        "CREATE TABLE t (id int, name string);\n"
        "LOAD DATA INFILE '/data/t.csv' INTO TABLE t OPTIONS (mode='append', delimiter=';');\n"
    )
    assert main(["script", "make.sql", "--path-map", f"/data={tmp_path}", "--database", "d"]) == 0
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_a_script_twice(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(said(capsys, "script", "make.sql", "--path-map", f"/data={root}", "--database", "d"))
    assert result["tables"] == {"d.t": 1}
    assert main(["script", "make.sql", "--path-map", "nowhere"]) == 2
    assert "--path-map takes THERE=HERE, not 'nowhere'" in capsys.readouterr().err


def test_load_and_versions(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "t.csv", "--into", "d.t", "--option", "delimiter=;"]) == 2
    assert "t" in capsys.readouterr().err
    options = ("--option", "delimiter=;", "--mode", "append", "--load-id", "mine")
    for already in (False, True):
        result = json.loads(said(capsys, "load", "t.csv", "--into", "d.t", *options))
        assert (result["rows"], result["already_loaded"]) == (4, already)
    listed = said(capsys, "tables", "list").splitlines()
    assert listed[2].split()[:3] == ["d.t", "2", "4"]
    versions = said(capsys, "tables", "versions", "d.t")
    assert "2 rows loaded, load mine" in versions
    assert len(versions.splitlines()) == 5


def test_unknown_options_of_a_load(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "t.csv", "--into", "d.t", "--option", "delimeter=;"]) == 2
    assert "unknown option of LOAD DATA 'delimeter'" in capsys.readouterr().err


def test_show_restore_vacuum_drop(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "tables", "show", "d.t", "--rows", "1")
    assert "name   string" in shown
    assert "version 1 of" in shown
    assert shown.splitlines()[-1].split() == ["1", "a"]
    assert "2 rows" not in said(capsys, "tables", "show", "d.t", "--version", "0")
    assert "is at version 2 with the 0 rows of version 0" in said(capsys, "tables", "restore", "d.t", "0")
    assert "files would be deleted" in said(capsys, "tables", "vacuum", "d.t", "--dry-run")
    assert main(["tables", "drop", "d.t"]) == 2
    assert "say so with --yes" in capsys.readouterr().err
    assert "dropped" in said(capsys, "tables", "drop", "d.t", "--yes")
    assert "no tables in" in said(capsys, "tables", "list")
    assert main(["tables", "show", "d.t"]) == 2
    assert "there is no table 't'" in capsys.readouterr().err
