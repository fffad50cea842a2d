"""Killing writers of long windows at random points: what is put together from buckets stays what the rows say.

``python -m tests.online.killing_long --points 50`` does it as often as that in both stores; the tests do it twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.online.embedded import writer
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.online.store import Load
from tests.hooks.conftest import free_port
from tests.online import test_long_windows as long
from tests.online.killing import ROOT, start_redis


def write(place: dict[str, Any], seed: int) -> None:
    """Put rows in any order until somebody kills this."""
    # Chunks of a few rows, so that a few rows are a long history.
    for name, value in long.SHORT.items():
        setattr(writer, name, value)
    chance = random.Random(seed)
    with open_store(StoreAddress(**place)) as store:
        print("begun", flush=True)
        for step in range(10**6):
            if step % 5 == 0:
                rows = [long.random_row(chance, chance.choice(range(20, 120))) for _ in range(20)]
                long.put(store, *rows, load=Load(f"{seed} {step}"))
            else:
                long.put(store, long.random_row(chance, min(119, 20 + step // 3)))


def kill_writers(address: StoreAddress, points: int, seed: int) -> int:
    """Kill writers, and compare answers from buckets with those from rows after each → how many rows there are."""
    chance = random.Random(seed)
    with open_store(address) as store:
        long.deploy_event(store, "plain", long.FRAMES["all"], is_long=False)
        long.deploy_event(store, "long", long.FRAMES["all"])
        for point in range(points):
            command = [
                sys.executable,
                "-m",
                "tests.online.killing_long",
                "--do",
                json.dumps(asdict(address)),
                str(point),
            ]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
            assert process.stdout is not None
            assert process.stdout.readline(), "the writer did not start"
            time.sleep(chance.uniform(0.0, 0.4))
            process.kill()
            process.wait()
            process.stdout.close()
            long.compare(store, chance, range(20, 130), 20)
        return sum(store.size().tables["event"].values())


def main() -> None:
    """Kill as often as asked, or be what is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--do", nargs=2)
    given = parser.parse_args()
    if given.do:
        write(json.loads(given.do[0]), int(given.do[1]))
        return
    with tempfile.TemporaryDirectory() as text:
        rows = kill_writers(StoreAddress(path=f"{text}/embedded"), given.points, given.seed)
        print(f"embedded: {given.points} kills, {rows} rows, answers from buckets are those from rows", flush=True)
        port = free_port()
        server = start_redis(port, Path(text))
        try:
            time.sleep(1)
            rows = kill_writers(StoreAddress(host="127.0.0.1", port=port), given.points, given.seed)
        finally:
            server.kill()
            server.wait()
        print(f"Redis: {given.points} kills, {rows} rows, answers from buckets are those from rows")


if __name__ == "__main__":
    main()
