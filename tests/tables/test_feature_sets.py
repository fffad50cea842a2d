"""A feature set's versions know where they come from, and the same extraction is one version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.types import BIGINT
from airflow_provider_mlfeat.tables import versions
from airflow_provider_mlfeat.tables.definitions import create_table, load_catalog
from airflow_provider_mlfeat.tables.feature_sets import (
    FeatureSet,
    FeatureSetMetadata,
    feature_set_versions,
    find_feature_set,
    parquet_batches,
    parse_reference,
    read_feature_set,
    read_rows,
    write_feature_set,
)
from airflow_provider_mlfeat.tables.statistics import collect_statistics
from airflow_provider_mlfeat.tables.store import TableStore

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = pa.table(
    {
        "id": pa.array([1, 2, None], pa.int32()),
        "text": ["a", None, "<b>☃"],
        "price": [0.1, 7.0, None],
        "flag": [True, None, False],
        "day": [date(2020, 5, 22), None, date(1900, 1, 1)],
        "at": pa.array([1_590_115_420_007, None, 0], pa.timestamp("ms")),
    }
)


def metadata(plan: str = "plan-1", inputs: dict[str, str] | None = None, **more: Any) -> FeatureSetMetadata:
    return FeatureSetMetadata("SELECT 'it''s' FROM t", plan, inputs or {"t": "version 3"}, **more)


def write(
    store: TableStore, name: str = "jd", table: pa.Table = TABLE, plan: str = "plan-1", **more: Any
) -> FeatureSet:
    return write_feature_set(store, name, table.to_batches(), table.schema, metadata(plan), **more)


def numbers(first: int, count: int = 5) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + count), pa.int64())})


def files_of(made: FeatureSet) -> set[str]:
    return {path.name for path in Path(made.uri).glob("*.parquet")}


def test_a_version_is_described_and_reads_back(store: TableStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    given = metadata(engine="spark", details={"dag": "nightly"})
    made = write_feature_set(store, "features.jd", TABLE.to_batches(), TABLE.schema, given)
    assert (made.name, made.reference, made.rows) == ("features.jd", f"features.jd@{made.version}", 3)
    assert made.metadata == given
    assert before < made.committed_at < datetime.now(UTC) + timedelta(seconds=1)
    assert not made.already_there
    types = ["int", "string", "double", "bool", "date", "timestamp"]
    assert made.columns == tuple(zip(TABLE.column_names, types, strict=True))
    assert read_feature_set(store, "features.jd") == made
    rows = read_rows(store, made).to_table()
    assert rows.schema.field("at").type == pa.timestamp("us", "UTC")
    assert rows.cast(pa.schema([*list(TABLE.schema)[:-1], pa.field("at", pa.timestamp("ms", "UTC"))])).to_pylist() == [
        row | {"at": row["at"] and row["at"].replace(tzinfo=UTC)} for row in TABLE.to_pylist()
    ]


def test_statistics_are_those_of_the_rows(store: TableStore) -> None:
    random = np.random.default_rng(0)
    table = pa.table({"n": random.normal(size=100_000), "k": pa.array(random.integers(0, 9, 100_000)).cast("string")})
    made = write_feature_set(store, "jd", table.to_batches(max_chunksize=999), table.schema, metadata())
    assert made.statistics == collect_statistics(table.to_batches(), table.schema)
    assert read_feature_set(store, "jd").statistics == made.statistics


def test_the_same_extraction_is_the_same_version(store: TableStore) -> None:
    def never() -> Iterator[pa.RecordBatch]:
        raise AssertionError("the rows were looked at")
        yield

    first = write(store)
    again = write_feature_set(store, "jd", never(), TABLE.schema, metadata())
    assert (again.version, again.already_there, again.statistics) == (first.version, True, first.statistics)
    # Another engine means the same; another plan, other inputs or another dialect do not.
    assert find_feature_set(store, "jd", metadata(engine="spark", details={"run": "2"})) is not None
    for other in (metadata("plan-2"), metadata(inputs={"t": "version 4"}), metadata(dialect="spark")):
        assert find_feature_set(store, "jd", other) is None


def test_another_plan_is_another_version_and_old_ones_stay(store: TableStore) -> None:
    first, second = write(store, table=numbers(0)), write(store, table=TABLE, plan="plan-2")
    assert second.version == first.version + 1
    assert read_feature_set(store, "jd").reference == second.reference
    for text in (f"jd@{first.version}", f"jd VERSION AS OF {first.version}"):
        old = read_feature_set(store, text)
        assert old == first
        assert read_rows(store, old).to_table().column("n").to_pylist() == [0, 1, 2, 3, 4]
    assert read_feature_set(store, "jd", first.version) == first
    assert [made.version for made in feature_set_versions(store, "jd")] == [second.version, first.version]
    # The first plan's version is found although another one is newest now.
    assert write(store, table=numbers(0)).version == first.version


def test_old_versions_keep_their_time(store: TableStore) -> None:
    first = write(store, table=numbers(0))
    time.sleep(0.01)
    second = write(store, plan="plan-2")
    assert versions.describe(store, "", "jd", first.version).committed_at == first.committed_at
    assert versions.current(store, "", "jd").committed_at == second.committed_at > first.committed_at


def test_reuse_can_be_declined(store: TableStore) -> None:
    first = write(store)
    second = write(store, reuse=False)
    assert (second.version, second.already_there) == (first.version + 1, False)
    assert write(store).version == second.version


def test_a_restored_version_is_what_it_was(store: TableStore) -> None:
    first = write(store, table=numbers(0))
    write(store, plan="plan-2")
    versions.restore(store, "", "jd", first.version)
    now = read_feature_set(store, "jd")
    assert (now.version, now.rows_of, now.statistics) == (first.version + 2, first.version, first.statistics)
    assert read_rows(store, now).count_rows() == 5
    versions.restore(store, "", "jd", first.version + 1)
    versions.restore(store, "", "jd", now.version)
    again = read_feature_set(store, "jd")
    assert (again.version, again.rows_of) == (now.version + 2, first.version)
    assert write(store, table=numbers(0)).version == first.version


def test_rows_that_somebody_else_wrote_are_no_version_of_it(store: TableStore) -> None:
    first = write(store, table=numbers(0))
    write_deltalake(first.uri, numbers(9), mode="append")
    with pytest.raises(UserError, match="version 2 of feature set 'jd' was not written by an extraction"):
        read_feature_set(store, "jd")
    assert read_feature_set(store, "jd@1") == first
    assert write(store, table=TABLE, plan="plan-2").version == 3
    assert [made.version for made in feature_set_versions(store, "jd")] == [3, 1]


def test_a_vacuumed_version_is_written_again(store: TableStore) -> None:
    first = write(store, table=numbers(0))
    second = write(store, plan="plan-2")
    versions.vacuum(store, "", "jd", retention_hours=0)
    assert read_feature_set(store, "jd").statistics == second.statistics
    assert find_feature_set(store, "jd", metadata("plan-2")) is not None
    assert find_feature_set(store, "jd", metadata()) is None
    again = write(store, table=numbers(0))
    assert again.version > second.version
    assert not again.already_there
    assert first.version < again.version


def test_a_feature_set_is_an_ordinary_table(store: TableStore) -> None:
    made = write(store, "features.jd")
    definition = load_catalog(store).get_table("features", "jd")
    assert [(column.name, str(column.type)) for column in definition.columns] == list(made.columns)
    assert versions.current(store, "features", "jd").rows == 3
    assert versions.read(store, "features", "jd", made.version).count_rows() == 3


def test_large_sets_go_to_several_files_in_order(store: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mlfeat.tables.version_files._PART_BYTES", 100_000)
    random = np.random.default_rng(0)
    table = pa.table({"n": random.normal(size=400_000)})
    made = write_feature_set(store, "jd", table.to_batches(), table.schema, metadata())
    assert len(files_of(made)) > 2
    assert read_rows(store, made).to_table().equals(table)


def test_rows_come_from_parquet_files_too(store: TableStore, tmp_path: Path) -> None:
    for part in range(3):
        pq.write_table(numbers(part * 5), tmp_path / f"part-{part}.parquet")
    schema, batches = parquet_batches(tmp_path)
    made = write_feature_set(store, "jd", batches, schema, metadata())
    assert read_rows(store, made).to_table().column("n").to_pylist() == list(range(15))
    with pytest.raises(UserError, match="none.parquet cannot be read as parquet"):
        parquet_batches(tmp_path / "none.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="broken.parquet cannot be read as parquet"):
        parquet_batches(tmp_path / "broken.parquet")


def test_no_rows_are_a_version_too(store: TableStore) -> None:
    made = write(store, table=numbers(0, 0))
    assert (made.rows, made.statistics[0].rows) == (0, 0)
    assert read_rows(store, made).count_rows() == 0
    assert write(store, table=numbers(0, 0)).already_there


def test_types_that_are_stored_otherwise(store: TableStore) -> None:
    table = pa.table(
        {
            "tiny": pa.array([1], pa.int8()),
            "large": pa.array(["a"], pa.large_string()),
            "coded": pa.array(["b"]).dictionary_encode(),
            "ns": pa.array([1_000_000], pa.timestamp("ns", "Asia/Shanghai")),
        }
    )
    made = write(store, table=table)
    assert [type_ for _, type_ in made.columns] == ["smallint", "string", "string", "timestamp"]
    assert read_rows(store, made).to_table().to_pylist() == [
        {"tiny": 1, "large": "a", "coded": "b", "ns": datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)}
    ]


def test_progress_counts_rows(store: TableStore) -> None:
    class Counter:
        done = 0.0

        def advance(self, amount: float = 1) -> None:
            self.done += amount

    counter = Counter()
    write(store, table=numbers(0, 100_000), progress=counter)
    assert counter.done == 100_000


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_extraction_leaves_nothing(store: TableStore) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from numbers(0).to_batches()
        raise RuntimeError("the query failed")

    with pytest.raises(RuntimeError, match="the query failed"):
        write_feature_set(store, "jd", broken(), numbers(0).schema, metadata())
    assert feature_set_versions(store, "jd") == []
    assert list(Path(store.uri("", "jd")).glob("*.parquet")) == []
    first = write(store, table=numbers(0))
    with pytest.raises(RuntimeError):
        write_feature_set(store, "jd", broken(), numbers(0).schema, metadata("plan-2"))
    assert read_feature_set(store, "jd") == first
    assert len(files_of(first)) == 1


def test_runs_at_the_same_time_make_one_version(store: TableStore) -> None:
    write(store, table=numbers(0))
    made: list[FeatureSet] = []
    barrier = threading.Barrier(4)

    def slow() -> Iterator[pa.RecordBatch]:
        barrier.wait()
        yield from numbers(7).to_batches()

    def extract() -> None:
        made.append(write_feature_set(store, "jd", slow(), numbers(0).schema, metadata("plan-2")))

    threads = [threading.Thread(target=extract) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.version for one in made}) == 1
    assert sorted(one.already_there for one in made) == [False, True, True, True]
    assert len(feature_set_versions(store, "jd")) == 2
    assert len(files_of(made[0])) == 2


def test_different_runs_at_the_same_time_all_count(store: TableStore) -> None:
    made: list[FeatureSet] = []

    def extract(number: int) -> None:
        made.append(write(store, table=numbers(number), plan=f"plan-{number}"))

    threads = [threading.Thread(target=extract, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.version for one in made}) == 5
    for one in made:
        first = int(one.metadata.plan_id.removeprefix("plan-"))
        assert read_rows(store, one).to_table().column("n").to_pylist()[0] == first


WRITER = """
import sys, pyarrow as pa
from itertools import count
from airflow_provider_mlfeat.tables.feature_sets import FeatureSetMetadata, write_feature_set
from airflow_provider_mlfeat.tables.store import TableStore
table = pa.table({"n": range(1_000)})
print("ready", flush=True)
for number in count():
    metadata = FeatureSetMetadata("SELECT 1", sys.argv[2] + str(number), {})
    write_feature_set(TableStore(sys.argv[1]), "jd", table.to_batches(), table.schema, metadata)
"""


def test_a_killed_writer_leaves_whole_versions(store: TableStore) -> None:
    random = np.random.default_rng(0)
    for turn in range(5):
        command = [sys.executable, "-c", WRITER, store.root, f"{turn}-"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.02 + random.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for made in feature_set_versions(store, "jd"):
            assert read_rows(store, made).to_table().column("n").to_pylist() == list(range(1_000))
    assert write(store, table=numbers(0)).rows == 5
    assert read_rows(store, read_feature_set(store, "jd")).count_rows() == 5


# ── wrong questions ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_references() -> None:
    assert parse_reference("jd") == ("jd", None)
    assert parse_reference(" features.jd@12 ") == ("features.jd", 12)
    assert parse_reference("jd version as of 3") == ("jd", 3)
    for wrong in ("", "jd@", "jd@x", "jd VERSION 3", "a b", "jdVERSION AS OF 3x"):
        with pytest.raises(UserError, match="names no feature set: write name, name@3 or name VERSION AS OF 3"):
            parse_reference(wrong)


def test_what_is_not_there_is_a_sentence(store: TableStore) -> None:
    assert feature_set_versions(store, "jd") == []
    with pytest.raises(UserError, match="there is no table 'jd'"):
        read_feature_set(store, "jd")
    made = write(store)
    with pytest.raises(UserError, match=f"feature set 'jd' has no version 99; its newest is {made.version}"):
        read_feature_set(store, "jd@99")
    with pytest.raises(UserError, match="version 0 of feature set 'jd' was not written by an extraction"):
        read_feature_set(store, "jd", 0)
    for wrong in ("a.b.c", ".jd", "jd."):
        with pytest.raises(UserError, match="names no feature set: write name or database.name"):
            write(store, wrong)


def test_a_table_is_no_feature_set(store: TableStore) -> None:
    create_table(store, TableDefinition("", "t", (ColumnDefinition("n", BIGINT),)))
    with pytest.raises(UserError, match="'t' is a table and no feature set; give the feature set another name"):
        write(store, "t")
    assert versions.current(store, "", "t").rows == 0


def test_columns_that_cannot_be_kept_are_sentences(store: TableStore) -> None:
    for column in (pa.array([[1]]), pa.array([1], pa.decimal128(9, 2)), pa.array([1], pa.uint64())):
        with pytest.raises(UserError, match="column 'c' has type .*, which a feature set cannot hold; CAST it"):
            write(store, table=pa.table({"c": column}))
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "A"])
    with pytest.raises(UserError, match="two columns 'A'; rename one with AS"):
        write(store, table=twice)
    with pytest.raises(UserError, match="needs a column"):
        write(store, table=pa.table({}))
    assert not Path(store.uri("", "jd")).exists()
