"""Files that a version names are never taken away, whatever fails behind its commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from airflow_provider_mlfeat.tables import committing, load, versions
from airflow_provider_mlfeat.tables.committing import UnknownCommitError
from airflow_provider_mlfeat.tables.feature_sets import FeatureSetMetadata, read_feature_set, write_feature_set
from airflow_provider_mlfeat.tables.store import TableStore
from tests.tables.loading import create, rows, version_of, write
from tests.tables.loading import load as load_into

NUMBERS = pa.table({"n": pa.array([1, 2, 3], pa.int64())})


def with_broken_checkpoints(uri: str) -> None:
    """Each version is to have a checkpoint, and none can be written: a folder stands where it belongs."""
    DeltaTable(uri).alter.set_table_properties({"delta.checkpointInterval": "1"})
    now = DeltaTable(uri).version()
    for version in range(now + 1, now + 5):
        (Path(uri) / "_delta_log" / f"{version:020}.checkpoint.parquet" / "in the way").mkdir(parents=True)


def write_features(store: TableStore, plan: str) -> int:
    given = FeatureSetMetadata("SELECT 1", plan, {"t": plan})
    return write_feature_set(store, "set", NUMBERS.to_batches(), NUMBERS.schema, given).version


@pytest.fixture
def table(store: TableStore, tmp_path: Path) -> str:
    create(store, "CREATE TABLE t (n bigint);")
    write(tmp_path / "one.csv", "n\n1\n")
    load_into(store, tmp_path / "one.csv", mode="append")
    return store.uri("", "t")


def test_a_load_is_done_when_its_version_is_there(store: TableStore, table: str, tmp_path: Path) -> None:
    with_broken_checkpoints(table)
    before = version_of(store)
    report = load_into(store, write(tmp_path / "two.csv", "n\n2\n"), mode="append", load_id="second")
    assert (report.version, version_of(store)) == (before + 1, before + 1)
    assert [row["n"] for row in rows(store)] == [1, 2]
    assert load_into(store, tmp_path / "two.csv", mode="append", load_id="second").already_loaded


def test_so_is_a_feature_set(store: TableStore) -> None:
    write_features(store, "first")
    with_broken_checkpoints(store.uri("", "set"))
    version = write_features(store, "second")
    assert read_feature_set(store, "set").version == version
    assert versions.read(store, "", "set").to_table() == NUMBERS


def test_what_fails_behind_the_commit_takes_nothing_away(
    store: TableStore, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(delta: Any) -> Any:
        raise OSError("the network is gone")

    before = version_of(store)
    with monkeypatch.context() as patched:
        patched.setattr(load, "data_files", fails)
        with pytest.raises(OSError, match="the network is gone"):
            load_into(store, write(tmp_path / "two.csv", "n\n2\n"), mode="append")
    assert version_of(store) == before + 1
    assert [row["n"] for row in rows(store)] == [1, 2]


@pytest.mark.parametrize("error", [DeltaError, CommitFailedError, OSError])
def test_a_commit_that_made_nothing_leaves_nothing(
    store: TableStore, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    files = sorted(Path(table).glob("*.parquet"))

    def fails(*given: Any, **options: Any) -> None:
        raise error("no")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fails)
    with pytest.raises(Exception, match="no"):
        load_into(store, write(tmp_path / "two.csv", "n\n2\n"), mode="append")
    assert sorted(Path(table).glob("*.parquet")) == files


def test_files_stay_while_nobody_can_say(
    store: TableStore, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_features(store, "first")
    commit = DeltaTable.create_write_transaction

    def loses_the_answer(*given: Any, **options: Any) -> None:
        commit(*given, **options)
        raise OSError("connection reset")

    def cannot_look(*given: Any) -> bool:
        raise OSError("no route to host")

    with monkeypatch.context() as patched:
        patched.setattr(DeltaTable, "create_write_transaction", loses_the_answer)
        patched.setattr(committing, "adds", cannot_look)
        with pytest.raises(UnknownCommitError, match=r"cannot be told \(no route to host\): connection reset"):
            load_into(store, write(tmp_path / "two.csv", "n\n2\n"), mode="append", load_id="second")
        with pytest.raises(UnknownCommitError):
            write_features(store, "second")
    assert load_into(store, tmp_path / "two.csv", mode="append", load_id="second").already_loaded
    assert [row["n"] for row in rows(store)] == [1, 2]
    assert write_features(store, "second") == read_feature_set(store, "set").version
    assert versions.read(store, "", "set").to_table() == NUMBERS
