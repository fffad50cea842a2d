"""The encoder over columns and over single rows, and whole datasets.

``python -m tests.bench.encode``: a table of 41 columns like the JD features: 16 numbers, 2 moments, 5 copies of the
request's id, other ids, categories and lists. The rival hashes value by value, as the original preprocessing does; its
keys are compared with ours first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import xxhash

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from airflow_provider_mlfeat.dataset.build import build_dataset  # noqa: E402
from airflow_provider_mlfeat.dataset.encoder import SEED, Encoder, Field  # noqa: E402
from airflow_provider_mlfeat.dataset.fitting import EncoderFitter  # noqa: E402
from airflow_provider_mlfeat.dataset.request import Request  # noqa: E402
from airflow_provider_mlfeat.dataset.source import Source  # noqa: E402
from airflow_provider_mlfeat.dataset.splits import Split  # noqa: E402
from airflow_provider_mlfeat.jobs.progress import Progress  # noqa: E402
from tests.bench.measure import describe_machine, print_figure, say  # noqa: E402

BLOCK = 65_536
ROUNDS = 5


def table_of(rows: int, seed: int = 0) -> pa.Table:
    """Requests and their features."""
    random = np.random.default_rng(seed)

    def pick(size: int, prefix: str = "") -> pa.Array:
        # Frequencies fall like those of shops and brands do.
        places = np.minimum(random.zipf(1.3, rows) - 1, size - 1)
        return pa.array([f"{prefix}{number}" for number in range(size)]).take(pa.array(places))

    def listed(size: int) -> pa.Array:
        texts = [",".join(map(str, three)) for three in random.integers(0, 40, (size, 3))]
        return pa.array(texts).take(pa.array(random.integers(0, size, rows)))

    moments = np.datetime64("2016-01-31", "us") + np.sort(random.integers(0, 75 * 86_400, rows)) * 1_000_000
    users, skus = random.integers(0, max(9, rows * 2 // 3), rows), random.integers(0, max(9, rows // 4), rows)
    request = pa.array([f"{user}_{sku}_{moment}" for user, sku, moment in zip(users, skus, moments, strict=True)])
    columns: dict[str, Any] = {f"I{number}": random.integers(1, 20, rows) for number in range(1, 8)}
    columns |= {f"I{number}": np.round(random.uniform(0.01, 1, rows), 4).astype(np.float32) for number in range(8, 14)}
    columns |= {
        "C1": request,
        "C2": moments,
        "C3": request,
        "C4": pa.array([f"{u}_{s}" for u, s in zip(users, skus, strict=True)]),
    }
    columns |= {"C5": pa.array([str(sku) for sku in skus]), "C6": pa.array([str(user) for user in users])}
    columns |= {"C7": random.integers(1, 8, rows), "C8": random.integers(0, 2, rows), "C9": request}
    columns |= {f"C{number}": pick(size) for number, size in zip(range(10, 17), (5, 4, 4, 33, 2, 2, 7), strict=True)}
    columns |= {
        "C17": moments - random.integers(0, 2_580, rows) * 86_400_000_000,
        "C18": pick(3),
        "C19": pick(5),
        "C20": request,
    }
    columns |= {"C21": listed(10), "C22": listed(47), "C23": request}
    columns |= {f"C{number}": listed(size) for number, size in zip(range(24, 29), (365, 17, 132, 32, 37), strict=True)}
    columns["label"] = (random.random(rows) < 0.02).astype(np.int32)
    return pa.table(columns)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is a million rows")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    say(describe_machine())
    rows = max(2_000, int(1_000_000 * options.scale))
    with tempfile.TemporaryDirectory() as folder:
        table = table_of(rows)
        features = table.drop_columns(["label"])
        encoder = fitted(features)
        measure_columns(encoder, features, options.rounds)
        measure_row(encoder, features, options.rounds)
        pq.write_table(table, f"{folder}/rows.parquet", row_group_size=BLOCK)
        del table, features
        measure_build(Path(folder), rows)


def fitted(features: pa.Table) -> Encoder:
    """Every column by vocabulary, as the faithful profile does."""
    fitter = EncoderFitter([Field(name, name, "vocabulary") for name in features.column_names], features.schema)
    for batch in features.to_batches(BLOCK):
        fitter.add(batch)
    return fitter.finish()


def measure_columns(encoder: Encoder, features: pa.Table, rounds: int) -> None:
    """Cells per second of CPU, and those of hashing value by value."""
    batches = features.to_batches(BLOCK)[:4]
    cells = sum(batch.num_rows for batch in batches) * len(encoder.fields)
    few = batches[0].slice(0, 2_000)
    assert (encoder.keys(few) == one_by_one(few)).all(), "the rival gives other keys"
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.process_time()
        for batch in batches:
            encoder.encode(batch)
        ours.append(cells / (time.process_time() - began))
        began = time.process_time()
        one_by_one(few)
        theirs.append(few.num_rows * len(encoder.fields) / (time.process_time() - began))
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    rates = statistics.median(ours), statistics.median(theirs)
    print_figure("encode.cells_s", rates[0], "cells/cpu_s", "xxhash value by value", rates[1], ratio)


def one_by_one(batch: pa.RecordBatch) -> np.ndarray[Any, Any]:
    """The keys as a loop over values gives them."""
    columns = []
    for column in batch.columns:
        is_moment, is_single = pa.types.is_timestamp(column.type), pa.types.is_float32(column.type)
        values = (column.cast(pa.timestamp("ms")).cast(pa.int64()) if is_moment else column).to_pylist()
        texts = (str(np.float32(value)) if is_single else str(value) for value in values)
        columns.append(np.array([xxhash.xxh64_intdigest(text.encode(), SEED) for text in texts], np.uint64))
    return np.column_stack(columns).view(np.int64)


def measure_row(encoder: Encoder, features: pa.Table, rounds: int) -> None:
    """Microseconds of CPU for one row of 41 columns."""
    rows = features.slice(0, 2_000).to_pylist()
    encoder.encode_row(rows[0])
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        for row in rows:
            encoder.encode_row(row)
        spent.append((time.process_time() - began) / len(rows) * 1e6)
    print_figure("encode.row_us", statistics.median(spent), "cpu_us")


def measure_build(folder: Path, rows: int) -> None:
    """Rows a minute of whole datasets, by the clock and by CPU."""
    for profile, split in (("faithful", Split("positional")), ("recommended", Split("time", ("C2",)))):
        source = Source(rows, ds.dataset(f"{folder}/rows.parquet"), {"name": "rows"})
        recommends = profile == "recommended"
        request = Request("label", split, profile, time="C2" if recommends else "", shuffle=recommends)
        (folder / profile).mkdir()
        pa.set_cpu_count(os.cpu_count() or 1)
        began, cpu = time.monotonic(), time.process_time()
        build_dataset(request, source, folder / f"{profile}.dataset", folder / profile, Progress())
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
        print_figure(f"dataset.{profile}_rows_min", rows / wall * 60, "rows/min")
        print_figure(f"dataset.{profile}_cpu_s", cpu, "cpu_s")


if __name__ == "__main__":
    main()
