"""A server behind TLS whose control endpoints want a key: reached with what the connection holds, and not without."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.hooks.triton import TritonHook
from airflow_provider_mlfeat.operators.triton import DeployTritonModelOperator, UnloadTritonModelOperator
from airflow_provider_mlfeat.serving.triton.client import Access, TritonClient
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from tests.triton.conftest import Models
from tests.triton.test_operators import Store

# Triton puts this before the names of keys over gRPC, and nothing over HTTP.
GRPC_KEY, HTTP_KEY = (("triton-grpc-protocol-key", "hidden"),), (("key", "hidden"),)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``server.pem`` and ``server.key`` of this machine, signed by themselves."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the certificates")
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def guarded(
    environment: TritonEnvironment, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    restricted = "model-repository,model-config:key=hidden"
    options = (
        "--grpc-use-ssl=true",
        f"--grpc-server-cert={certificates / 'server.pem'}",
        f"--grpc-server-key={certificates / 'server.key'}",
        f"--grpc-restricted-protocol={restricted}",
        f"--http-restricted-api={restricted}",
    )
    with LocalServer(
        tmp_path_factory.mktemp("guarded") / "repository", environment=environment, options=options
    ) as running:
        yield running


@pytest.fixture
def https(guarded: LocalServer, certificates: Path) -> Iterator[str]:
    """The address of a proxy that ends TLS before the server's HTTP, which speaks none itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                try:
                    near = context.wrap_socket(plain, server_side=True)
                except OSError:
                    continue
                far = socket.create_connection((guarded.host, guarded.http_port))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def connection(monkeypatch: pytest.MonkeyPatch, guarded: LocalServer, port: int, **extra: Any) -> None:
    made = Connection(
        conn_id="guarded", conn_type="mlfeat_triton", host="127.0.0.1", port=port,
        extra=json.dumps({"model_repository": str(guarded.repository), "tls": True, **extra}),
    )  # fmt: skip
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod(lambda _: made))


def context() -> Any:
    instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, xcom_push=lambda key, value: None)
    return {"ti": instance, "task_state_store": Store(), "outlet_events": {}}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_operators_take_tls_and_headers_from_the_connection(
    monkeypatch: pytest.MonkeyPatch,
    guarded: LocalServer,
    certificates: Path,
    https: str,
    models: Models,
    protocol: str,
) -> None:
    headers = dict(GRPC_KEY if protocol == "grpc" else HTTP_KEY)
    port = guarded.grpc_port if protocol == "grpc" else int(https.rpartition(":")[2])
    place = {"protocol": protocol, "ca_certificate": str(certificates / "server.pem")}
    here = {"task_id": "t", "triton_model": f"jd_{protocol}", "triton_conn_id": "guarded", "runtime": "in_process"}
    model = str(models(1).folder)
    connection(monkeypatch, guarded, port, **place, headers=headers)
    works, message = TritonHook("guarded").test_connection()
    assert works, message
    done = DeployTritonModelOperator(model=model, **here).execute(context())
    assert (done["triton_version"], "hidden" in json.dumps(done)) == (1, False)
    UnloadTritonModelOperator(**here).execute(context())
    connection(monkeypatch, guarded, port, **place)
    with pytest.raises(AirflowFailException, match="refuses these credentials|restricted"):
        DeployTritonModelOperator(model=model, **here).execute(context())


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_is_not_trusted_or_not_asked_in_tls(
    guarded: LocalServer, certificates: Path, https: str, protocol: str
) -> None:
    address = guarded.grpc_address if protocol == "grpc" else https
    ours = str(certificates / "server.pem")
    for access in (Access(protocol, tls=True, timeout=5), Access(protocol, timeout=5)):
        client = TritonClient(address, access)
        with pytest.raises((TransientError, UserError), match=f"Triton at {address}"):
            client.is_live()
        client.close()
    client = TritonClient(address, Access(protocol, tls=True, ca_certificate=ours))
    assert client.is_live()
    client.close()


def test_asking_needs_no_key(guarded: LocalServer, certificates: Path, models: Models) -> None:
    """The key is for what changes the server; predictions are open to whoever is let through."""
    ours = str(certificates / "server.pem")
    owner = TritonClient(guarded.grpc_address, Access("grpc", tls=True, ca_certificate=ours, headers=GRPC_KEY))
    anybody = TritonClient(guarded.grpc_address, Access("grpc", tls=True, ca_certificate=ours))
    from airflow_provider_mlfeat.serving.triton.configuration import Tuning, configure
    from airflow_provider_mlfeat.serving.triton.repository import ModelRepository

    model = models(1)
    ModelRepository(str(guarded.repository)).model("open").write_version(1, model, "python", {}, lambda: None)
    configuration = configure("open", model.inputs, model.outputs, (1,), Tuning())
    with pytest.raises(UserError, match="refuses these credentials"):
        anybody.load("open", configuration)
    owner.load("open", configuration)
    golden = model.golden_rows()
    assert np.abs(anybody.infer("open", golden.inputs)["OUTPUT_0"].reshape(-1) - golden.outputs).max() < 1e-5
    owner.unload("open")
    owner.close()
    anybody.close()
