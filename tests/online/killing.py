"""Killing writers, loaders and Redis at random points: nothing that was acknowledged is lost, nothing counts twice.

``python -m tests.online.killing --points 50`` does it as often as that and prints what it saw; the tests do it a few
times.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.online import loading
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.online.sources import TableVersionSource
from airflow_provider_mlfeat.online.store import OnlineStore
from airflow_provider_mlfeat.tables.definitions import create_table
from airflow_provider_mlfeat.tables.load import LoadOptions, load_files
from airflow_provider_mlfeat.tables.store import TableStore
from tests.hooks.conftest import free_port
from tests.online import shop

ROOT = Path(__file__).resolve().parents[2]
LONG_AGO = 10_000
LOADED_ROWS, PART_ROWS = 3_000, 200


# ── what is killed ──────────────────────────────────────────────────────────────────────────────────────────────────


def write(place: dict[str, Any], start: int, count: int) -> None:
    """Put rows one by one, and say which are acknowledged."""
    with open_store(StoreAddress(**place)) as store:
        for number in range(start, count):
            put_one(store, number)
            print(number, flush=True)


def put_one(store: OnlineStore, number: int) -> None:
    """A row whose event id is its number."""
    shop.put(store, "purchase", ("ann", LONG_AGO + number, 1.0, str(number)), events=[str(number)])


def load(place: dict[str, Any], tables: str) -> None:
    """Load in small parts."""
    loading.PART_ROWS = PART_ROWS
    with open_store(StoreAddress(**place)) as store:
        source = TableVersionSource(TableStore(tables), "", "purchase", 1)
        loading.load_table(store, store.table("", "purchase"), source, _Silence())


class _Silence:
    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        """Say nothing."""

    def advance(self, amount: float = 1) -> None:
        """Give the killer a chance between parts."""
        print(amount, flush=True)


# ── killing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def prepare(store: OnlineStore) -> None:
    """Two series of one table: by key, and as a whole."""
    shop.create(store)
    shop.deployed(store, "sums", shop.SUMS, options={"range_bias": "inf"})
    shop.deployed(store, "cross", shop.CROSS)


def check(store: OnlineStore, numbers: set[int]) -> None:
    """Every row is there once, in both series."""
    rows = store.history().rows(("", "purchase"), store.table("", "purchase").schema)
    found = Counter(int(text) for text in rows.columns[3].to_values())
    assert set(found) == numbers, f"lost {sorted(numbers - set(found))[:5]}, more {sorted(set(found) - numbers)[:5]}"
    assert max(found.values(), default=1) == 1, f"twice: {[number for number, n in found.items() if n > 1][:5]}"
    kept = store.size().tables["purchase"]
    assert kept == {"all rows": len(numbers), "who by at": len(numbers)}, kept


def kill_writers(address: StoreAddress, points: int, seed: int) -> int:
    """Kill the writer, start another one behind what was acknowledged → rows written."""
    chance, acknowledged = random.Random(seed), 0
    with open_store(address) as store:
        prepare(store)
        for _ in range(points):
            lines = _killed("write", json.dumps(asdict(address)), acknowledged, 10**6, after=chance.uniform(0.0, 0.15))
            acknowledged = max([acknowledged, *(1 + int(line) for line in lines)])
            # The one that was under way may be there or not; sending it again makes it one.
            put_one(store, acknowledged)
            acknowledged += 1
            check(store, set(range(acknowledged)) | _beyond(store, acknowledged))
    return acknowledged


def _beyond(store: OnlineStore, acknowledged: int) -> set[int]:
    """A row that was stored and whose acknowledgement was not heard."""
    rows = store.history().rows(("", "purchase"), store.table("", "purchase").schema)
    beyond = {int(text) for text in rows.columns[3].to_values()} - set(range(acknowledged))
    assert len(beyond) <= 1
    return beyond


def kill_loaders(address: StoreAddress, tables: Path, points: int, seed: int, tries: int = 4) -> int:
    """Kill a load `tries` times, let it end, and begin another one → how often it was killed."""
    chance, killed = random.Random(seed), 0
    store_of_tables = offline_purchases(tables)
    with open_store(address) as store:
        prepare(store)
        while killed < points:
            store.truncate(("", "purchase"))
            for _ in range(tries):
                _killed("load", json.dumps(asdict(address)), store_of_tables.root, after=chance.uniform(0.0, 0.12))
                killed += 1
            load(asdict(address), store_of_tables.root)
            check(store, set(range(LOADED_ROWS)))
    return killed


def kill_redis(folder: Path, points: int, seed: int) -> int:
    """Kill Redis under a writer that tries again → rows written."""
    chance, number = random.Random(seed), 0
    port = free_port()
    server = start_redis(port, folder)
    try:
        with open_store(StoreAddress(host="127.0.0.1", port=port, timeout=2.0)) as store:
            prepare(store)
            for _ in range(points):
                until = time.monotonic() + chance.uniform(0.0, 0.1)
                while time.monotonic() < until:
                    number = _put_until_it_is_there(store, number)
                server.kill()
                # What comes now meets no Redis; the row that is under way is tried until it is acknowledged.
                with contextlib.suppress(TransientError):
                    put_one(store, number)
                server.wait()
                server = start_redis(port, folder)
                number = _put_until_it_is_there(store, number)
                check(store, set(range(number)))
    finally:
        server.kill()
        server.wait()
    return number


def _kill_loaders_of_redis(folder: Path, points: int, seed: int) -> int:
    port = free_port()
    server = start_redis(port, folder / "l")
    try:
        time.sleep(0.5)
        return kill_loaders(StoreAddress(host="127.0.0.1", port=port), folder / "l", points, seed)
    finally:
        server.kill()
        server.wait()


def _put_until_it_is_there(store: OnlineStore, number: int) -> int:
    for _ in range(200):
        try:
            put_one(store, number)
            return number + 1
        except TransientError:
            time.sleep(0.05)
    raise AssertionError("Redis does not come back")


def start_redis(port: int, folder: Path) -> subprocess.Popen[bytes]:
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
    # With `everysec` Redis answers before it has written while an earlier fsync takes its time.
    command += ["--appendfsync", "always"]
    return subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)


def _killed(what: str, *arguments: object, after: float) -> list[str]:
    """Run a part of this module and kill it some time after its first line → the whole lines that it wrote."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.online.killing", "--do", what, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after)
    process.kill()
    rest = process.stdout.read()
    assert process.wait() in (0, -9), f"'{what}' did not start"
    return [line for line in (first + rest).splitlines(keepends=False) if line][: (first + rest).count("\n")]


def offline_purchases(folder: Path) -> TableStore:
    """An offline table whose rows are numbered."""
    store = TableStore(str(folder / "tables"))
    create_table(store, shop.definition("purchase"))
    lines = [f"ann,{LONG_AGO + number},1.0,{number}\n" for number in range(LOADED_ROWS)]
    (folder / "rows.csv").write_text("who,at,price,kind\n" + "".join(lines))
    load_files(store, "", "purchase", str(folder / "rows.csv"), LoadOptions(format="csv"))
    return store


def main() -> None:
    """Kill as often as asked, or be what is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--do", nargs="+")
    given = parser.parse_args()
    if given.do:
        what, place, *others = given.do
        if what == "write":
            write(json.loads(place), *map(int, others))
        else:
            load(json.loads(place), *others)
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "r").mkdir()
        embedded = StoreAddress(path=str(folder / "writers"))
        print(
            "writers, embedded:",
            given.points,
            "kills,",
            kill_writers(embedded, given.points, given.seed),
            "rows",
            flush=True,
        )
        embedded = StoreAddress(path=str(folder / "loaders"))
        print("loaders, embedded:", kill_loaders(embedded, folder, given.points, given.seed), "kills", flush=True)
        (folder / "l").mkdir()
        print("loaders, Redis:", _kill_loaders_of_redis(folder, given.points, given.seed), "kills", flush=True)
        print("Redis:", given.points, "kills,", kill_redis(folder / "r", given.points, given.seed), "rows")
        print("0 acknowledged rows lost, 0 twice")


if __name__ == "__main__":
    main()
