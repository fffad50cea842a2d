"""Killing a server under writes at random points: what it acknowledged is there, and nothing is there twice.

``python -m tests.serving.killing --points 50`` does it as often as that and prints what it saw; a test does it twice.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from tests.hooks.conftest import free_port
from tests.online import shop

ROOT = Path(__file__).resolve().parents[2]
ROWS_OF_A_PUT = 3
WRITERS = 3
_LONG_AGO = 1_000


class Writers:
    """Threads that put rows, each row with a number of its own, and note which were acknowledged.

    :param port: of the server.
    :param first: the first number.
    """

    def __init__(self, port: int, first: int) -> None:
        self._url = f"http://127.0.0.1:{port}/dbs/default/tables/purchase"
        self._next, self._lock = first, threading.Lock()
        self.sent: list[int] = []
        self.acknowledged: list[int] = []
        self.first = threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        with httpx.Client(timeout=5, trust_env=False) as client:
            while True:
                with self._lock:
                    numbers = list(range(self._next, self._next + ROWS_OF_A_PUT))
                    self._next += ROWS_OF_A_PUT
                    self.sent += numbers
                rows = [["ann", _LONG_AGO + number, 1.0, str(number)] for number in numbers]
                try:
                    answer = client.put(self._url, json={"value": rows})
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    with self._lock:
                        self.acknowledged += numbers
                    self.first.set()

    def join(self) -> None:
        """Wait until the server's end has ended them."""
        for thread in self._threads:
            thread.join()


def kill_servers(folder: Path, points: int, seed: int) -> int:
    """Start a server, write, kill it with all its workers, look; again and again → acknowledged rows."""
    chance = random.Random(seed)
    sent: set[int] = set()
    acknowledged: set[int] = set()
    with EmbeddedStore(folder) as store:
        shop.create(store)
        shop.deployed(store, "sums", shop.SUMS, options={"range_bias": "inf"})
        shop.deployed(store, "cross", shop.CROSS)
    for point in range(points):
        port = free_port()
        process = serve(folder, port, workers=1 + point % 2)
        try:
            writers = Writers(port, len(sent))
            writers.first.wait(30)
            time.sleep(chance.uniform(0.0, 0.3))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        writers.join()
        sent |= set(writers.sent)
        acknowledged |= set(writers.acknowledged)
        check(folder, sent, acknowledged)
    return len(acknowledged)


def serve(folder: Path, port: int, workers: int = 1, *options: str) -> subprocess.Popen[bytes]:
    """`mlfeat serve`, in a process group of its own, when it answers."""
    command = [sys.executable, "-m", "airflow_provider_mlfeat.jobs.command", "serve", "--store", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--workers", str(workers), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready", timeout=2, trust_env=False).status_code == 200:
                return process
        except httpx.HTTPError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError("the server does not come up")
        time.sleep(0.1)


def check(folder: Path, sent: set[int], acknowledged: set[int]) -> None:
    """Acknowledged rows are there, rows of one put are there together, none is there twice, in both series."""
    with EmbeddedStore(folder) as store:
        rows = store.history().rows(("", "purchase"), store.table("", "purchase").schema)
        found = Counter(int(text) for text in rows.columns[3].to_values())
        kept = store.size().tables["purchase"]
    assert acknowledged <= set(found) <= sent, f"lost {sorted(acknowledged - set(found))[:5]}"
    assert max(found.values(), default=1) == 1, f"twice: {[number for number, n in found.items() if n > 1][:5]}"
    assert len(found) % ROWS_OF_A_PUT == 0, "a part of a put is there"
    assert kept == {"all rows": len(found), "who by at": len(found)}, kept


def main() -> None:
    """Kill as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = kill_servers(Path(folder) / "online", given.points, given.seed)
    print(f"server: {given.points} kills, {rows} acknowledged rows: 0 lost, 0 twice")


if __name__ == "__main__":
    main()
