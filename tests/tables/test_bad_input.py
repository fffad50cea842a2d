"""Bad input and bad places: each has one clear sentence, and the table stays as it was."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import CancelledError, UserError
from airflow_provider_mlfeat.tables.formats import text_blocks
from airflow_provider_mlfeat.tables.load import LoadOptions, load_files
from airflow_provider_mlfeat.tables.store import TableStore
from tests.tables.loading import EVENTS, create, load, rows, version_of, write, write_parquet

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65_534


@pytest.fixture
def table(store: TableStore, tmp_path: Path) -> Iterator[TableStore]:
    """A table that must stay as it is."""
    create(store, "CREATE TABLE t (a int, b string)")
    load(store, write(tmp_path / "good.csv", "a,b\n1,x\n"))
    files = sorted(Path(store.uri("", "t")).glob("*.parquet"))
    yield store
    assert rows(store) == [{"a": 1, "b": "x"}]
    assert version_of(store) == 1
    assert sorted(Path(store.uri("", "t")).glob("*.parquet")) == files


def refused(table: TableStore, path: Any, **options: Any) -> str:
    """The sentence of a refused load."""
    with pytest.raises(UserError) as caught:
        load(table, path, **{"mode": "append", **options})
    return str(caught.value)


def run_loader(root: Path | str, paths: Any, **asked: Any) -> subprocess.CompletedProcess[str]:
    """Load in another process, which may have less rights and less room."""
    asked = {"root": str(root), "paths": str(paths), "options": {"mode": "append"}, **asked}
    command = [sys.executable, "-m", "tests.tables.loader", json.dumps(asked)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("path", ["none.csv", "none/*.csv", "folder"])
def test_no_file(table: TableStore, tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    assert refused(table, tmp_path / path).startswith("no file ")
    assert str(tmp_path / path) in refused(table, tmp_path / path)


def test_no_table_and_no_path(table: TableStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no table 'tt'. Did you mean 't'?"):
        load(table, tmp_path / "good.csv", "tt")
    assert refused(table, []) == "a load needs at least one path"


def test_columns_that_do_not_match(table: TableStore, tmp_path: Path) -> None:
    missing = write(tmp_path / "m.csv", "a,bb\n1,x\n")
    assert refused(table, missing) == (
        f"'{missing}' does not fit table 't': it has no column 'b' and the table has no column 'bb'. Did you mean 'bb'?"
    )
    assert "it has two columns 'A'" in refused(table, write(tmp_path / "d.csv", "a,A,b\n"))
    assert "it has 3 columns, the table 2 (a, b)" in refused(table, write(tmp_path / "p.csv", "1,2,3\n"), header=False)
    assert "its first line holds the names" in refused(table, write(tmp_path / "e.csv", ""))


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pa.array([1.0]), "column 'a' has type double, which does not become int of 't.a' without loss"),
        (pa.array(["1"]), "column 'a' has type string"),
        (pa.array([[1]]), "column 'a' has type list"),
    ],
)
def test_types_that_do_not_match(table: TableStore, tmp_path: Path, column: Any, sentence: str) -> None:
    file = write_parquet(tmp_path / "a.parquet", {"a": column, "b": ["x"]})
    assert refused(table, file, format="parquet").startswith(f"'{file}': {sentence}")


def test_lossy_values_of_parquet_are_refused_row_by_row(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int, b double, c timestamp)")
    columns = {
        "a": pa.array([1, 2**31, 3, 4]),
        "b": pa.array([1, 2, 2**53 + 1, 4]),
        "c": pa.array([0, 0, 0, 1], pa.timestamp("ns")),
    }
    file = write_parquet(tmp_path / "a.parquet", columns)
    message = refused(store, file, format="parquet")
    assert "3 bad rows of 4 read" in message
    assert f"'{file}' row 2, column 'a': '2147483648' does not fit int32" in message
    assert f"row 3, column 'b': '{2**53 + 1}' does not fit double" in message
    assert "row 4, column 'c': '1970-01-01 00:00:00.000000001' finer than a microsecond" in message


@pytest.mark.parametrize("cut", [0, 3, 0.5, 0.9])
def test_truncated_parquet(table: TableStore, tmp_path: Path, cut: float) -> None:
    whole = write_parquet(tmp_path / "w.parquet", {"a": pa.array(range(1000), pa.int32()), "b": ["x"] * 1000})
    content = whole.read_bytes()
    broken = write(tmp_path / "broken.parquet", content[: int(cut if cut >= 1 else cut * len(content))])
    assert refused(table, broken, format="parquet").startswith(f"'{broken}' is not a Parquet file, or it is broken: ")


def test_parquet_with_broken_pages(table: TableStore, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    numbers = pa.array(range(10_000), pa.int32())
    pq.write_table(pa.table({"a": numbers, "b": numbers.cast(pa.string())}), file, row_group_size=5000)
    content = bytearray(file.read_bytes())
    start = pq.read_metadata(file).row_group(1).column(0).data_page_offset
    content[start : start + 60] = b"\xff" * 60
    file.write_bytes(content)
    assert refused(table, file, format="parquet").startswith(f"'{file}', after row 0")


@pytest.mark.parametrize("form", ["orc", "parquet"])
def test_a_file_of_another_format(table: TableStore, tmp_path: Path, form: str) -> None:
    assert "is not a" in refused(table, tmp_path / "good.csv", format=form)


def test_ragged_rows_and_bad_values_name_file_row_and_column(table: TableStore, tmp_path: Path) -> None:
    file = write(tmp_path / "bad.csv", 'a,b\n1,x\n2\n3,y,z\nfour,"q\nq"\n\n5.5,w\n99999999999,v\n"",u\n8,t\n')
    message = refused(table, file)
    quarantine = Path(message.rpartition(" All are in ")[2].strip("'"))
    assert message == (
        "table 't' is as it was: 6 bad rows of 8 read, max_bad_rows=0 allowed. "
        f"'{file}' row 2: has 1 fields, not 2; '{file}' row 3: has 3 fields, not 2; "
        f"'{file}' row 4, column 'a': 'four' is no int; '{file}' row 5, column 'a': '5.5' is no int; "
        f"'{file}' row 6, column 'a': '99999999999' is no int. All are in '{quarantine}'"
    )
    with quarantine.open(newline="") as lines:
        found = list(csv.DictReader(lines))
    assert [(row["row"], row["column"], row["value"]) for row in found] == [
        *(("2", "", "2"), ("3", "", "3,y,z"), ("4", "a", "four"), ("5", "a", "5.5")),
        *(("6", "a", "99999999999"), ("7", "a", "")),
    ]


def test_bad_rows_up_to_a_number_and_a_share(store: TableStore, tmp_path: Path) -> None:
    create(store, EVENTS)
    text = "".join(f"{number},n,{'never' if number in (3, 4) else number},1,,\n" for number in range(10))
    file = write(tmp_path / "a.csv", "id,name,at,score,day,small\n" + text)
    assert "2 bad rows of 10 read, max_bad_rows=1 allowed" in _refused(store, file, max_bad_rows=1)
    assert "max_bad_share=0.1 allowed" in _refused(store, file, max_bad_share=0.1)
    assert "max_bad_rows=1 and max_bad_share=0.9" in _refused(store, file, max_bad_rows=1, max_bad_share=0.9)
    report = load(store, file, "events", max_bad_share=0.2, load_id="x")
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (10, 8, 2)
    assert report.quarantine is not None
    assert Path(report.quarantine).read_text().splitlines()[1] == (
        f"{file},4,at,never,is no timestamp (milliseconds or yyyy-mm-dd hh:mm:ss)"
    )
    assert [row["id"] for row in rows(store, "events")] == [0, 1, 2, 5, 6, 7, 8, 9]


def _refused(store: TableStore, file: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(store, file, "events", **options)
    return str(caught.value)


def test_null_in_a_not_null_column(store: TableStore, tmp_path: Path) -> None:
    create(store, EVENTS)
    file = write(tmp_path / "a.csv", "id,name,at,score,day,small\n1,,,,,\n,,,,,\n")
    assert f"'{file}' row 2, column 'id': '' 'id' is NOT NULL" in _refused(store, file)
    columns = {"id": pa.array([1, None], pa.int64()), "name": ["a", "b"], "at": pa.nulls(2), "score": pa.nulls(2)}
    file = write_parquet(tmp_path / "a.parquet", {**columns, "day": pa.nulls(2), "small": pa.nulls(2)})
    assert "row 2, column 'id'" in _refused(store, file, format="parquet")


def test_row_numbers_across_parts_and_files(store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 500)
    create(store, "CREATE TABLE t (a int, b string)")
    bad = {(1, 700), (1, 1999), (2, 1), (2, 1500)}
    for file in (1, 2):
        lines = [f"{'x' if (file, row) in bad else row},some text" for row in range(1, 2001)]
        write(tmp_path / f"{file}.csv", "a,b\n" + "\n".join(lines) + "\n")
    report = load(store, tmp_path / "?.csv", max_bad_rows=4, threads=4)
    assert report.quarantine is not None
    with Path(report.quarantine).open(newline="") as lines_:
        found = [(int(Path(row["file"]).stem), int(row["row"])) for row in csv.DictReader(lines_)]
    assert found == sorted(bad)
    message = refused(store, tmp_path / "?.csv", max_bad_rows=0, threads=4)
    assert f"'{tmp_path}/1.csv' row 700, column 'a': 'x' is no int" in message


def test_wrong_encoding(table: TableStore, tmp_path: Path) -> None:
    file = write(tmp_path / "latin.csv", "a,b\n1,gr\xfc\xdfe\n2,ok\n".encode("latin-1"))
    assert f"'{file}' row 1, column 'b': 'gr\\xfc\\xdfe' is not UTF-8" in refused(table, file)
    file = write(tmp_path / "utf16.csv", "a,b\n1,x\n".encode("utf-16"))
    assert refused(table, file) == f"'{file}' is UTF-16 text; only UTF-8 can be loaded"
    assert "its first line has other bytes" in refused(table, write(tmp_path / "head.csv", b"a,\xff\n1,2\n"))


def test_a_quote_that_is_never_closed(table: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "q.csv", 'a,b\n1,x\n2,"open\n' + "3,z\n" * 20_000)
    assert refused(table, file).startswith(f"'{file}' line 3: a quote \" is opened and never closed")
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(text_blocks, "_LONGEST_ROW", 20_000)
    assert "an opened quote that is never closed? quote='' takes quotes as text" in refused(table, file)


def test_json_lines_that_are_none(table: TableStore, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"a": 1, "b": "x"}\n{"a": 1.5}\n[1]\n{"a": 2, "b": {}}\n{"a": \n')
    message = refused(table, file, format="json", max_bad_rows=2)
    assert "3 bad rows of 5 read" in message
    for words in (
        "row 2, column 'a': '1.5' is no int",
        "row 3: the line is no JSON object",
        "row 5: the line is no JSON",
    ):
        assert words in message
    assert "the table has no column 'c'" in refused(table, write(file, '{"a": 2, "c": 3}\n'), format="json")


def test_a_file_that_grows_too_large_or_a_full_disk(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int, b string)")
    load(store, write(tmp_path / "good.csv", "a,b\n1,x\n"))
    big = write(tmp_path / "big.csv", "a,b\n" + "".join(f"{n},{n * 7919 % 100_003}\n" for n in range(200_000)))
    done = run_loader(store.root, big, file_size=200_000)
    assert done.returncode == 2, done.stderr
    assert "UserError: writing table 't': a file grew too large; the table is as it was" in done.stdout
    assert rows(store) == [{"a": 1, "b": "x"}]
    assert len(list(Path(store.uri("", "t")).glob("*.parquet"))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        store = TableStore(str(disk))
        create(store, "CREATE TABLE t (a int, b string)")
        load(store, write(tmp_path / "good.csv", "a,b\n1,x\n"))
        big = write(tmp_path / "big.csv", "a,b\n" + "".join(f"{n},{n * 7919 % 100_003}\n" for n in range(200_000)))
        assert refused(store, big) == "writing table 't': the disk is full; the table is as it was"
        assert rows(store) == [{"a": 1, "b": "x"}]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights")
def test_permission_denied(tmp_path: Path) -> None:
    place = Path(tempfile.mkdtemp())
    try:
        place.chmod(0o755)
        store = TableStore(str(place / "tables"))
        create(store, "CREATE TABLE t (a int, b string)")
        file = write(place / "a.csv", "a,b\n1,x\n")
        done = run_loader(store.root, file, user=NOBODY)
        assert done.returncode == 2, done.stderr
        assert "UserError: writing table 't': permission denied" in done.stdout
        file.chmod(0o600)
        done = run_loader(store.root, file, user=NOBODY)
        assert done.returncode == 2, done.stderr
        assert f"UserError: reading '{file}': permission denied" in done.stdout
        assert version_of(store) == 0
    finally:
        shutil.rmtree(place)


def test_cancelled_in_the_middle(table: TableStore, tmp_path: Path) -> None:
    class Cancelled:
        def check(self) -> None:
            raise CancelledError("the job was cancelled")

    file = str(write(tmp_path / "a.csv", "a,b\n" + "2,y\n" * 1000))
    with pytest.raises(CancelledError):
        load_files(table, "", "t", file, LoadOptions(mode="append"), cancellation=Cancelled())
