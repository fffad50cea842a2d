"""The online store: single requests of the full feature query over a store that holds the bench's tables.

`python -m tests.bench.online` prints one JSON line per figure; `--scale 0.01` ends within a minute. Times of the
embedded store are CPU time of the process that answers, those of Redis are by the clock, since most of them is waiting.
Answers are first compared with those over the same rows in memory.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from airflow_provider_mlfeat.online.deploying import deploy  # noqa: E402
from airflow_provider_mlfeat.online.features import FeatureService  # noqa: E402
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store  # noqa: E402
from airflow_provider_mlfeat.online.store import Load, OnlineStore  # noqa: E402
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition  # noqa: E402
from airflow_provider_mlfeat.sql.types import parse_type  # noqa: E402
from tests.bench.data import TABLES, Size, folder  # noqa: E402
from tests.bench.measure import describe_machine, print_figure, say  # noqa: E402
from tests.bench.query import feature_plan  # noqa: E402
from tests.bench.request import WARM_UP, program, request_rows, split, stored_tables  # noqa: E402
from tests.hooks.conftest import free_port  # noqa: E402

NAME = "features"
ACTIONS = "bo_action"
CHECKED = 50


def main() -> None:
    """Measure both stores."""
    arguments = _arguments()
    say(describe_machine())
    history, requests = split(stored_tables(folder(Size(arguments.scale))), arguments.requests + WARM_UP)
    rows = request_rows(requests, requests.num_rows)
    expected = program(feature_plan(), history)
    with tempfile.TemporaryDirectory() as text:
        with open_store(StoreAddress(path=f"{text}/embedded")) as store:
            rows_per_second = fill(store, history)
            print_figure("online.load_rows_s", rows_per_second, "rows/s")
            _report("embedded", store, rows, expected, time.process_time_ns, "cpu_ms")
            _print_room("embedded", store, history, 0)
        if "redis" in arguments.stores:
            with redis_server(Path(text)) as address, open_store(address) as store:
                before = store.size().stored_bytes
                say(f"redis: {fill(store, history):.0f} rows/s loaded")
                _report("redis", store, rows, expected, time.perf_counter_ns, "ms")
                _print_room("redis", store, history, before)


def fill(store: OnlineStore, history: dict[str, pa.Table]) -> float:
    """Deploy the query, load the tables → rows per second."""
    for name, columns in TABLES.items():
        definition = tuple(ColumnDefinition(column, parse_type(kind)) for column, kind in columns)
        store.create_table(TableDefinition("", name, definition))
    deploy(store, NAME, "SELECT …", feature_plan())
    begin, total = time.monotonic(), 0
    for name, table in history.items():
        total += store.put(store.table("", name), table, load=Load("bench"))
    return total / (time.monotonic() - begin)


def _report(
    name: str, store: OnlineStore, rows: Sequence[Any], expected: Any, clock: Callable[[], int], unit: str
) -> None:
    service = FeatureService(store)
    for row in rows[:CHECKED]:
        answer = service.features(NAME, row)
        if answer != expected.answer(row)[0]:
            raise SystemExit(f"the {name} store says {answer}, memory {expected.answer(row)[0]}")
    ours, memory = [], []
    for row in rows:
        begin = clock()
        service.features(NAME, row)
        middle = clock()
        expected.answer(row)
        ours.append((middle - begin) / 1e6)
        memory.append((clock() - middle) / 1e6)
    warm = min(WARM_UP, len(rows) // 2)
    for percent in (50, 99):
        value, rival = (float(np.percentile(spent[warm:], percent)) for spent in (ours, memory))
        print_figure(f"online.{name}_p{percent}_ms", value, unit, "the same rows in memory", rival, rival / value)


def _print_room(name: str, store: OnlineStore, history: dict[str, pa.Table], before: int) -> None:
    """MiB that the whole store takes per million actions in it; their requests, comments and users included."""
    room = (store.size().stored_bytes - before) / 2**20
    suffix = "" if name == "embedded" else f"_{name}"
    print_figure(f"online.mib_per_million{suffix}", room * 1e6 / history[ACTIONS].num_rows, "MiB")


@contextmanager
def redis_server(path: Path) -> Iterator[StoreAddress]:
    """A Redis of the bench's own."""
    if shutil.which("redis-server") is None:
        raise SystemExit("no redis-server here: scripts/install_test_services installs it, or give --stores embedded")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield StoreAddress(host="127.0.0.1", port=port, timeout=60.0)
    finally:
        server.kill()
        server.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the tables; 1 is a million actions")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--stores", nargs="+", default=["embedded", "redis"], choices=("embedded", "redis"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
