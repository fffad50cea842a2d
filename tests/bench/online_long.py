"""LONG_WINDOWS: a window of a year over a key with many rows, from partial aggregates and from the rows.

`python -m tests.bench.online_long` prints one JSON line per figure; `--rows 20000` ends within seconds. Times of the
embedded store are CPU time, those of Redis are by the clock. Answers are compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
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
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition  # noqa: E402
from airflow_provider_mlfeat.sql.planner import plan_query  # noqa: E402
from airflow_provider_mlfeat.sql.types import parse_type  # noqa: E402
from tests.bench.measure import describe_machine, print_figure, say  # noqa: E402
from tests.bench.online import redis_server  # noqa: E402

DAY = 86_400_000
COLUMNS = {"card": "string", "at": "timestamp", "cents": "bigint", "shop": "int"}
PAYMENT = TableDefinition(
    "", "payment", tuple(ColumnDefinition(name, parse_type(kind)) for name, kind in COLUMNS.items())
)
QUERY = """
SELECT card, sum(cents) OVER year AS spent, avg(cents) OVER year AS usual, max(cents) OVER year AS most,
    count(cents) OVER year AS payments{condition}
FROM payment
WINDOW year AS (PARTITION BY card ORDER BY at ROWS_RANGE BETWEEN 365d PRECEDING AND CURRENT ROW)
"""
CONDITION = ", count_where(cents, shop = 7) OVER year AS seven"


def main() -> None:
    """Measure both stores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="rows of the key")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--stores", nargs="+", default=["embedded", "redis"], choices=("embedded", "redis"))
    arguments = parser.parse_args()
    say(describe_machine())
    with tempfile.TemporaryDirectory() as text:
        if "embedded" in arguments.stores:
            with open_store(StoreAddress(path=f"{text}/embedded")) as store:
                _measure("embedded", store, arguments.rows, arguments.requests, time.process_time_ns, "cpu_ms")
        if "redis" in arguments.stores:
            with redis_server(Path(text)) as address, open_store(address) as store:
                _measure("redis", store, arguments.rows, arguments.requests, time.perf_counter_ns, "ms")


def _measure(name: str, store: OnlineStore, rows: int, requests: int, clock: Callable[[], int], unit: str) -> None:
    store.create_table(PAYMENT)
    for number, condition in enumerate(("", CONDITION)):
        sql = QUERY.format(condition=condition)
        buckets: dict[str, int]
        for kind, buckets in (("plain", {}), ("long", {"year": DAY})):
            query = plan_query(sql, Catalog([PAYMENT]), mode="request", long_windows=buckets)
            deploy(store, f"{kind}{number}", sql, query)
    store.put(store.table("", "payment"), _payments(rows), load=Load("bench"))
    service = FeatureService(store)
    asked = [("card", 395 * DAY + 1_000 * number, 5, 7) for number in range(requests)]
    for number, suffix in enumerate(("", "_where")):
        # A window from rows is slow: a tenth of the requests tells its median.
        plain, expected = _median(service, f"plain{number}", asked[: max(1, requests // 10)], clock)
        long, found = _median(service, f"long{number}", asked, clock)
        if found[: len(expected)] != expected:
            raise SystemExit(f"the {name} store answers other than from its rows")
        figure = f"online.{name}_long{suffix}_p50_ms"
        print_figure(figure, long, unit, "the same window from its rows", plain, plain / long)


def _payments(rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    return pa.table(
        {
            "card": pa.array(["card"] * rows),
            "at": np.sort(random.integers(0, 400 * DAY, rows)).astype("datetime64[ms]"),
            "cents": random.integers(1, 10**6, rows),
            "shop": random.integers(0, 50, rows).astype(np.int32),
        }
    )


def _median(
    service: FeatureService, name: str, asked: list[tuple[Any, ...]], clock: Callable[[], int]
) -> tuple[float, list[Any]]:
    """The median time of an answer in milliseconds, and the answers."""
    service.features(name, asked[0])
    spent, answers = [], []
    for row in asked:
        begin = clock()
        answers.append(service.features(name, row))
        spent.append((clock() - begin) / 1e6)
    return float(np.median(spent)), answers


if __name__ == "__main__":
    main()
