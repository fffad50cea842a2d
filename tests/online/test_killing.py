"""Writers, loaders and Redis are killed a few times; ``python -m tests.online.killing`` does it more often."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from tests.online import killing, shop


def test_writers(tmp_path: Path) -> None:
    assert killing.kill_writers(StoreAddress(path=str(tmp_path / "online")), points=2, seed=3) >= 4


def test_loaders(tmp_path: Path) -> None:
    assert killing.kill_loaders(StoreAddress(path=str(tmp_path / "online")), tmp_path, points=2, seed=5, tries=2) == 2


def test_redis(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: scripts/install_test_services installs it")
    assert killing.kill_redis(tmp_path, points=3, seed=7) >= 6


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
