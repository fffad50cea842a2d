"""Triton: settings, and the failures that a test of the connection tells apart.

No Triton runs here: what answers are sockets of the test, so that these are tests of the protocol, not of Triton.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks.endpoints import Endpoint
from airflow_provider_mlfeat.hooks.triton import TritonHook

Connect = Callable[..., str]
Reply = Callable[..., bytes]


class ProtocolAnswers(BaseHTTPRequestHandler):
    """The three addresses of the inference protocol that a test of the connection reads. Not a Triton."""

    server: ProtocolServer

    def do_GET(self) -> None:
        self.server.requests.append(
            {"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}
        )
        status, body = self.server.answers.get(self.path, (404, ""))
        if self.server.token and self.headers.get("authorization") != f"Bearer {self.server.token}":
            status, body = 401, "no token"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class ProtocolServer(ThreadingHTTPServer):
    """Answers like the health and metadata part of the inference protocol."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProtocolAnswers)
        metadata = json.dumps({"name": "triton", "version": "2.51.0", "extensions": []})
        self.answers = {"/v2": (200, metadata), "/v2/health/live": (200, ""), "/v2/health/ready": (200, "")}
        self.token = ""
        self.requests: list[dict[str, str]] = []


@pytest.fixture
def protocol() -> Iterator[ProtocolServer]:
    server = ProtocolServer()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_settings_are_the_same_in_all_forms(connect: Connect, form: str, secret: str) -> None:
    extra = {
        "protocol": "grpc", "replicas": "triton-2:9001,triton-3", "tls": True, "ca_certificate": "/etc/ca.pem",
        "headers": {"X-Team": "ads"}, "model_repository": "/models", "timeout": 2.5,
    }  # fmt: skip
    hook = TritonHook(connect("mlfeat_triton", form, extra, host="triton-1", port=9001, password=secret))
    settings = hook.settings
    assert settings.endpoints == (Endpoint("triton-1", 9001), Endpoint("triton-2", 9001), Endpoint("triton-3", 8001))
    assert (settings.protocol, settings.tls, settings.ca_certificate) == ("grpc", True, "/etc/ca.pem")
    assert (settings.model_repository, settings.timeout) == ("/models", 2.5)
    assert dict(settings.headers) == {"X-Team": "ads", "authorization": f"Bearer {secret}"}
    assert hook.settings is settings


def test_settings_of_a_bare_host(connect: Connect, form: str) -> None:
    settings = TritonHook(connect("mlfeat_triton", form, host="triton")).settings
    assert settings.endpoints == (Endpoint("triton", 8000),)
    assert (settings.protocol, settings.tls, settings.timeout, settings.headers) == ("http", False, 30.0, ())


def test_https_in_the_host_means_tls(connect: Connect) -> None:
    settings = TritonHook(connect("mlfeat_triton", host="https://triton/", port=443)).settings
    assert (settings.endpoints, settings.tls) == ((Endpoint("triton", 443),), True)


def test_replicas_alone_are_enough(connect: Connect) -> None:
    settings = TritonHook(connect("mlfeat_triton", extra={"replicas": "a,b:1,a"})).settings
    assert settings.endpoints == (Endpoint("a", 8000), Endpoint("b", 1))


@pytest.mark.parametrize(
    ("host", "extra", "sentence"),
    [
        ("", {}, "the host is empty"),
        ("grpc://triton", {}, "the host must not start with 'grpc://'; the protocol is a field of its own"),
        ("triton:x", {}, "'triton:x' is not host:port"),
        ("triton", {"replicas": "b:0"}, "'b:0' is not host:port"),
    ],
)
def test_mistakes(connect: Connect, host: str, extra: dict[str, Any], sentence: str) -> None:
    hook = TritonHook(connect("mlfeat_triton", host=host, extra=extra))
    with pytest.raises(UserError) as caught:
        _ = hook.settings
    assert str(caught.value) == f"connection 'mlfeat_triton_under_test': {sentence}"
    assert hook.test_connection() == (False, str(caught.value))


def test_secrets_stay_secret(
    connect: Connect, form: str, secret: str, caplog: pytest.LogCaptureFixture, closed_port: int
) -> None:
    caplog.set_level(logging.DEBUG)
    extra = {"headers": {"X-Key": "another-secret-key"}}
    hook = TritonHook(connect("mlfeat_triton", form, extra, host="127.0.0.1", port=closed_port, password=secret))
    _, message = hook.test_connection()
    for text in (repr(hook.settings), str(hook.settings), message, caplog.text):
        assert secret not in text
        assert "another-secret-key" not in text


def test_a_server_that_is_ready(connect: Connect, protocol: ProtocolServer, secret: str) -> None:
    protocol.token = secret
    port = protocol.server_port
    extra = {"headers": {"X-Team": "ads"}}
    hook = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=port, password=secret, extra=extra))
    assert hook.test_connection() == (True, f"triton 2.51.0 at 127.0.0.1:{port} is ready")
    assert {request["path"] for request in protocol.requests} == set(protocol.answers)
    assert all(request["x-team"] == "ads" for request in protocol.requests)


def test_a_server_that_is_live_but_not_ready_can_be_used(connect: Connect, protocol: ProtocolServer) -> None:
    protocol.answers["/v2/health/ready"] = (400, "")
    works, message = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=protocol.server_port)).test_connection()
    assert works
    assert "is live, but not ready" in message


def test_a_server_that_is_not_live(connect: Connect, protocol: ProtocolServer) -> None:
    protocol.answers["/v2/health/live"] = (400, "")
    works, message = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=protocol.server_port)).test_connection()
    assert (works, message) == (False, f"triton 2.51.0 at 127.0.0.1:{protocol.server_port} is not live")


def test_a_wrong_token(connect: Connect, protocol: ProtocolServer, secret: str) -> None:
    protocol.token = secret
    port = protocol.server_port
    hook = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=port, password="wrong"))
    expected = f"127.0.0.1:{port} refuses these credentials (HTTP 401): no token"
    assert hook.test_connection() == (False, expected)


def test_one_replica_that_is_away_fails_the_test(connect: Connect, protocol: ProtocolServer, closed_port: int) -> None:
    extra = {"replicas": f"127.0.0.1:{closed_port}"}
    hook = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=protocol.server_port, extra=extra))
    assert hook.test_connection() == (False, f"nothing listens at 127.0.0.1:{closed_port}")


@pytest.mark.parametrize("protocol_name", ["http", "grpc"])
def test_nothing_listens(connect: Connect, closed_port: int, protocol_name: str) -> None:
    hook = TritonHook(connect("mlfeat_triton", extra={"protocol": protocol_name}, host="127.0.0.1", port=closed_port))
    assert hook.test_connection() == (False, f"nothing listens at 127.0.0.1:{closed_port}")


@pytest.mark.parametrize("body", ["hello", "[]", "{}", '{"name": "other"}'])
def test_another_http_service(connect: Connect, answer: Callable[[bytes], int], http_reply: Reply, body: str) -> None:
    port = answer(http_reply(body))
    hook = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=port))
    assert hook.test_connection() == (False, f"127.0.0.1:{port} speaks HTTP but is not a Triton server")


def test_a_redirect(connect: Connect, answer: Callable[[bytes], int], http_reply: Reply) -> None:
    port = answer(http_reply("", "302 Found", headers="location: https://triton.example/v2\r\n"))
    hook = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=port))
    expected = f"127.0.0.1:{port} points to https://triton.example/v2: use that address"
    assert hook.test_connection() == (False, expected)


def test_http_where_grpc_is_spoken(connect: Connect, answer: Callable[[bytes], int]) -> None:
    port = answer(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64")
    works, message = TritonHook(connect("mlfeat_triton", host="127.0.0.1", port=port)).test_connection()
    expected = f"127.0.0.1:{port} does not speak http: check the port, the protocol and TLS"
    assert (works, message) == (False, expected)


def test_tls_where_none_is_spoken(connect: Connect, answer: Callable[[bytes], int], http_reply: Reply) -> None:
    port = answer(http_reply("", "400 Bad Request"))
    works, message = TritonHook(
        connect("mlfeat_triton", extra={"tls": True}, host="127.0.0.1", port=port)
    ).test_connection()
    assert (works, message) == (False, f"127.0.0.1:{port} does not speak TLS: check the port and the TLS setting")


def test_grpc_where_http_is_spoken(connect: Connect, protocol: ProtocolServer) -> None:
    pytest.importorskip("tritonclient.grpc", reason="the triton extra is not installed")
    port = protocol.server_port
    hook = TritonHook(connect("mlfeat_triton", extra={"protocol": "grpc"}, host="127.0.0.1", port=port))
    works, message = hook.test_connection()
    assert not works
    assert message.startswith(f"127.0.0.1:{port} listens, but does not speak gRPC")


def test_grpc_of_another_service(connect: Connect) -> None:
    pytest.importorskip("tritonclient.grpc", reason="the triton extra is not installed")
    grpc = pytest.importorskip("grpc")
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        hook = TritonHook(connect("mlfeat_triton", extra={"protocol": "grpc"}, host="127.0.0.1", port=port))
        assert hook.test_connection() == (False, f"127.0.0.1:{port} speaks gRPC but is not a Triton server")
    finally:
        server.stop(None)


def test_grpc_without_its_extra(connect: Connect, absent: Callable[[str], None]) -> None:
    absent("tritonclient")
    works, message = TritonHook(
        connect("mlfeat_triton", extra={"protocol": "grpc"}, host="127.0.0.1")
    ).test_connection()
    assert not works
    assert message.startswith("Triton over gRPC needs the 'triton' extra")
    assert message.endswith("pip install 'airflow-provider-mlfeat[triton]'")


def test_a_ca_certificate_that_does_not_exist(connect: Connect, protocol: ProtocolServer) -> None:
    extra = {"tls": True, "ca_certificate": "/no/ca.pem"}
    hook = TritonHook(connect("mlfeat_triton", extra=extra, host="127.0.0.1", port=protocol.server_port))
    expected = "the CA certificate '/no/ca.pem' cannot be used: No such file or directory"
    assert hook.test_connection() == (False, expected)


def test_a_model_repository_that_only_the_workers_see(
    connect: Connect, protocol: ProtocolServer, tmp_path: Path
) -> None:
    port = protocol.server_port
    for folder, ending in ((tmp_path, "is ready"), (tmp_path / "away", "does not exist on this machine")):
        extra = {"model_repository": str(folder)}
        works, message = TritonHook(
            connect("mlfeat_triton", extra=extra, host="127.0.0.1", port=port)
        ).test_connection()
        assert works
        assert message.endswith(ending)
