"""Clients of both protocols and both kinds, against the real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.serving.triton.calls import READY
from airflow_provider_mlfeat.serving.triton.client import Access, AsyncTritonClient, TritonClient
from airflow_provider_mlfeat.serving.triton.configuration import Tuning, configure
from airflow_provider_mlfeat.serving.triton.failures import OverloadedError
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows
from airflow_provider_mlfeat.serving.triton.repository import ModelRepository
from airflow_provider_mlfeat.serving.triton.tensors import from_bytes, to_bytes, type_name
from tests.triton.conftest import Models

MODEL = "for_clients"


class Both:
    """A client of either kind, asked the same way."""

    def __init__(self, address: str, protocol: str, kind: str, timeout: float = 10) -> None:
        access = Access(protocol, timeout=timeout)
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        self.client: Any = (AsyncTritonClient if self.loop else TritonClient)(address, access)

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        called = getattr(self.client, method)(*arguments, **named)
        return self.loop.run_until_complete(called) if self.loop else called

    def close(self) -> None:
        self.ask("close")
        if self.loop:
            self.loop.close()


@pytest.fixture(scope="module")
def golden(server: LocalServer, models: Models) -> GoldenRows:
    """A model that is loaded, as its golden rows."""
    model = models(1)
    directory = ModelRepository(str(server.repository)).model(MODEL)
    directory.write_version(1, model, "python", {}, lambda: None)
    TritonClient(server.http_address).load(MODEL, configure(MODEL, model.inputs, model.outputs, (1,), Tuning()))
    return model.golden_rows()


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["waiting", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def both(server: LocalServer, golden: GoldenRows, protocol: str, kind: str) -> Iterator[Both]:
    client = Both(server.http_address if protocol == "http" else server.grpc_address, protocol, kind)
    yield client
    client.close()


def test_what_can_be_asked(both: Both, golden: GoldenRows) -> None:
    assert both.ask("is_live")
    assert both.ask("is_ready", MODEL)
    assert both.ask("is_ready", MODEL, 1)
    assert not both.ask("is_ready", MODEL, 2)
    (state,) = [entry for entry in both.ask("index") if entry.model == MODEL]
    assert (state.version, state.state) == (1, READY)
    before = both.ask("statistics", MODEL, 1)[0]
    answer = both.ask("infer", MODEL, golden.inputs, version=1, outputs=("OUTPUT_0",))["OUTPUT_0"]
    assert np.abs(answer.reshape(-1) - golden.outputs).max() <= 1e-5
    # The server counts a request after it has answered.
    until = time.monotonic() + 10
    while (after := both.ask("statistics", MODEL, 1)[0]).successes == before.successes and time.monotonic() < until:
        time.sleep(0.05)
    assert (after.successes - before.successes, after.rows - before.rows) == (1, len(golden))
    assert after.seconds > before.seconds
    configuration = both.ask("configuration", MODEL)
    assert (configuration["name"], configuration["backend"]) == (MODEL, "python")


def test_what_does_not_fit(both: Both, golden: GoldenRows) -> None:
    with pytest.raises(UserError, match=r"Triton at 127.0.0.1:\d+: .*unexpected shape for input 'INPUT_0'"):
        both.ask("infer", MODEL, {"INPUT_0": golden.inputs["INPUT_0"][:, :3]})
    with pytest.raises(UserError, match="INPUT_0"):
        both.ask("infer", MODEL, {"INPUT_0": golden.inputs["INPUT_0"].astype(np.float32)})
    with pytest.raises(UserError, match="other"):
        both.ask("infer", "other", golden.inputs)
    with pytest.raises(UserError, match="failed to load 'other'"):
        both.ask("load", "other", {"name": "other"})


def test_nobody_listens(protocol: str, kind: str) -> None:
    client = Both("127.0.0.1:9", protocol, kind, timeout=2)
    with pytest.raises(TransientError, match="Triton at 127.0.0.1:9 cannot be reached: .*(refused|failed)"):
        client.ask("is_live")
    client.close()


def test_a_full_queue_is_worth_a_retry(server: LocalServer, models: Models, protocol: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    model, name = models(1), f"narrow_{protocol}"
    ModelRepository(str(server.repository)).model(name).write_version(1, model, "python", {}, lambda: None)
    tuning = Tuning(queue_size=1, queue_delay_us=200_000)
    address = server.http_address if protocol == "http" else server.grpc_address
    client = TritonClient(address, Access(protocol))
    client.load(name, configure(name, model.inputs, model.outputs, (1,), tuning))
    golden = model.golden_rows()

    def ask(row: int) -> str:
        try:
            client.infer(name, golden.row(row))
        except OverloadedError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert any("is overloaded: " in answer for answer in answers)
    client.unload(name)
    client.close()


def test_a_ca_certificate_that_does_not_exist(protocol: str) -> None:
    client = TritonClient("127.0.0.1:9", Access(protocol, tls=True, ca_certificate="/no/ca.pem"))
    with pytest.raises(UserError, match="the CA certificate '/no/ca.pem' cannot be used: No such file"):
        client.is_live()


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(Access(headers=(("authorization", "Bearer hidden"),)))


def test_texts_keep_their_bytes() -> None:
    texts = np.array([["é", ""], ["a", "b" * 300]], dtype=object)
    assert type_name(texts) == "BYTES"
    back = from_bytes(to_bytes(texts), "BYTES", [2, 2])
    assert [[value.decode() for value in row] for row in back] == texts.tolist()
    with pytest.raises(UserError, match="a tensor of complex128 cannot be sent to Triton"):
        type_name(np.zeros(1, dtype=complex))
