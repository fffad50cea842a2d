"""LOAD DATA against DuckDB's and pandas' way of making typed Parquet of the same csv and Parquet files.

`python -m tests.bench.load` prints one JSON line per figure; `--rows 200000` ends within a minute. Ratios are the
rival's CPU time over ours, in interleaved rounds, after the answers were found equal.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import csv

from tests.bench.data import CACHE
from tests.bench.make_rivals import rival_python
from tests.bench.measure import Run, Worker, describe_machine, print_figure, print_ratio, say

ROOT = Path(__file__).resolve().parents[2]
RIVALS = ROOT / "tests" / "bench" / "rivals"
FORMAT = 1  # part of the folder's name: raise it when the data changes
CHUNK = 500_000
FIGURES = (
    ("load.csv_vs_duckdb", "csv", "duckdb"),
    ("load.csv_vs_pandas", "csv", "pandas"),
    ("load.parquet_vs_duckdb", "parquet", "duckdb"),
)


def folder(rows: int, cache: Path = CACHE) -> Path:
    """The folder with events.csv and events.parquet of so many rows; written on first use."""
    target = cache / f"load-{rows}-{FORMAT}"
    if not target.is_dir():
        aside = cache / f"load-{rows}.{os.getpid()}"
        aside.mkdir(parents=True)
        try:
            _write(rows, aside)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return target


def _write(rows: int, target: Path) -> None:
    """Events as a shop logs them: ids, texts of few and of many values, times, numbers, some NULLs."""
    random = np.random.default_rng(7)
    with ExitStack() as stack:
        writers: list[csv.CSVWriter | pq.ParquetWriter] = []
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            users = random.zipf(1.3, count) % 300_000
            nulls = random.random(count) < 0.03
            seconds = 1_480_000_000 + np.sort(random.integers(0, 86_400 * 90, count)) + start
            table = pa.table(
                {
                    "id": pa.array(np.arange(start, start + count)),
                    "user_id": pa.array(np.char.add("u", users.astype(str))),
                    "at": pa.array(seconds, pa.timestamp("s")).cast(pa.timestamp("us")),
                    "type": pa.array(np.array(["view", "cart", "order", "share"])[random.integers(0, 4, count)]),
                    "price": pa.array(np.round(random.gamma(2.0, 30.0, count), 2), mask=nulls),
                    "number": pa.array(random.integers(0, 5000, count).astype(np.int32)),
                    "rate": pa.array(random.random(count).round(4).astype(np.float32)),
                    "day": pa.array((seconds // 86_400).astype(np.int32), pa.date32()),
                    "session": pa.array(np.char.add("s-", random.integers(0, 2**48, count).astype(str))),
                }
            )
            if not writers:
                writers.append(stack.enter_context(pq.ParquetWriter(target / "events.parquet", table.schema)))
                writers.append(stack.enter_context(csv.CSVWriter(target / "events.csv", table.schema)))
            for writer in writers:
                writer.write_table(table)


def assert_same(ours: Path, other: Path) -> None:
    """Both hold the same rows in the same order, column by column."""
    mine = ds.dataset(sorted(str(path) for path in ours.rglob("*.parquet")), format="parquet")
    theirs = ds.dataset(str(other), format="parquet")
    for name in mine.schema.names:
        left = mine.to_table([name]).column(name)
        right = theirs.to_table([name]).column(name).cast(left.type)
        if not left.combine_chunks().equals(right.combine_chunks()):
            raise SystemExit(f"{other}: column '{name}' differs from ours")


def main() -> None:
    arguments = _arguments()
    say(describe_machine())
    data = folder(arguments.rows)
    with tempfile.TemporaryDirectory(dir=arguments.out) as out, ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in arguments.engines:
            script = ["-m", "tests.bench.ours_load"] if name == "ours" else [RIVALS / f"{name}_load.py"]
            python = sys.executable if name == "ours" else rival_python(name)
            workers[name] = Worker(python, script, threads=arguments.threads)
            stack.callback(workers[name].stop)
        runs: dict[tuple[str, str], list[Run]] = {}
        for number in range(arguments.rounds + 1):
            for form in arguments.formats:
                for name, worker in workers.items():
                    if name == "pandas" and form != "csv":
                        continue
                    target = Path(out) / f"{name}-{form}"
                    done = worker.run(source=str(data / f"events.{form}"), out=str(target))
                    say(f"{form} {name}: {done.cpu:.2f} CPU s, {done.wall:.2f} s")
                    if number:
                        runs.setdefault((form, name), []).append(done)
                    elif name != "ours" and "ours" in workers:
                        assert_same(Path(out) / f"ours-{form}", target)
        for figure, form, rival in FIGURES:
            if (form, "ours") in runs and (form, rival) in runs:
                print_ratio(figure, runs[form, "ours"], runs[form, rival], workers[rival].name)
        if "ours" in workers:
            peaks = [
                workers["ours"].peak_memory(source=str(data / f"events.{form}"), out=str(Path(out) / f"ours-{form}"))
                for form in arguments.formats
            ]
            print_figure("load.peak_mib", max(peaks), "MiB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="threads of every engine that takes a number")
    parser.add_argument("--engines", nargs="+", default=["ours", "duckdb", "pandas"])
    parser.add_argument("--formats", nargs="+", default=["csv", "parquet"], choices=["csv", "parquet"])
    parser.add_argument("--out", default=None, help="where tables are written; the system's temporary folder")
    parser.add_argument("-v", action="store_true", help="show what the engines print")
    return parser.parse_args()


if __name__ == "__main__":
    main()
