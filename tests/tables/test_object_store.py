"""The code for object stores, run against Delta's own file system over a folder: no local short cut is taken."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables import definitions as d
from airflow_provider_mlfeat.tables import source_files
from airflow_provider_mlfeat.tables.load import LoadOptions, load_files
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.tables.versions import read, restore, vacuum
from tests.tables.loading import create, load, rows, write, write_parquet


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableStore:
    """A store that is reached as an object store is; a folder that stands for a prefix must be there beforehand."""
    (tmp_path / "bucket" / "tables" / "default").mkdir(parents=True)
    make = lambda _, uri: Path(uri.removeprefix("file://")).mkdir(parents=True, exist_ok=True)  # noqa: E731
    monkeypatch.setattr(d, "_ensure_folder", make)
    store = TableStore("s3://bucket")
    object.__setattr__(store, "root", f"file://{tmp_path}/bucket/tables")
    assert not store.is_local
    return store


def test_tables_of_an_object_store(far: TableStore, tmp_path: Path) -> None:
    assert d.load_catalog(far).tables() == []
    d.create_database(far, "Feat")
    create(far, "CREATE TABLE t (a int, b string)")
    report = load(far, write(tmp_path / "1.csv", "a,b\n1,x\nz,y\n"), max_bad_rows=1, load_id="one")
    assert report.quarantine is not None
    assert "z,is no int" in Path(report.quarantine.removeprefix("file://")).read_text()
    assert load(far, tmp_path / "1.csv", mode="append", load_id="one").already_loaded
    load(far, write(tmp_path / "2.csv", "a,b\n2,\n"), mode="append")
    assert rows(far) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    assert restore(far, "", "t", 1).rows == 1
    with pytest.raises(UserError, match="1 bad row of 1"):
        load(far, write(tmp_path / "3.csv", "a,b\nq,\n"), mode="append")
    folder = Path(far.uri("", "t").removeprefix("file://"))
    assert len(list(folder.glob("*.parquet"))) == 2
    assert len(vacuum(far, "", "t", retention_hours=0)) == 1
    assert read(far, "", "t").count_rows() == 1
    assert [table.name for table in d.load_catalog(far).tables()] == ["t"]
    with pytest.raises(UserError, match="an object store has no links"):
        file = write_parquet(tmp_path / "a.parquet", {"a": pa.array([1], pa.int32()), "b": ["x"]})
        load(far, file, format="parquet", mode="append", deep_copy=False)
    d.drop(far, "", "t")
    d.drop_database(far, "feat")
    assert d.load_catalog(far).databases == [""]


def test_files_of_an_object_store(
    far: TableStore, store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (3, 1, 2):
        write(tmp_path / "bucket" / "in" / f"{number}.csv", f"a\n{number}\n")
        write_parquet(tmp_path / "bucket" / "in" / f"{number}.parquet", {"a": pa.array([number], pa.int32())})
    write(tmp_path / "bucket" / "in" / "_log" / "0.csv", "")
    write(tmp_path / "bucket" / "in" / "deep" / "4.csv.gz", gzip.compress(b"a\n4\n"))
    monkeypatch.setattr(source_files, "_local", lambda path: source_files._remote(f"file://{path}", {}))
    create(store, "CREATE TABLE t (a int)")
    place = f"{tmp_path}/bucket/in"
    load_files(store, "", "t", [f"{place}/?.csv", f"{place}/deep"], LoadOptions())
    load_files(
        store, "", "t", [f"{place}/*.parquet", f"{place}/2.parquet"], LoadOptions(format="parquet", mode="append")
    )
    assert [row["a"] for row in rows(store)] == [1, 2, 3, 4, 1, 2, 3, 2]
    with pytest.raises(UserError, match="no file matches"):
        load_files(store, "", "t", f"{place}/*.orc", LoadOptions(format="orc", mode="append"))
