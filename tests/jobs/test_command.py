from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_mlfeat.jobs.command import main


def write_spec(tmp_path: Path, **fields: object) -> str:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"kind": "test_steps", "output": str(tmp_path / "out"), **fields}))
    return str(path)


def test_run_prints_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write_spec(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3


def test_run_writes_the_result(tmp_path: Path) -> None:
    assert main(["run", write_spec(tmp_path), "--result", str(tmp_path / "result.json")]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["kind"] == "test_steps"


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"fail": "user"}, 2, "mlfeat: column 'age' does not exist; did you mean 'ages'?\n"),
        ({"fail": "transient"}, 75, "mlfeat: the server is away\n"),
        (
            {"steps": None},
            2,
            "mlfeat: spec of job 'test_steps': field 'steps': Input should be a valid integer, got None\n",
        ),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, object], code: int, message: str
) -> None:
    assert main(["run", write_spec(tmp_path, **fields)]) == code
    assert capsys.readouterr().err.splitlines(keepends=True)[-1] == message
    assert not (tmp_path / "out").exists()


def test_our_own_mistakes_keep_their_stack_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write_spec(tmp_path, fail="bug")]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("{", ":1:2: no JSON: "), ("[1]", "a job spec is a JSON object with a 'kind'")],
)
def test_a_spec_file_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    path = tmp_path / "spec.json"
    if text is not None:
        path.write_text(text)
    assert main(["run", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_jobs_lists_kinds_and_shows_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs"]) == 0
    assert re.search(r"test_steps +Count steps slowly\.", capsys.readouterr().out)
    assert main(["jobs", "test_steps"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["steps"]["type"] == "integer"


def test_version_names_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("airflow-provider-mlfeat 0.1.0\ncode 0.1.0+")


def test_interrupting_the_command_stops_the_job(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_mlfeat.jobs.command", "run"]
    process = subprocess.Popen([*command, write_spec(tmp_path, steps=1000, pause=0.05)], stderr=subprocess.PIPE)
    while not (tmp_path / "out.starts").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert process.stderr is not None
    assert process.stderr.read().endswith(b"mlfeat: the job was cancelled\n")
    process.stderr.close()
    assert not (tmp_path / "out").exists()


def test_a_terminal_sees_a_bar(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "airflow_provider_mlfeat.jobs.command", "run", write_spec(tmp_path)]
    subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, check=True, timeout=30)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert "████████████████████████ count 3/3 steps (100%)" in text
