"""``mlfeat triton`` from the outside: a server that comes up, takes a model, comes back with it, and goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.serving.triton.client import TritonClient
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from tests.triton.conftest import Models


@contextmanager
def up(repository: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "airflow_provider_mlfeat.jobs.command", "triton", "up"]
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    process = subprocess.Popen([*command, "--repository", repository, *ports], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a_server_with_a_model_comes_back(
    environment: TritonEnvironment, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "repository"

    def ask(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(["triton", *arguments, "--repository", str(repository), "--server", address]) == 0
        return json.loads(capsys.readouterr().out)

    with up(repository) as (_, told):
        address = told["http"]
        assert told["models"] == []
        assert ask("deploy", str(models(1).folder), "--name", "jd")["triton_version"] == 1
        assert ask("deploy", str(models(2).folder), "--name", "jd")["triton_version"] == 2
        assert ask("status")["jd"]["servers"] == {address: [1, 2]}
    with pytest.raises(ProcessLookupError):
        os.kill(told["pid"], 0)
    with up(repository) as (_, told):
        address = told["http"]
        assert told["models"] == ["jd"]
        status = ask("status")["jd"]
        assert (status["live"], status["previous"], status["servers"]) == (2, 1, {address: [1, 2]})
        # What a server forgets that somebody else starts again.
        TritonClient(address).unload("jd")
        assert ask("restore") == {"jd": 2}
        assert ask("status")["jd"]["servers"] == {address: [1, 2]}
        assert ask("rollback", "--name", "jd")["triton_version"] == 1
        assert ask("unload", "--name", "jd")["loaded"] == []


def test_a_server_that_dies_ends_the_command(environment: TritonEnvironment, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_mlfeat.jobs.command", "triton", "up", "--http-port", "0"]
    ports = ["--grpc-port", "0", "--metrics-port", "0", "--repository", str(tmp_path / "repository")]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    os.kill(json.loads(process.stdout.readline())["pid"], signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "mlfeat: Triton ended with code -9" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--environment", "/no/environment"], "no Triton server in /no/environment: 'make triton' installs one"),
        (["deploy", "/no/model", "--name", "jd"], "'/no/model' holds no model"),
        (["deploy", "/no/model", "--name", "jd", "--canary", "[]"], "--canary takes a JSON object, not []"),
        (["deploy", "/no/model", "--name", "jd", "--tuning", "{"], "--tuning is no JSON"),
        (["rollback", "--name", "jd"], "'jd' was never deployed"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert main(["triton", *arguments, "--repository", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert time.monotonic() - began < 20
