"""The benches still run and still find equal answers; what they measure on tiny data means nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.data import Size, generate
from tests.bench.measure import tree_cpu
from tests.conformance.drivers import spark_is_here

ROOT = Path(__file__).resolve().parents[2]
KEYS = ["figure", "value", "unit", "rival", "rival_value", "ratio"]


def figures(script: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """What a bench prints; nothing else may stand on its standard output."""
    # As a module: beside a script lies a bench called triton, which is also the name of a package.
    command = [sys.executable, "-m", f"tests.bench.{script.removesuffix('.py')}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(line) == KEYS for line in lines)
    return {line["figure"]: line for line in lines}


def test_offline_against_duckdb() -> None:
    pytest.importorskip("duckdb")
    arguments = ["--scale", "0.003", "--rounds", "1", "--rivals-here", "--engines", "batch", "duckdb"]
    printed = figures("offline.py", *arguments, "--variants", "even", "skew", "unlimited")
    assert printed["offline.batch_vs_duckdb"]["ratio"] > 0
    assert printed["offline.batch_peak_mib"]["value"] > 10
    shares = [line["value"] for name, line in printed.items() if name.startswith("offline.batch_share")]
    assert sum(shares) == pytest.approx(1, abs=0.05)


@pytest.mark.skipif(not spark_is_here(), reason="Spark needs pyspark and a Java runtime")
def test_offline_against_spark_sql() -> None:
    arguments = ["--scale", "0.001", "--rounds", "1", "--rivals-here", "--engines", "batch", "sparksql"]
    printed = figures("offline.py", *arguments, "--threads", "2", "--memory", "1g", "--variants", "even")
    assert printed["offline.batch_vs_sparksql"]["ratio"] > 0


@pytest.mark.skipif(not spark_is_here(), reason="Spark needs pyspark and a Java runtime")
def test_cost_of_the_spark_driver() -> None:
    arguments = ["--scale", "0.002", "--rounds", "1", "--warm-ups", "1", "--threads", "2", "--memory", "1g"]
    printed = figures("offline.py", *arguments, "--variants", "cost")
    assert printed["offline.spark_fixed_s"]["value"] > 0
    assert printed["offline.spark_fixed_cpu_s"]["value"] > 0
    # On so few rows the cost of one drowns in that of the query.
    assert "offline.spark_us_row" in printed


def test_long_windows() -> None:
    printed = figures("online_long.py", "--rows", "9000", "--requests", "20", "--stores", "embedded")
    assert printed["online.embedded_long_where_p50_ms"]["ratio"] > 0


def test_request() -> None:
    printed = figures("request.py", "--scale", "0.003", "--requests", "50", "--starts", "1")
    assert set(printed) == {
        *("request.p50_ms", "request.p99_ms", "request.per_second_core"),
        *("request.long_window_ms", "request.cold_start_s"),
    }


def test_encode() -> None:
    printed = figures("encode.py", "--scale", "0.004", "--rounds", "1")
    assert printed["encode.cells_s"]["ratio"] > 0
    assert printed["encode.row_us"]["value"] > 0
    assert {"dataset.faithful_rows_min", "dataset.recommended_rows_min"} <= set(printed)


def test_training_and_its_teachers(tmp_path: Path) -> None:
    printed = figures("train.py", "--scale", "0.02", "--rounds", "1", "--steps", "1", "--engines", "ours", "--no-auc",
                      "--cache", str(tmp_path))  # fmt: skip
    assert set(printed) == {"train.rows_s_fp32", "train.sgemm_share", "train.loader_rows_s"}
    small = [
        "--rows",
        "9000",
        "--test-rows",
        "3000",
        "--epochs",
        "1",
        "--seeds",
        "3",
        "--rivals",
        "--cache",
        str(tmp_path),
    ]
    printed = figures("train_teacher.py", *small)
    assert 0 < printed["train.teacher_gap"]["value"] < 0.5
    assert "train.teacher_without_mlp" in printed


def test_training_on_a_device(tmp_path: Path) -> None:
    printed = figures("train_gpu.py", "--device", "cpu", "--scale", "0.0003", "--steps", "1", "--cache", str(tmp_path))
    assert {"gpu.samples_s_400x3", "gpu.samples_s_1000x5"} < set(printed)
    assert printed["gpu.ceiling_400x3"]["ratio"] > 0


def test_data_is_the_same_every_time_and_skew_is_what_it_says() -> None:
    size = Size(0.003, 0.2)
    first, again = generate(size), generate(size)
    assert all(first[name].equals(again[name]) for name in first)
    pairs = first["bo_action"].column("pair_id").combine_chunks().value_counts()
    assert max(pairs.field("counts").to_pylist()) >= size.actions * 0.2


def test_cpu_counts_processes_that_ended() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {spin!r}])\nprint('done', flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert tree_cpu(process.pid) >= 0.29
        process.communicate("\n")
