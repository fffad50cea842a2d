"""Definitions, versions, links and sources."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.statements import CreateTable
from airflow_provider_mlfeat.sql.syntax import parse_script
from airflow_provider_mlfeat.sql.types import BIGINT, STRING, TIMESTAMP
from airflow_provider_mlfeat.tables import definitions as d
from airflow_provider_mlfeat.tables import versions as v
from airflow_provider_mlfeat.tables.commits import commits
from airflow_provider_mlfeat.tables.delta import loaded_by, open_table
from airflow_provider_mlfeat.tables.sources import TableSource, open_source
from airflow_provider_mlfeat.tables.store import TableStore
from tests.tables.loading import create, load, rows, write, write_parquet

SQL = """CREATE TABLE Orders (Id bigint NOT NULL, name string DEFAULT 'x', n double DEFAULT NULL,
    at timestamp DEFAULT 5,
    INDEX(KEY=(Id, name), TS=at, TTL_TYPE=absorlat, TTL=(10h, 3))) OPTIONS (PARTITIONNUM=4, STORAGE_MODE='Memory')"""


def definition(sql: str = SQL) -> TableDefinition:
    statement = next(iter(parse_script(sql)))
    assert isinstance(statement, CreateTable)
    return statement.table


def test_a_definition_is_kept_as_declared(store: TableStore) -> None:
    first = d.create_table(store, definition())
    assert (first.version, first.rows) == (0, 0)
    assert d.read_definition(store, "", "ORDERS") == definition()
    assert d.create_table(store, definition(), if_not_exists=True) == first
    with pytest.raises(UserError, match="table 'Orders' exists already"):
        d.create_table(store, definition())
    changed = TableDefinition("", "Orders", definition().columns)
    assert d.alter_definition(store, changed).version == 1
    assert d.read_definition(store, "", "orders") == changed
    assert d.read_definition(store, "", "orders", 0) == definition()
    with pytest.raises(UserError, match="columns of 'Orders' cannot change"):
        d.alter_definition(store, TableDefinition("", "Orders", (ColumnDefinition("a", BIGINT),)))


def test_databases_and_the_catalog(store: TableStore) -> None:
    assert d.load_catalog(store).tables() == []
    with pytest.raises(UserError, match="there is no database 'Feat'; CREATE DATABASE Feat makes it"):
        d.create_table(store, TableDefinition("Feat", "t", (ColumnDefinition("a", BIGINT),)))
    d.create_database(store, "Feat")
    with pytest.raises(UserError, match="database 'feat' exists already"):
        d.create_database(store, "feat")
    d.create_database(store, "feat", if_not_exists=True)
    d.create_table(store, TableDefinition("Feat", "T", (ColumnDefinition("a", BIGINT),)))
    d.create_table(store, definition())
    catalog = d.load_catalog(store)
    assert catalog.databases == ["", "Feat"]
    assert [table.qualified_name for table in catalog.tables()] == ["Orders", "Feat.T"]
    d.drop(store, "", "orders")
    with pytest.raises(UserError, match="there is no table 'orders'"):
        d.drop(store, "", "orders")
    d.drop(store, "", "orders", if_exists=True)
    d.drop_database(store, "FEAT")
    d.drop_database(store, "feat", if_exists=True)
    assert d.load_catalog(store).databases == [""]
    with pytest.raises(UserError, match="'../x' cannot name a table"):
        store.uri("", "../x")


def test_storage_options_are_never_shown() -> None:
    store = TableStore("s3://bucket/tables/", {"AWS_SECRET_ACCESS_KEY": "hidden"})
    assert "hidden" not in repr(store)
    assert store.uri("", "T") == "s3://bucket/tables/default/t"
    assert not store.is_local


def three_versions(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    for number in (1, 2, 3):
        file = write(tmp_path / f"{number}.csv", f"a\n{number}\n")
        mode = "append" if number < 3 else "overwrite"
        load(store, file, mode=mode, load_id=f"load {number}")


def test_versions_are_listed_read_and_restored(store: TableStore, tmp_path: Path) -> None:
    three_versions(store, tmp_path)
    assert [[row["a"] for row in rows(store, version=n)] for n in range(4)] == [[], [1], [1, 2], [3]]
    changes = v.history(store, "", "t")
    assert [change.version for change in changes] == [3, 2, 1, 0]
    assert changes[0].details["load"]["load_id"] == "load 3"
    assert changes[0].committed_at >= changes[1].committed_at
    with pytest.raises(UserError, match="has no version 9; its newest is 3"):
        rows(store, version=9)
    with pytest.raises(UserError, match="has no version 9; its newest is 3"):
        v.restore(store, "", "t", 9)
    second = v.describe(store, "", "t", 2)
    restored = v.restore(store, "", "t", 2)
    assert (restored.version, restored.rows, restored.fingerprint) == (4, 2, second.fingerprint)
    assert restored.fingerprint != v.describe(store, "", "t", 3).fingerprint
    assert [row["a"] for row in rows(store)] == [1, 2]
    # The load that was taken back may come again, those before it may not.
    assert load(store, tmp_path / "2.csv", mode="append", load_id="load 2").already_loaded
    assert not load(store, tmp_path / "3.csv", mode="append", load_id="load 3").already_loaded
    assert [row["a"] for row in rows(store)] == [1, 2, 3]


def test_vacuum_keeps_what_the_newest_version_needs(store: TableStore, tmp_path: Path) -> None:
    three_versions(store, tmp_path)
    assert v.vacuum(store, "", "t") == []
    assert len(v.vacuum(store, "", "t", retention_hours=0, dry_run=True)) == 2
    assert len(rows(store, version=2)) == 2
    assert len(v.vacuum(store, "", "t", retention_hours=0)) == 2
    assert rows(store) == [{"a": 3}]
    with pytest.raises(UserError, match="of version 2 is gone; it was vacuumed or deleted"):
        rows(store, version=2)


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def linked(store: TableStore, tmp_path: Path) -> tuple[TableStore, Path]:
    create(store, "CREATE TABLE t (a bigint NOT NULL, at timestamp)")
    at = pa.array([0, None], pa.timestamp("ms"))
    file = write_parquet(tmp_path / "a.parquet", {"a": pa.array([1, 2], pa.int32()), "at": at})
    assert load(store, file, format="parquet", deep_copy=False, load_id="x").rows_loaded == 2
    return store, file


def test_linked_files_are_read_where_they_are(linked: tuple[TableStore, Path], tmp_path: Path) -> None:
    store, file = linked
    assert list(Path(store.uri("", "t")).glob("*.parquet")) == []
    assert v.paths(store, "", "t") == [str(file)]
    assert [row["a"] for row in rows(store)] == [1, 2]
    assert load(store, file, format="parquet", deep_copy=False, load_id="x").already_loaded
    os.utime(file, ns=(1, 1))
    assert len(rows(store)) == 2  # another time, the same content
    load(store, file, format="parquet", mode="overwrite")
    file.unlink()
    assert len(rows(store)) == 2
    with pytest.raises(UserError, match=r"a.parquet', which a table links to \(deep_copy=false\), is gone"):
        rows(store, version=1)


def test_a_linked_file_that_changed_is_not_read(linked: tuple[TableStore, Path]) -> None:
    store, file = linked
    columns = pq.read_table(file)
    pq.write_table(columns.set_column(0, "a", pa.array([1, 3], pa.int32())), file)
    with pytest.raises(UserError, match="a.parquet' has changed since it was linked"):
        rows(store)


def test_links_of_a_load_that_fails_are_taken_away(
    linked: tuple[TableStore, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = linked
    before = sorted(Path(store.uri("", "t"), "_links").iterdir())

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("away")

    monkeypatch.setattr("airflow_provider_mlfeat.tables.load.commit", fail)
    with pytest.raises(TransientError, match="committing to table 't': away"):
        load(store, file, format="parquet", deep_copy=False, mode="append")
    assert sorted(Path(store.uri("", "t"), "_links").iterdir()) == before


def test_a_partitioned_table_is_not_loaded(store: TableStore, tmp_path: Path) -> None:
    write_deltalake(store.uri("", "t"), pa.table({"a": [1], "b": ["x"]}), partition_by="b")
    assert rows(store) == [{"a": 1, "b": "x"}]
    with pytest.raises(UserError, match="table 't' is partitioned"):
        load(store, write(tmp_path / "a.csv", "a,b\n1,x\n"), mode="append")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": pa.array([1, None]), "at": pa.nulls(2, pa.timestamp("us"))}, "column 'a' of '{}' may hold NULL"),
        ({"A": pa.array([1]), "at": pa.nulls(1, pa.timestamp("us"))}, "column 'A' of '{}' is called 'a' in the table"),
        ({"a": pa.array([1]), "at": pa.array([1])}, "column 'at' of '{}' has type int64, the table timestamp"),
        ({"a": pa.array([1]), "at": pa.array([1], pa.timestamp("ns"))}, "column 'at' of '{}' has type timestamp[ns]"),
    ],
)
def test_files_that_need_a_change_cannot_be_linked(
    store: TableStore, tmp_path: Path, columns: dict[str, Any], sentence: str
) -> None:
    create(store, "CREATE TABLE t (a bigint NOT NULL, at timestamp)")
    file = write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(UserError) as caught:
        load(store, file, format="parquet", deep_copy=False)
    assert str(caught.value).startswith(sentence.format(file))
    assert str(caught.value).endswith("load it with deep_copy=true")
    with pytest.raises(UserError, match="deep_copy=false links Parquet files only"):
        load(store, file, deep_copy=False)


# ── sources ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sources_from_text() -> None:
    assert TableSource.parse("s3://b/x.parquet") == TableSource("files", "s3://b/x.parquet")
    assert TableSource.parse("delta:/x/y@3") == TableSource("delta", "/x/y", 3)
    assert TableSource.parse("delta:s3://b/y") == TableSource("delta", "s3://b/y")
    assert TableSource.parse("table:db.t@0") == TableSource("table", "db.t", 0)
    assert TableSource.parse("spark:db.t") == TableSource("spark", "db.t")
    assert [str(TableSource.parse(text)) for text in ("a.csv", "table:t@2")] == ["a.csv", "table:t@2"]
    for text in ("", "delta:", "table:t@x"):
        with pytest.raises(UserError):
            TableSource.parse(text)


def test_a_stored_table_and_a_version_of_it_as_sources(store: TableStore, tmp_path: Path) -> None:
    three_versions(store, tmp_path)
    newest, second = (open_source(TableSource.parse(text), store) for text in ("table:T", "table:t@2"))
    assert newest.source.version == 3
    assert isinstance(second.data, ds.Dataset)
    assert second.data.to_table().to_pydict() == {"a": [1, 2]}
    assert second.parquet is not None
    assert pq.read_table(second.parquet[1]).to_pydict() == {"a": [2]}
    assert newest.fingerprint != second.fingerprint
    assert newest.definition == d.read_definition(store, "", "t")
    with pytest.raises(UserError, match="needs the root of the tables"):
        open_source(TableSource.parse("table:t"))


def test_files_and_tables_made_elsewhere_as_sources(tmp_path: Path) -> None:
    data = pa.table({"k": ["a", "b"], "at": pa.array([1, 2], pa.timestamp("us", "UTC")), "n": pa.array([1, 2])})
    columns = [("k", STRING), ("at", TIMESTAMP), ("n", BIGINT)]
    write_deltalake(str(tmp_path / "delta"), data)
    write_deltalake(str(tmp_path / "delta"), data, mode="append")
    delta = open_source(TableSource.parse(f"delta:{tmp_path}/delta@0"))
    pq.write_table(data, tmp_path / "a.parquet")
    files = open_source(TableSource.parse(str(tmp_path / "a.parquet")))
    arrow = open_source(TableSource("arrow", arrow=data))
    for opened in (delta, files, arrow):
        assert opened.definition is not None
        assert [(column.name, column.type) for column in opened.definition.columns] == columns
        found = opened.data.to_table() if isinstance(opened.data, ds.Dataset) else opened.data
        assert found == data
    assert files.parquet == (str(tmp_path / "a.parquet"),)
    with pytest.raises(UserError, match="there is no Delta table at"):
        open_source(TableSource.parse(f"delta:{tmp_path}/none"))
    with pytest.raises(UserError, match="is text: CREATE TABLE must say its columns' types"):
        open_source(TableSource.parse(str(write(tmp_path / "a.csv", "k,at,n\na,1,1\n"))))
    csv = open_source(TableSource.parse(str(tmp_path / "a.csv")), definition=files.definition)
    assert isinstance(csv.data, pa.Table)
    assert csv.data.num_rows == 1
    write(tmp_path / "b.csv", "k,at,n\na,1,one\n")
    with pytest.raises(UserError, match=r"b.csv' row 1, column 'n': 'one' is no bigint"):
        open_source(TableSource.parse(str(tmp_path / "b.csv")), definition=files.definition)


def test_fingerprints_follow_the_content(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", {"a": [1]})
    first = open_source(TableSource.parse(str(file))).fingerprint
    assert open_source(TableSource.parse(str(file))).fingerprint == first
    write_parquet(file, {"a": [2]})
    assert open_source(TableSource.parse(str(file))).fingerprint != first
    one, two = (open_source(TableSource("arrow", arrow=pa.table({"a": [n]}))).fingerprint for n in (1, 2))
    assert one != two


def test_versions_keep_their_numbers_while_others_commit(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    opened = open_table(store, "", "t")
    for number in range(3):
        load(store, write(tmp_path / f"{number}.csv", f"a\n{number}\n"), mode="append", load_id=f"load {number}")
    assert [(entry.version, entry.operation) for entry in commits(opened, {})] == [(0, "CREATE TABLE")]
    second = open_table(store, "", "t", 2)
    load(store, write(tmp_path / "3.csv", "a\n3\n"), mode="append", load_id="load 3")
    made = {entry.version: entry.notes["load"]["load_id"] for entry in commits(second, {}) if entry.version}
    assert made == {1: "load 0", 2: "load 1"}
    found = loaded_by(second, "load 1", {})
    assert found is not None
    assert (found[0], found[1]["load"]["load_id"]) == (2, "load 1")
    assert loaded_by(second, "load 3", {}) is None


def test_restoring_the_current_version_changes_nothing(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    load(store, write(tmp_path / "1.csv", "a\n1\n"))
    before = v.current(store, "", "t")
    assert v.restore(store, "", "t", 1) == before
    assert [change.version for change in v.history(store, "", "t")] == [1, 0]


def test_a_version_whose_log_entry_is_gone_still_has_a_time(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    for number in range(3):
        load(store, write(tmp_path / f"{number}.csv", f"a\n{number}\n"), mode="append")
    open_table(store, "", "t").create_checkpoint()
    for number in range(4):
        (Path(store.uri("", "t")) / "_delta_log" / f"{number:020}.json").unlink()
    assert v.history(store, "", "t") == []
    assert v.current(store, "", "t").committed_at.year > 2000
