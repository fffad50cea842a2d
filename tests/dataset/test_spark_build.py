"""Datasets that Spark builds are those that this process builds, to the last byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.build import build_dataset
from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.dataset.request import Request
from airflow_provider_mlfeat.dataset.source import Source
from airflow_provider_mlfeat.errors import UserError
from tests.conformance.drivers import spark_is_here
from tests.dataset.tables import Stages, visits
from tests.dataset.test_build import FIELDS, request

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not spark_is_here(), reason="Spark needs pyspark and a Java runtime"),
]

# Small, so that a few thousand rows make several parts of each kind.
ROWS, SHARD_ROWS, BLOCK_ROWS = 6_000, 900, 1_300
# In the order of the rows, which is not that of their names.
FILES = {"c.parquet": 2_500, "a b.parquet": 3_100, "b.parquet": 400}


SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
    # Files are cut, so that one file's rows come in several partitions.
    "spark.sql.files.maxPartitionBytes": "40000",
}
CHANGED = ["spark.sql.shuffle.partitions", "spark.sql.files.maxPartitionBytes", "spark.sql.session.timeZone"]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session: where other tests have theirs already, that one, which is left as it was."""
    from pyspark.sql import SparkSession

    from airflow_provider_mlfeat.engine.spark_session import make_session

    shared = SparkSession.getActiveSession()
    before = {name: shared.conf.get(name) for name in CHANGED} if shared else {}
    session = make_session("local[2]", "UTC", SETTINGS)
    session.sparkContext.setLogLevel("OFF")
    yield session
    if shared is None:
        session.stop()
    for name, value in before.items():
        session.conf.set(name, value)


def stored(folder: Path, table: pa.Table) -> tuple[Source, list[str]]:
    """A table in several files of several row groups each."""
    folder.mkdir()
    start, paths = 0, []
    for name, rows in FILES.items():
        pq.write_table(table.slice(start, rows), folder / name, row_group_size=300)
        paths.append(str(folder / name))
        start += rows
    assert start == table.num_rows
    description = {"reference": "visits@1", "name": "visits", "version": 1, "uri": "memory", "fingerprint": "f"}
    return Source(table.num_rows, ds.dataset(paths, format="parquet"), description), paths


def both(tmp_path: Path, spark: Any, asked: Request, table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> list[Dataset]:
    """The dataset as this process builds it, and as Spark does."""
    from airflow_provider_mlfeat.jobs.dataset import spark as driver

    monkeypatch.setattr("airflow_provider_mlfeat.dataset.build.SHARD_ROWS", SHARD_ROWS)
    monkeypatch.setattr(driver, "BLOCK_ROWS", BLOCK_ROWS)
    source, paths = stored(tmp_path / "rows", table)
    (tmp_path / "scratch").mkdir()
    stages = Stages()
    build_dataset(asked, source, tmp_path / "local", tmp_path / "scratch", Stages())
    build_dataset(
        asked, source, tmp_path / "spark", tmp_path / "scratch", stages,
        lambda folder: driver.SparkWalker(spark, source, paths, folder, stages),
    )  # fmt: skip
    assert stages.names[-3:] == ["encode", "assemble", "digest"]
    return [Dataset.open(tmp_path / name) for name in ("local", "spark")]


ASKED = {
    "time": request("time", time="at"),
    "key": request("key", groups=("customer",), fields=(*FIELDS, Field("hour", "at", "part", part="hour"))),
    "recommended": request("random", profile="recommended", fields=()),
    "values alone": request("time", profile="numeric", fields=(), drop=("shop", "top", "customer"), time="at"),
    "faithful": Request("bought", request("positional").split, "faithful", shuffle=False),
    "faithful, shuffled": Request("bought", request("positional").split, "faithful"),
}


@pytest.mark.parametrize("name", ASKED)
def test_spark_builds_the_same_bytes(tmp_path: Path, spark: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    local, distributed = both(tmp_path, spark, ASKED[name], visits(ROWS), monkeypatch)
    assert distributed.encoder.fingerprint == local.encoder.fingerprint
    assert distributed.manifest == local.manifest
    distributed.check()
    assert len(local.manifest.shards) == (1 if not ASKED[name].shuffle else 7)
    assert sorted(path.name for path in distributed.folder.iterdir()) == sorted(
        path.name for path in local.folder.iterdir()
    )


def test_a_job_finds_what_another_engine_built(tmp_path: Path, spark: Any) -> None:
    from airflow_provider_mlfeat.jobs.run import parse_spec, run

    def do(kind: str, **fields: Any) -> Any:
        return run(parse_spec({"kind": kind, "root": str(tmp_path / "tables"), **fields}))

    pq.write_table(visits(), tmp_path / "visits.parquet")
    query = "SELECT request, at, shop, amount, bought FROM visit"
    do("extract_features", sql=query, feature_set="shop.visits", tables={"visit": str(tmp_path / "visits.parquet")})
    asked = {"feature_set": "shop.visits", "label_column": "bought", "key_columns": ["request"], "time_column": "at"}
    local = do("build_dataset", **asked)
    assert do("build_dataset", **asked, engine="spark").already_built
    distributed = do("build_dataset", **asked, engine="spark", output=str(tmp_path / "other"))
    assert (distributed.dataset_fingerprint, distributed.already_built) == (local.dataset_fingerprint, False)
    Dataset.open(distributed.dataset).check()


def test_what_leaks_is_found_on_spark_too(tmp_path: Path, spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = visits(ROWS - 40)
    table = pa.concat_tables([table, table.slice(0, 40)])
    knowing = pa.array(["yes" if one else "no" for one in table.column("bought").to_pylist()])
    table = table.append_column("knowing", knowing)
    asked = request("random", strict=False, groups=("customer",), fields=(*FIELDS, Field("k", "knowing", "vocabulary")))
    local, distributed = both(tmp_path, spark, asked, table, monkeypatch)
    assert local.manifest.warnings == distributed.manifest.warnings
    assert [warning.split(":")[0] for warning in distributed.manifest.warnings][:1] == [
        "key 'request' does not identify a row"
    ]
    assert len(distributed.manifest.warnings) == 3


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("bought", {}, "label column 'bought' is NULL in row 4000"),
        ("at", {"split": "time"}, "time column 'at' is NULL in"),
        ("amount", {}, "column 'amount' is NaN or infinite|'amount'"),
    ],
)
def test_a_mistake_on_a_worker_is_one_sentence(
    tmp_path: Path, spark: Any, change: str, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mlfeat.jobs.dataset.spark import SparkWalker

    table = visits(ROWS)
    values = table.column(change).to_pylist()
    values[4_000] = float("inf") if change == "amount" else None
    place = table.column_names.index(change)
    source, paths = stored(
        tmp_path / "rows", table.set_column(place, change, pa.array(values, table.schema.field(place).type))
    )
    (tmp_path / "scratch").mkdir()
    stages = Stages()
    with pytest.raises(UserError, match=message) as caught:
        build_dataset(
            request(**options), source, tmp_path / "out", tmp_path / "scratch", stages,
            lambda folder: SparkWalker(spark, source, paths, folder, stages),
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"a": pa.uint32()}, "x", "column 'a' is uint32, which Spark does not read; take engine 'batch'"),
        ({"a": pa.timestamp("ns", "UTC")}, "x", "column 'a' is timestamp.ns, tz=UTC., which Spark does not read"),
        ({"a.b": pa.int8()}, "x", "Spark does not find column 'a.b' because of its point"),
        ({"a": pa.int8(), "b": pa.int8(), "A": pa.int8()}, "x", "columns 'a' and 'A' have one name for Spark"),
        ({"a": pa.int8()}, "x/y [1].parquet", "Spark takes 'x/y .1..parquet' for a pattern"),
    ],
)
def test_what_spark_does_not_read_is_told(schema: dict[str, pa.DataType], path: str, message: str) -> None:
    from airflow_provider_mlfeat.jobs.dataset.spark import check_readable

    check_readable(pa.schema({"b": pa.timestamp("us"), "c": pa.int64()}), ["/a b/c%20.parquet"])
    with pytest.raises(UserError, match=message):
        check_readable(pa.schema(schema), ["a", path])


def test_a_file_with_the_name_that_another_has_as_an_address(tmp_path: Path) -> None:
    from airflow_provider_mlfeat.jobs.dataset.spark import SparkWalker

    paths = [str(tmp_path / name) for name in ("a b.parquet", "a%20b.parquet")]
    for rows, path in enumerate(paths, start=3):
        pq.write_table(pa.table({"x": range(rows)}), path)
    session: Any = SimpleNamespace(
        conf=SimpleNamespace(set=lambda *_: None), sparkContext=SimpleNamespace(master="local[1]")
    )
    source = Source(7, ds.dataset(paths, format="parquet"), {})
    walker = SparkWalker(session, source, paths, tmp_path, Stages())
    assert walker._start(f"file://{tmp_path}/a%20b.parquet") == 0
    assert walker._start(f"file://{tmp_path}/a%2520b.parquet") == 3


def test_a_pass_that_finds_moments_needs_no_order() -> None:
    from airflow_provider_mlfeat.dataset.moments import MomentsPass

    random = np.random.default_rng(5)
    # As far apart as whole numbers get, with many that are equal.
    moments = np.concatenate(([-(2**63), 2**63 - 1, 0, 0, 0], random.integers(-(10**12), 10**12, 3_000)))
    random.shuffle(moments)
    places = [0, 1, 700, 1_502, len(moments) - 1]
    found = MomentsPass("at", places)
    passes = 0
    while not found.is_done:
        for start in range(0, len(moments), 250):
            found.add(pa.record_batch({"at": pa.array(moments[start : start + 250])}), start)
        found.narrow()
        passes += 1
    assert passes <= 6
    ordered = np.sort(moments)
    assert (found.finish().first, found.finish().at) == (ordered[0], tuple(ordered[places].tolist()))


def test_workers_find_all_they_need_in_the_archive(tmp_path: Path) -> None:
    from airflow_provider_mlfeat.jobs.dataset.shipping import dataset_room_archive

    archive = dataset_room_archive(tmp_path)
    assert dataset_room_archive(tmp_path) == archive
    script = "import airflow_provider_mlfeat.dataset.partitions as p; print(p.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(archive)}
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith(str(archive))
