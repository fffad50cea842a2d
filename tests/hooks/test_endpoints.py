"""Endpoints as users write them."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.hooks.endpoints import Endpoint, parse_endpoints, require_listener


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("a", [Endpoint("a", 80)]),
        ("a:1, b ,c:3,", [Endpoint("a", 1), Endpoint("b", 80), Endpoint("c", 3)]),
        ("10.0.0.1:8000", [Endpoint("10.0.0.1", 8000)]),
        ("[::1]:9,[fe80::2],::3", [Endpoint("::1", 9), Endpoint("fe80::2", 80), Endpoint("::3", 80)]),
        ("", []),
    ],
)
def test_parse(text: str, endpoints: list[Endpoint]) -> None:
    parsed = parse_endpoints(text, 80)
    assert list(parsed) == endpoints
    assert parse_endpoints(",".join(map(str, parsed)), 1) == parsed


@pytest.mark.parametrize("text", ["a:b", "a:0", "a:65536", ":80", "a b", "http://a", "u@a:1", "[::1", "[::1]8", "a:²"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not host:port"):
        parse_endpoints(text, 80)


def test_nothing_listens(closed_port: int) -> None:
    with pytest.raises(TransientError, match=f"^nothing listens at 127.0.0.1:{closed_port}$"):
        require_listener(Endpoint("127.0.0.1", closed_port))


def test_an_unknown_host() -> None:
    with pytest.raises(TransientError, match=r"the host name 'no-such-host\.invalid' is not known here"):
        require_listener(Endpoint("no-such-host.invalid", 80))
