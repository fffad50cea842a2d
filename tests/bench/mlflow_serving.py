"""`mlflow models serve` as a rival: the command, its start, and requests in its fastest JSON form."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.http_load import body_of, post


@dataclass(frozen=True)
class MLflowServer:
    """A running server.

    :param address: host and port.
    :param process_id: of the command; its workers are below it.
    """

    address: tuple[str, int]
    process_id: int


def save(onnx_file: Path, folder: Path) -> None:
    """Save an ONNX model as MLflow's ONNX flavor.

    :param onnx_file: the model.
    :param folder: the folder to make.
    """
    import mlflow
    import onnx

    mlflow.onnx.save_model(onnx.load(onnx_file), str(folder))


def request(ids: Any) -> bytes:
    """A request for the rows of one tensor: `inputs` with lists is what the server reads fastest.

    :param ids: the rows.
    """
    body = json.dumps({"inputs": {"INPUT_0": ids.tolist()}}, separators=(",", ":")).encode()
    return post("/invocations", {"Content-Type": "application/json"}, body)


def scores(answer: bytes) -> Any:
    """The scores of an answer.

    :param answer: all of it.
    """
    predictions = json.loads(body_of(answer)[1])["predictions"]
    return np.asarray(predictions["OUTPUT_0"] if isinstance(predictions, dict) else predictions).reshape(-1)


@contextlib.contextmanager
def serving(model: Path, options: Sequence[str], variables: Mapping[str, str], log: Path) -> Iterator[MLflowServer]:
    """The command, until the block ends.

    :param model: the saved model.
    :param options: of the command, such as ``--workers 2``; none is how it starts by default.
    :param variables: of its environment, beside this one's.
    :param log: file for its output.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--env-manager", "local", *options],
            stdout=output, stderr=output, start_new_session=True, env={**os.environ, **variables, "PATH": path},
        )  # fmt: skip
        try:
            _wait(server, port, log)
            yield MLflowServer(("127.0.0.1", port), server.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, 15)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import httpx

    deadline = time.monotonic() + 120
    with httpx.Client(timeout=30, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if client.get(f"http://127.0.0.1:{port}/ping").status_code == 200:
                    return
            if time.monotonic() > deadline or server.poll() is not None:
                raise SystemExit("mlflow models serve did not start: " + log.read_text()[-2000:])
            time.sleep(0.2)
