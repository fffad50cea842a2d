"""What only a store in Redis does: clusters, servers that are away or full, refusals."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.online.redis import store as redis_store
from airflow_provider_mlfeat.online.redis import writer
from airflow_provider_mlfeat.online.redis.client import open_client
from airflow_provider_mlfeat.online.redis.store import RedisStore
from tests.hooks.conftest import SECRET, free_port, process
from tests.online import shop, test_long_windows, test_stores


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreAddress]:
    """A cluster of two nodes."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    with ExitStack() as stack:
        nodes = []
        for slots in ((0, 8191), (8192, 16383)):
            port, bus, folder = free_port(), free_port(), tmp_path_factory.mktemp("node")
            command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
            command += ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
            stack.enter_context(process(command, port, folder / "server.log", 15))
            node = open_client(StoreAddress(host="127.0.0.1", port=port))
            stack.callback(node.close)
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
            nodes.append((node, port, bus))
        nodes[0][0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1][1], nodes[1][2])
        deadline = time.monotonic() + 30
        while any(node.execute_command("CLUSTER", "INFO").find(b"cluster_state:ok") < 0 for node, _, _ in nodes):
            assert time.monotonic() < deadline, "the cluster does not come up"
            time.sleep(0.1)
        yield StoreAddress(host="127.0.0.1", port=nodes[0][1], cluster=True)


@pytest.mark.parametrize(
    "check",
    [
        test_stores.test_deploying_fills_series_from_rows_that_are_there,
        test_stores.test_live_puts_keep_only_what_requests_to_come_can_see,
        test_stores.test_last_join_by_time_keeps_the_best_row,
        test_stores.test_a_query_that_reads_a_whole_table,
        test_stores.test_a_load_is_done_once_and_goes_on,
        test_stores.test_events_count_once,
        test_stores.test_tables,
        test_long_windows.test_rows_that_were_there_are_filled_in,
        test_long_windows.test_a_deployment_that_goes_takes_its_buckets_along,
    ],
)
def test_a_cluster(cluster: StoreAddress, check: object) -> None:
    with open_store(StoreAddress(host="127.0.0.1", port=cluster.port, cluster=True, key_prefix=uuid4().hex)) as store:
        check(store)  # type: ignore[operator]


def test_nobody_listens() -> None:
    port = free_port()
    with open_store(StoreAddress(host="127.0.0.1", port=port, timeout=0.5)) as store:
        with pytest.raises(TransientError, match=f"Redis at 127.0.0.1:{port} is away"):
            store.tables()


def test_passwords(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", SECRET]
    with process([*command, "--dir", str(tmp_path)], port, tmp_path / "server.log", 15):
        for password in ("wrong", ""):
            with open_store(StoreAddress(host="127.0.0.1", port=port, password=password)) as store:
                with pytest.raises(UserError, match="refuses these credentials"):
                    store.tables()
        address = StoreAddress(host="127.0.0.1", port=port, password=SECRET)
        assert SECRET not in repr(address) + str(address)
        with open_store(address) as store:
            assert store.tables() == {}


def test_redis_goes_away_under_a_service(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    port, folder = free_port(), tmp_path
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
    command += ["--dir", str(folder)]
    address = StoreAddress(host="127.0.0.1", port=port, timeout=1.0)
    with open_store(address) as store:
        with process(command, port, folder / "server.log", 15):
            shop.create(store)
            shop.deployed(store, "sums", shop.SUMS)
            shop.put(store, "purchase", ("ann", 19_000, 2.5, "hat"))
            service = FeatureService(store)
            expected = service.features("sums", ("ann", 20_000, 1))
        with pytest.raises(TransientError, match="is away"):
            service.features("sums", ("ann", 20_000, 1))
        with process(command, port, folder / "server.log", 15):
            assert service.features("sums", ("ann", 20_000, 1)) == expected


def test_a_full_redis_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with process([*command, "--maxmemory", "4mb"], port, tmp_path / "server.log", 15):
        with open_store(StoreAddress(host="127.0.0.1", port=port)) as store:
            shop.create(store)
            rows, put = [("ann", 1_000, 1.0, "x" * 1_000)] * 200, 0
            with pytest.raises(TransientError, match="Redis at .* (is full|cannot write now)"):
                while True:
                    put += shop.put(store, "purchase", *rows)
            held = store.size().tables["purchase"]["all rows"]
            assert put <= held < put + 200


def test_a_change_that_somebody_else_was_faster_with_is_made_again(redis_store_port: int) -> None:
    address = StoreAddress(host="127.0.0.1", port=redis_store_port, key_prefix=uuid4().hex)
    with RedisStore(address) as one, RedisStore(address) as other:
        seen = []

        def edit(draft: object) -> None:
            seen.append(sorted(draft.list("")))  # type: ignore[attr-defined]
            if len(seen) == 1:
                other.documents.change(lambda theirs: theirs.put("b", {}))
            draft.put("a", {})  # type: ignore[attr-defined]

        one.documents.change(edit)
        assert seen == [[], ["b"]]
        assert sorted(other.documents.read().list("")) == ["a", "b"]


def test_a_put_that_fails_in_the_middle_can_be_made_again(
    redis_store_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(StoreAddress(host="127.0.0.1", port=redis_store_port, key_prefix=uuid4().hex)) as store:
        shop.create(store)
        shop.deployed(store, "sums", shop.SUMS)
        shop.deployed(store, "cross", shop.CROSS)
        shop.put(store, "purchase", ("ann", 18_000, 1.0, "hat"))
        rows = [("ann", 19_000, 2.5, "hat"), ("bob", 19_000, 9.0, "cap"), ("ann", 19_000, 4.0, "cap")]
        service, before = FeatureService(store), store.size().tables
        assert len(before["purchase"]) == 2
        seen: list[Any] = []

        def fail(*arguments: Any) -> list[bytes]:
            if seen:
                # Somebody reads what was written so far.
                seen.append(service.features("cross", ("ann", 20_000, 1)))
                raise TransientError("Redis is away")
            seen.append(None)
            return writer.write_series(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(redis_store, "write_series", fail)
            with pytest.raises(TransientError, match="is away"):
                shop.put(store, "purchase", *rows)
        assert len(seen) == 2
        assert store.size().tables == before
        assert service.features("cross", ("ann", 20_000, 0)) == ("ann", "hat")
        assert shop.put(store, "purchase", *rows) == 3
        assert service.features("sums", ("ann", 20_000, 1)) == ("ann", 7.5, 3, "hat,cap", None)
