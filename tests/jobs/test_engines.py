"""Which engine a query gets."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.jobs.tables.engines import available_memory, choose_engine, decoded_bytes

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "has_spark", "engine", "reason"),
    [
        (12 * MIB, True, "batch", "reads 12 MiB, so it works in about 48 MiB, within the 50 MiB"),
        (13 * MIB, True, "spark", "works in about 52 MiB, more than the 50 MiB"),
        (13 * MIB, False, "batch", "more than the 50 MiB that it should take, but Spark is not installed"),
    ],
)
def test_auto_goes_by_size_and_says_why(size: int, has_spark: bool, engine: str, reason: str) -> None:
    choice = choose_engine("auto", lambda: size, memory=lambda: 100 * MIB, has_spark=has_spark)
    assert choice.engine == engine
    assert reason in choice.reason


def test_who_asks_for_an_engine_gets_it_without_a_look() -> None:
    def size() -> int:
        raise AssertionError("nobody needs it")

    assert choose_engine("spark", size).engine == "spark"


def test_the_size_is_that_of_the_columns_that_are_read(tmp_path: Path) -> None:
    rows = pa.table({"a": pa.array(range(100_000), pa.int64()), "b": ["x"] * 100_000})
    pq.write_table(rows, tmp_path / "a.parquet", use_dictionary=False)
    dataset = ds.dataset(tmp_path / "a.parquet")
    assert 800_000 <= decoded_bytes(dataset, ["a"]) < 900_000
    assert decoded_bytes(dataset, ["a", "b"]) > 1_200_000
    assert decoded_bytes(rows, ["a"]) == rows.nbytes
    assert decoded_bytes(None, ["a"]) == 0


def test_the_memory_of_this_machine() -> None:
    assert 0 < available_memory() < 1 << 50
