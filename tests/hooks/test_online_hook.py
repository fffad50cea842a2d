"""The online store: settings, a real Redis, and real folders."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks.endpoints import Endpoint
from airflow_provider_mlfeat.hooks.online import OnlineStoreHook

Connect = Callable[..., str]
RedisServer = Callable[..., AbstractContextManager[int]]


def redis_hook(connect: Connect, port: int, **extra: Any) -> OnlineStoreHook:
    return OnlineStoreHook(connect("mlfeat_online", extra={"backend": "redis", **extra}, host="127.0.0.1", port=port))


def test_redis_settings_are_the_same_in_all_forms(connect: Connect, form: str, secret: str) -> None:
    extra = {
        "backend": "redis", "database": 3, "tls": True, "ca_certificate": "/etc/ca.pem", "cluster": False,
        "key_prefix": "ads", "timeout": 0.5,
    }  # fmt: skip
    hook = OnlineStoreHook(connect("mlfeat_online", form, extra, host="redis", port=6380, login="ann", password=secret))
    settings = hook.settings
    assert (settings.backend, settings.endpoint, settings.database) == ("redis", Endpoint("redis", 6380), 3)
    assert (settings.tls, settings.cluster, settings.ca_certificate) == (True, False, "/etc/ca.pem")
    assert (settings.key_prefix, settings.timeout) == ("ads", 0.5)
    assert (settings.login, settings.password) == ("ann", secret)
    assert hook.settings is settings


def test_an_empty_connection_is_the_embedded_store(connect: Connect, form: str, state: Path) -> None:
    hook = OnlineStoreHook(connect("mlfeat_online", form))
    assert (hook.settings.backend, hook.settings.path, hook.settings.endpoint) == ("embedded", state / "online", None)
    assert hook.test_connection() == (True, f"the embedded store can be written to {state}/online")
    assert list((state / "online").iterdir()) == []
    with pytest.raises(UserError, match="names the embedded store, which has no Redis client"):
        hook.get_conn()


def test_a_folder_of_ones_own(connect: Connect, form: str, tmp_path: Path) -> None:
    hook = OnlineStoreHook(connect("mlfeat_online", form, {"path": str(tmp_path / "here")}))
    assert hook.settings.path == tmp_path / "here"


@pytest.mark.parametrize(
    ("host", "extra", "sentence"),
    [
        ("redis", {}, "a host is set, but the backend is 'embedded'; set the field 'backend' to 'redis'"),
        ("", {"backend": "redis"}, "the host of Redis is empty"),
        ("a,b", {"backend": "redis"}, "'a,b' is not the name of one host"),
        ("redis", {"backend": "redis", "cluster": True, "database": 2}, "a Redis Cluster has only database 0, not 2"),
    ],
)
def test_mistakes(connect: Connect, host: str, extra: dict[str, Any], sentence: str) -> None:
    hook = OnlineStoreHook(connect("mlfeat_online", host=host, extra=extra))
    assert hook.test_connection() == (False, f"connection 'mlfeat_online_under_test': {sentence}")


def test_a_folder_below_a_file(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    hook = OnlineStoreHook(connect("mlfeat_online", extra={"path": str(tmp_path / "file" / "store")}))
    expected = f"the folder '{tmp_path}/file/store' cannot be made: Not a directory"
    assert hook.test_connection() == (False, expected)


def test_a_read_only_folder(connect: Connect, tmp_path: Path) -> None:
    folder = Path("/proc/self") if os.geteuid() == 0 else tmp_path / "read_only"
    if os.geteuid() != 0:
        folder.mkdir(mode=0o500)
    works, message = OnlineStoreHook(connect("mlfeat_online", extra={"path": str(folder)})).test_connection()
    assert not works
    assert message.startswith(f"the folder '{folder}' cannot be written to: ")


def test_a_real_redis(connect: Connect, form: str, redis_port: int, secret: str) -> None:
    extra = {"backend": "redis", "database": 2}
    hook = OnlineStoreHook(connect("mlfeat_online", form, extra, host="127.0.0.1", port=redis_port, password=secret))
    works, message = hook.test_connection()
    assert works, message
    assert message.startswith("Redis ")
    assert message.endswith(f" at 127.0.0.1:{redis_port} opens database 2")
    with hook.get_conn() as client:
        client.set("mlfeat:test", "kept")
        assert client.get("mlfeat:test") == b"kept"
        assert client.connection_pool.connection_kwargs["db"] == 2


@pytest.mark.parametrize(("login", "password"), [("", ""), ("", "wrong"), ("nobody", "wrong")])
def test_refused_credentials(connect: Connect, redis_port: int, login: str, password: str) -> None:
    standard = {"host": "127.0.0.1", "port": redis_port, "login": login, "password": password}
    works, message = OnlineStoreHook(connect("mlfeat_online", extra={"backend": "redis"}, **standard)).test_connection()
    assert not works
    assert message.startswith(f"127.0.0.1:{redis_port} refuses these credentials: ")


def test_secrets_stay_secret(
    connect: Connect, form: str, secret: str, redis_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    standard = {"host": "127.0.0.1", "port": redis_port, "login": "nobody", "password": secret}
    hook = OnlineStoreHook(connect("mlfeat_online", form, {"backend": "redis"}, **standard))
    works, message = hook.test_connection()
    assert not works
    for text in (repr(hook.settings), str(hook.settings), message, caplog.text):
        assert secret not in text


def test_a_database_that_does_not_exist(connect: Connect, redis_server: RedisServer) -> None:
    with redis_server("--databases", "2") as port:
        assert redis_hook(connect, port, database=1).test_connection()[0]
        works, message = redis_hook(connect, port, database=2).test_connection()
    assert (works, message) == (False, f"127.0.0.1:{port} refuses: DB index is out of range")


def test_a_redis_that_drops_keys_works_with_a_warning(connect: Connect, redis_server: RedisServer) -> None:
    with redis_server("--maxmemory-policy", "allkeys-lru") as port:
        works, message = redis_hook(connect, port).test_connection()
    assert works
    assert message.endswith("; its maxmemory-policy allkeys-lru may drop feature history")


def test_a_replica(connect: Connect, redis_server: RedisServer, closed_port: int) -> None:
    with redis_server("--replicaof", "127.0.0.1", str(closed_port)) as port:
        works, message = redis_hook(connect, port).test_connection()
    expected = f"127.0.0.1:{port} is a read-only replica of 127.0.0.1: use its primary"
    assert (works, message) == (False, expected)


def test_a_cluster(connect: Connect, redis_server: RedisServer, closed_port: int) -> None:
    # Redis would take its port + 10,000 for the cluster's bus, which may lie beyond the last port there is.
    with redis_server("--cluster-enabled", "yes", "--cluster-port", str(closed_port)) as port:
        works, message = redis_hook(connect, port).test_connection()
        assert (works, message) == (False, f"127.0.0.1:{port} is a node of a Redis Cluster: set the field 'cluster'")
        works, message = redis_hook(connect, port, cluster=True).test_connection()
        assert not works
        assert message.startswith(f"127.0.0.1:{port} is not a node of a usable Redis Cluster: ")
        import redis

        deadline = time.monotonic() + 20
        with redis.Redis(port=port) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while node.cluster("info")["cluster_state"] != "ok" and time.monotonic() < deadline:
                time.sleep(0.1)
        works, message = redis_hook(connect, port, cluster=True).test_connection()
        assert works, message
        assert message.endswith(f" at 127.0.0.1:{port} opens the cluster")


def test_cluster_asked_of_a_single_redis(connect: Connect, redis_server: RedisServer) -> None:
    with redis_server() as port:
        works, message = redis_hook(connect, port, cluster=True).test_connection()
    assert not works
    assert message.startswith(f"127.0.0.1:{port} is not a node of a usable Redis Cluster: ")


def test_tls_to_a_redis_without_it(connect: Connect, redis_server: RedisServer) -> None:
    with redis_server() as port:
        works, message = redis_hook(connect, port, tls=True).test_connection()
    assert (works, message) == (False, f"127.0.0.1:{port} listens, but does not answer: check the port and TLS")


def test_another_service(connect: Connect, answer: Callable[[bytes], int]) -> None:
    pytest.importorskip("redis", reason="the redis extra is not installed")
    port = answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    works, message = redis_hook(connect, port).test_connection()
    assert not works
    assert message.startswith(f"127.0.0.1:{port} does not speak Redis: check the port and TLS")


def test_nothing_listens(connect: Connect, closed_port: int) -> None:
    assert redis_hook(connect, closed_port).test_connection() == (False, f"nothing listens at 127.0.0.1:{closed_port}")


def test_without_its_extra(connect: Connect, absent: Callable[[str], None]) -> None:
    absent("redis")
    works, message = redis_hook(connect, 1).test_connection()
    assert not works
    assert message.endswith("pip install 'airflow-provider-mlfeat[redis]'")
