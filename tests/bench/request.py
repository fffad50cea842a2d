"""Single requests: the request driver over a history in memory, CPU time per request of the full feature query.

`python tests/bench/request.py` prints one JSON line per figure; `--scale 0.01` ends within a minute. Answers are first
compared with those of the batch driver over the same rows.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from airflow_provider_mlfeat.engine.batch import run_batch  # noqa: E402
from airflow_provider_mlfeat.engine.column import arrow_type  # noqa: E402
from airflow_provider_mlfeat.engine.history import MemoryHistory  # noqa: E402
from airflow_provider_mlfeat.engine.request import RequestProgram  # noqa: E402
from airflow_provider_mlfeat.sql.plan import Column, Plan  # noqa: E402
from airflow_provider_mlfeat.sql.types import parse_type  # noqa: E402
from tests.bench.data import TABLES, Size, folder  # noqa: E402
from tests.bench.measure import ONE_THREAD, describe_machine, print_figure, say  # noqa: E402
from tests.bench.query import feature_plan  # noqa: E402

REQUESTS = "flattenRequest"
CHECKED = 3
WARM_UP = 500
LONG_WINDOW_ROWS = 17_000
# One group of windows over a key with a long history and no MAXSIZE.
LONG_WINDOW = """
SELECT topn_frequency(type, 3) OVER w AS top_type, distinct_count(model_id) OVER w AS models
FROM (SELECT eventTime AS ingestionTime, pair_id, '' AS model_id, '' AS type FROM flattenRequest)
WINDOW w AS (UNION (SELECT ingestionTime, pair_id, model_id, type FROM bo_action)
    PARTITION BY pair_id ORDER BY ingestionTime
    ROWS_RANGE BETWEEN 7d PRECEDING AND 0s PRECEDING INSTANCE_NOT_IN_WINDOW)
"""
# What a server does once: import, plan, load machine code, answer.
COLD_START = """
from tests.bench.request import program, request_rows, stored_tables
from tests.bench.data import Size, folder
from tests.bench.query import feature_plan
tables = stored_tables(folder(Size(0.001)))
program(feature_plan(), tables).answer(request_rows(tables["flattenRequest"], 1)[0])
"""


def main() -> None:
    arguments = _arguments()
    say(describe_machine())
    tables = stored_tables(folder(Size(arguments.scale)))
    plan = feature_plan()
    history, requests = split(tables, arguments.requests + WARM_UP)
    _check(plan, history, requests)
    ready = program(plan, history)
    rows = request_rows(requests, requests.num_rows)
    micros = _timed(ready, rows)[min(WARM_UP, len(rows) // 2) :]
    print_figure("request.p50_ms", float(np.percentile(micros, 50)) / 1000, "cpu_ms")
    print_figure("request.p99_ms", float(np.percentile(micros, 99)) / 1000, "cpu_ms")
    print_figure("request.per_second_core", _rate(ready, rows), "requests/cpu_s")
    print_figure("request.long_window_ms", _long_window(arguments.requests) / 1000, "cpu_ms")
    print_figure("request.cold_start_s", _cold_start(arguments.starts), "cpu_s")


def program(plan: Plan, tables: dict[str, pa.Table]) -> RequestProgram:
    """The program of a plan over a history in memory that holds `tables`."""
    schemas = {
        ("", name): tuple(Column(column, parse_type(kind)) for column, kind in columns)
        for name, columns in TABLES.items()
    }
    store = MemoryHistory(schemas)
    for name, table in tables.items():
        store.load(("", name), table)
    return RequestProgram(plan, store)


def stored_tables(path: Path) -> dict[str, pa.Table]:
    """The bench's tables."""
    return {name: pq.read_table(path / f"{name}.parquet") for name in TABLES}


def request_rows(table: pa.Table, count: int) -> list[tuple[Any, ...]]:
    """Request rows as Python values."""
    head = table.slice(0, count)
    columns = [
        (column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in (array.combine_chunks() for array in head.columns)
    ]
    return list(zip(*columns, strict=True))


def split(tables: dict[str, pa.Table], count: int) -> tuple[dict[str, pa.Table], pa.Table]:
    """History, and the newest requests, which are not part of it."""
    requests = tables[REQUESTS].sort_by("eventTime")
    count = min(count, requests.num_rows // 2)
    first = requests.num_rows - count
    newest = requests.slice(first).take(np.random.default_rng(1).permutation(count))
    return {**tables, REQUESTS: requests.slice(0, first)}, newest


def _check(plan: Plan, history: dict[str, pa.Table], requests: pa.Table) -> None:
    """A request answered is a request inserted last and computed in batch."""
    ready = program(plan, history)
    for row in range(min(CHECKED, requests.num_rows)):
        one = requests.slice(row, 1)
        tables = {("", name): table for name, table in history.items()}
        tables["", REQUESTS] = pa.concat_tables([history[REQUESTS], one])
        batch = run_batch(plan, tables, threads=1)
        expected = request_rows(batch.slice(batch.num_rows - 1), 1)
        answer = ready.answer(request_rows(one, 1)[0])
        if answer != expected:
            raise SystemExit(f"request {row}: the request driver says {answer}, the batch driver {expected}")


def _timed(ready: RequestProgram, rows: Sequence[tuple[Any, ...]]) -> list[float]:
    """Microseconds of CPU per request."""
    spent = []
    for row in rows:
        begin = time.process_time_ns()
        ready.answer(row)
        spent.append((time.process_time_ns() - begin) / 1000)
    return spent


def _rate(ready: RequestProgram, rows: Sequence[tuple[Any, ...]]) -> float:
    """Requests per second of CPU, the median of several passes."""
    rates = []
    for _ in range(5):
        begin = time.process_time()
        for row in rows:
            ready.answer(row)
        rates.append(len(rows) / max(time.process_time() - begin, 1e-9))
    return statistics.median(rates)


def _long_window(requests: int) -> float:
    """Median microseconds of a request whose window holds 17,000 rows."""
    random, day, now = np.random.default_rng(2), 86_400_000, 1_460_000_000_000
    times = np.sort(random.integers(now - 7 * day, now, LONG_WINDOW_ROWS))
    texts = [pa.array(random.integers(0, count, LONG_WINDOW_ROWS)).cast(pa.string()) for count in (300, 6)]
    same = pa.array(["one"] * LONG_WINDOW_ROWS)
    columns = [times, same, times, *texts, same, same]
    arrays = [
        pa.array(column).cast(arrow_type(parse_type(kind)))
        for column, (_, kind) in zip(columns, TABLES["bo_action"], strict=True)
    ]
    actions = pa.table(arrays, names=[name for name, _ in TABLES["bo_action"]])
    ready = program(feature_plan(text=LONG_WINDOW), {"bo_action": actions})
    row = ("r", now, "m", "one", "u", "s", now, 1, "")
    return statistics.median(_timed(ready, [row] * max(50, requests // 10))[10:])


def _cold_start(starts: int) -> float:
    """Median CPU seconds of a new process that plans the query and answers one request, kernels' cache in place."""
    script = [sys.executable, "-c", COLD_START]
    spent = []
    for _ in range(starts + 1):
        before = _children_cpu()
        subprocess.run(script, check=True, cwd=ROOT, env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)})
        spent.append(_children_cpu() - before)
    return statistics.median(spent[1:])


def _children_cpu() -> float:
    """CPU seconds of this process's ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 100,000 requests and 1,000,000 actions")
    parser.add_argument("--requests", type=int, default=5000, help="how many requests are measured")
    parser.add_argument("--starts", type=int, default=5, help="how many new processes are measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
