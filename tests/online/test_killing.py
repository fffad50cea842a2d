"""Writers, loaders and Redis are killed a few times; ``python -m tests.online.killing`` does it more often."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from airflow_provider_mlfeat.errors import MlfeatError, UserError
from airflow_provider_mlfeat.online.embedded import environment
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from tests.online import killing, killing_long, shop


def test_writers(tmp_path: Path) -> None:
    assert killing.kill_writers(StoreAddress(path=str(tmp_path / "online")), points=2, seed=3) >= 4


def test_loaders(tmp_path: Path) -> None:
    assert killing.kill_loaders(StoreAddress(path=str(tmp_path / "online")), tmp_path, points=2, seed=5, tries=2) == 2


def test_redis(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    assert killing.kill_redis(tmp_path, points=3, seed=7) >= 6


def test_loaders_of_redis(tmp_path: Path, redis_store_port: int) -> None:
    address = StoreAddress(host="127.0.0.1", port=redis_store_port, key_prefix="killing")
    assert killing.kill_loaders(address, tmp_path, points=2, seed=9, tries=2) == 2


def test_a_full_store_keeps_what_it_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mlfeat.online.embedded.environment._MAP_SIZE", 1 << 20)
    address, put = StoreAddress(path=str(tmp_path / "online")), 0
    with open_store(address) as store:
        shop.create(store)
        rows = [("ann", 1_000, 1.0, str(number)) for number in range(500)]
        with pytest.raises(MlfeatError, match="the online store in .* is full; nothing of this change was kept"):
            while True:
                put += shop.put(store, "purchase", *rows)
        assert store.size().tables["purchase"] == {"all rows": put}
    monkeypatch.undo()
    with open_store(address) as store:
        assert shop.put(store, "purchase", *rows) == 500
        assert store.size().tables["purchase"] == {"all rows": put + 500}


def test_writers_of_long_windows(address: StoreAddress) -> None:
    assert killing_long.kill_writers(address, points=2, seed=3) > 0


def test_files_of_another_format_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = StoreAddress(path=str(tmp_path / "online"))
    open_store(address).close()
    monkeypatch.setattr("airflow_provider_mlfeat.online.embedded.environment._FORMAT", b"2")
    with pytest.raises(UserError, match="has format 1, and this version reads 2: use a folder of its own"):
        open_store(address)


def test_a_store_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    address = StoreAddress(path=str(tmp_path / "online"))
    with open_store(address) as store:
        shop.create(store)
        shop.put(store, "purchase", *[("ann", number, 1.0, str(number)) for number in range(5_000)])
    file = tmp_path / "online" / "data.mdb"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is cut off: .* bytes are there; restore the folder from a copy"):
        open_store(address)
    file.write_bytes(b"x" * 20_000)
    with pytest.raises(UserError, match="the files of the online store in .* are damaged"):
        open_store(address)
    file.write_bytes(whole)
    with open_store(address) as store:
        assert store.size().tables["purchase"] == {"all rows": 5_000}


def test_a_store_that_lost_all_it_held_is_no_new_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_BIRTH_SECONDS", 0.2)
    address = StoreAddress(path=str(tmp_path / "online"))
    with open_store(address) as store:
        shop.create(store)
    (tmp_path / "online" / "data.mdb").write_bytes(b"")
    with pytest.raises(UserError, match="is cut off: its file data.mdb is empty; restore the folder from a copy"):
        open_store(address)
    assert not (tmp_path / "online" / "data.mdb").stat().st_size


def test_a_store_that_another_process_is_just_making(tmp_path: Path) -> None:
    with open_store(StoreAddress(path=str(tmp_path / "made"))) as store:
        shop.create(store)
    file = tmp_path / "online" / "data.mdb"
    file.parent.mkdir()
    file.touch()
    other = threading.Timer(0.2, file.write_bytes, [(tmp_path / "made" / "data.mdb").read_bytes()])
    other.start()
    with open_store(StoreAddress(path=str(file.parent))) as store:
        assert ("", "purchase") in store.tables()
    other.join()
