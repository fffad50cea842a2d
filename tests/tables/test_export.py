"""SELECT … INTO OUTFILE: what is written reads back, and a folder is there as a whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.statements import SelectInto
from airflow_provider_mlfeat.sql.syntax import parse_script
from airflow_provider_mlfeat.tables import directories
from airflow_provider_mlfeat.tables.export import ExportReport, OutfileOptions, read_schema, write_outfile

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = pa.table(
    {
        "id": pa.array([1, 2, None], pa.int32()),
        "text": ["a,b", None, 'say "hi"\nand go'],
        "price": [0.1, float("nan"), None],
        "flag": [True, None, False],
        "day": [date(2020, 5, 22), None, date(1900, 1, 1)],
        "at": pa.array([datetime(2020, 5, 22, 2, 43, 40, 7000, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
    }
)
LINES = (
    "id,text,price,flag,day,at\n"
    '1,"a,b",0.1,true,2020-05-22,1590115420007\n'
    "2,null,nan,null,null,null\n"
    'null,"say ""hi""\nand go",null,false,1900-01-01,null\n'
)


def write(target: Path, table: pa.Table = TABLE, rows: int | None = None, **options: Any) -> ExportReport:
    return write_outfile(table.to_batches(), table.schema, target, OutfileOptions.of(options), rows=rows)


def text_of(target: Path) -> str:
    return "".join((target / part["name"]).read_text() for part in read_schema(target)["files"])


def numbers(count: int, first: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + count), pa.int64())})


def read_numbers(target: Path) -> list[int]:
    document = read_schema(target)
    tables = [pq.read_table(target / part["name"]) for part in document["files"]]
    return [n for table in tables for n in table.column("n").to_pylist()]


# ── formats and options ─────────────────────────────────────────────────────────────────────────────────────────────


def test_csv_is_the_default(tmp_path: Path) -> None:
    report = write(tmp_path / "out")
    assert text_of(tmp_path / "out") == LINES
    assert (report.format, report.rows, report.total_rows, len(report.files)) == ("csv", 3, 3, 1)
    assert report.bytes == len(LINES)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"_SUCCESS", "_schema.json", *report.files}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_csv_reads_back_with_duckdb(tmp_path: Path) -> None:
    write(tmp_path / "out")
    file = next((tmp_path / "out").glob("*.csv"))
    answer = duckdb.sql(f"select * from read_csv('{file}', nullstr='null', header=true, quote='\"', escape='\"')")
    rows = answer.fetchall()
    assert [row[1] for row in rows] == TABLE.column("text").to_pylist()
    assert [row[4] for row in rows] == TABLE.column("day").to_pylist()


def test_the_schema_file_says_what_is_there(tmp_path: Path) -> None:
    report = write(tmp_path / "out", delimiter="|")
    document = read_schema(tmp_path / "out")
    assert document["columns"][0] == {"name": "id", "type": "int", "arrow": "int32"}
    types = ["int", "string", "double", "bool", "date", "timestamp"]
    assert [column["type"] for column in document["columns"]] == types
    assert document["rows"] == 3
    assert document["options"] == {
        "format": "csv",
        "delimiter": "|",
        "header": True,
        "null_value": "null",
        "quote": None,
    }
    assert document["files"] == [{"name": report.files[0], "rows": 3, "bytes": report.bytes}]
    assert report.columns[-1] == ("at", "timestamp")


def test_header_delimiter_null_value_and_quote(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", None, "it's"], "b": [1, None, 3]})
    write(tmp_path / "out", table, header=False, delimiter="||", null_value="NULL", quote="'")
    assert text_of(tmp_path / "out") == "'x'||1\nNULL||NULL\n'it''s'||3\n"
    write(tmp_path / "two", table, null_value="")
    assert text_of(tmp_path / "two") == "a,b\nx,1\n,\nit's,3\n"


def test_texts_that_read_like_something_else_get_quotes(tmp_path: Path) -> None:
    table = pa.table({"a": ["null", "", "nullable", "cr\rlf", None]})
    write(tmp_path / "out", table)
    assert (tmp_path / "out" / read_schema(tmp_path / "out")["files"][0]["name"]).read_bytes() == (
        b'a\n"null"\n""\nnullable\n"cr\rlf"\nnull\n'
    )
    write(tmp_path / "names", pa.table({"a,b": [1], 'c"': [2]}))
    assert text_of(tmp_path / "names") == '"a,b","c"""\n1,2\n'


def test_without_quotes_what_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "fine", pa.table({"a": ["x", "", None]}), quote="")
    assert text_of(tmp_path / "fine") == "a\nx\n\nnull\n"
    for text in ("a,b", "null", "two\nlines"):
        table = pa.table({"t": [None, "fine", text]})
        with pytest.raises(UserError, match="column 't', row 3: .* cannot be told apart in csv without quotes; leave"):
            write(tmp_path / "out", table, quote="")
    with pytest.raises(UserError, match="the header, row 1: 'a,b' cannot be told apart"):
        write(tmp_path / "out", pa.table({"a,b": [1]}), quote="")
    assert not (tmp_path / "out").exists()


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    doubles = random.normal(size=500) * 10.0 ** random.integers(-300, 300, 500)
    floats = random.normal(size=500).astype(np.float32)
    longs = random.integers(-(2**63), 2**63 - 1, 500)
    write(tmp_path / "out", pa.table({"d": doubles, "f": floats, "l": longs}), header=False)
    rows = [line.split(",") for line in text_of(tmp_path / "out").splitlines()]
    assert [float(row[0]) for row in rows] == doubles.tolist()
    assert [np.float32(row[1]) for row in rows] == floats.tolist()
    assert [int(row[2]) for row in rows] == longs.tolist()


def test_a_batch_that_is_a_slice_and_a_dictionary(tmp_path: Path) -> None:
    table = pa.table({"k": pa.array(["a", "b", None, "c"]).dictionary_encode(), "n": [1, 2, 3, 4]})
    batch = table.to_batches()[0].slice(1, 2)
    write_outfile([batch], table.schema, tmp_path / "out")
    assert text_of(tmp_path / "out") == "k,n\nb,2\nnull,3\n"


def test_parquet_keeps_types(tmp_path: Path) -> None:
    report = write(tmp_path / "out", format="parquet")
    read = pq.read_table(tmp_path / "out" / report.files[0])
    assert read.schema.equals(TABLE.schema)
    # As text, because NaN is not equal to itself.
    assert repr(read.to_pylist()) == repr(TABLE.to_pylist())
    assert ds.dataset(tmp_path / "out", format="parquet").count_rows() == 3


def test_small_batches_make_no_small_row_groups(tmp_path: Path) -> None:
    table = numbers(10_000)
    write_outfile(
        table.to_batches(max_chunksize=10), table.schema, tmp_path / "out", OutfileOptions.of({"format": "parquet"})
    )
    assert pq.ParquetFile(next((tmp_path / "out").glob("*.parquet"))).num_row_groups == 1


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_no_rows_still_have_columns(tmp_path: Path, format_: str) -> None:
    report = write(tmp_path / "out", TABLE.slice(0, 0), format=format_)
    assert (report.rows, len(report.files)) == (0, 1)
    file = tmp_path / "out" / report.files[0]
    names = file.read_text().strip().split(",") if format_ == "csv" else pq.read_schema(file).names
    assert names == TABLE.column_names


@pytest.mark.parametrize("count", [0, 1, 4, 7, 100])
def test_coalesce_makes_that_many_files_in_order(tmp_path: Path, count: int) -> None:
    report = write(tmp_path / "out", numbers(4), rows=4, coalesce=count, format="parquet")
    assert len(report.files) == (count or 1)
    assert read_numbers(tmp_path / "out") == [0, 1, 2, 3]
    sizes = [part["rows"] for part in read_schema(tmp_path / "out")["files"]]
    assert max(sizes) - min(size for size in sizes if size or count >= 4) <= 1 or count in (0, 1, 7, 100)


def test_coalesce_of_many_rows(tmp_path: Path) -> None:
    table = numbers(200_000)
    write(tmp_path / "known", table, rows=200_000, coalesce=3, format="parquet")
    assert [part["rows"] for part in read_schema(tmp_path / "known")["files"]] == [66_667, 66_667, 66_666]
    assert read_numbers(tmp_path / "known") == list(range(200_000))
    write(tmp_path / "unknown", table, coalesce=3, format="parquet")
    assert sorted(read_numbers(tmp_path / "unknown")) == list(range(200_000))
    # More rows than were said go to the last file.
    write(tmp_path / "wrong", table, rows=10, coalesce=2, format="parquet")
    assert read_numbers(tmp_path / "wrong") == list(range(200_000))


def test_large_answers_go_to_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mlfeat.tables.export_parts._PART_BYTES", 300_000)
    report = write(tmp_path / "out", numbers(300_000), header=False)
    assert len(report.files) > 2
    assert [int(line) for line in text_of(tmp_path / "out").split()] == list(range(300_000))


def test_a_statement_s_options_are_taken(tmp_path: Path) -> None:
    text = "SELECT a FROM t INTO OUTFILE 'x' OPTIONS (format='parquet', mode='overwrite', coalesce=2, skip_cvt=true)"
    (statement,) = parse_script(text)
    assert isinstance(statement, SelectInto)
    options = OutfileOptions.of(statement.options)
    assert options == OutfileOptions("parquet", "overwrite", coalesce=2, ignored=("skip_cvt",))
    assert write_outfile([], numbers(0).schema, tmp_path / "out", options).ignored == ("skip_cvt",)


def test_progress_counts_rows_and_may_stop_the_work(tmp_path: Path) -> None:
    class Counter:
        done = 0.0

        def advance(self, amount: float = 1) -> None:
            self.done += amount
            if self.done > 100_000:
                raise KeyboardInterrupt

    counter = Counter()
    with pytest.raises(KeyboardInterrupt):
        write_outfile(numbers(200_000).to_batches(), numbers(0).schema, tmp_path / "out", progress=counter)
    assert counter.done == 131_072
    assert list(tmp_path.iterdir()) == []


# ── modes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["exchange", "renames"])
def renames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to put a folder in place: in one step, and for file systems that cannot."""
    if request.param == "renames":
        monkeypatch.setattr(directories, "_renameat2", lambda: None)
    return str(request.param)


def test_error_if_exists(tmp_path: Path, renames: str) -> None:
    write(tmp_path / "out", numbers(3), format="parquet")
    with pytest.raises(UserError, match="out exists; mode='overwrite' replaces it and mode='append' adds to it"):
        write(tmp_path / "out", numbers(4), format="parquet")
    assert read_numbers(tmp_path / "out") == [0, 1, 2]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty exists"):
        write(tmp_path / "empty", numbers(4))


def test_error_if_exists_when_somebody_was_faster(tmp_path: Path, renames: str) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        write(tmp_path / "out", numbers(3), format="parquet")
        yield from numbers(9).to_batches()

    with pytest.raises(UserError, match="out exists"):
        write_outfile(batches(), numbers(0).schema, tmp_path / "out")
    assert read_numbers(tmp_path / "out") == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_overwrite(tmp_path: Path, renames: str) -> None:
    for first in (0, 10):
        write(tmp_path / "out", numbers(3, first), format="parquet", mode="overwrite")
        assert read_numbers(tmp_path / "out") == [first, first + 1, first + 2]
    write(tmp_path / "out", TABLE, mode="overwrite")
    assert text_of(tmp_path / "out") == LINES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_append(tmp_path: Path, renames: str) -> None:
    write(tmp_path / "out", numbers(3), format="parquet", mode="append")
    inodes = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("part*")}
    report = write(tmp_path / "out", numbers(2, 3), format="parquet", mode="append")
    assert (report.rows, report.total_rows) == (2, 5)
    assert read_numbers(tmp_path / "out") == [0, 1, 2, 3, 4]
    assert max(part.name for part in (tmp_path / "out").glob("part*")) == report.files[0]
    for name, inode in inodes.items():
        assert (tmp_path / "out" / name).stat().st_ino == inode, "the old files were copied"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_append_copies_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    for first in (0, 3):
        write(tmp_path / "out", numbers(3, first), format="parquet", mode="append")
    assert read_numbers(tmp_path / "out") == list(range(6))


def test_two_writers_append_both(tmp_path: Path) -> None:
    target, count = tmp_path / "out", 12
    write(target, numbers(0), format="parquet")
    threads = [
        threading.Thread(target=write, args=(target, numbers(2, first)), kwargs={"format": "parquet", "mode": "append"})
        for first in range(0, 2 * count, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_numbers(target)) == list(range(2 * count))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_readers_always_find_a_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target, numbers(5), format="parquet")
    stop, missing, looks = threading.Event(), [], [0]

    def look() -> None:
        while not stop.is_set():
            looks[0] += 1
            try:
                names = os.listdir(target)
            except FileNotFoundError:
                missing.append("the folder")
                continue
            if "_SUCCESS" not in names or "_schema.json" not in names or len(names) != 3:
                # A folder that is taken away while it is listed is an old one; the new one is whole already.
                missing.extend([str(names)] if "_SUCCESS" not in os.listdir(target) else [])

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(60):
        write(target, numbers(5), format="parquet", mode="overwrite")
    stop.set()
    reader.join()
    assert missing == []
    assert looks[0] > 10


def test_a_folder_is_replaced_in_one_step_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    if not directories._rename(tmp_path / "one", tmp_path / "two", directories._EXCHANGE):
        pytest.skip("this file system cannot exchange two names; TMPDIR on ext4, xfs, btrfs or tmpfs can")

    def in_steps(*_: object) -> None:
        raise AssertionError("there was a moment without a folder")

    monkeypatch.setattr(directories, "_without_exchange", in_steps)
    for mode in ("error_if_exists", "overwrite", "append"):
        write(tmp_path / "out", numbers(3), format="parquet", mode=mode)
    assert len(read_numbers(tmp_path / "out")) == 6


# ── bad input ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "hive"}, "INTO OUTFILE writes format 'csv' or 'parquet', not 'hive'"),
        ({"format": "xml"}, "option of INTO OUTFILE 'format' takes 'csv' or"),
        ({"mode": "replace"}, "'mode' takes 'error_if_exists' or 'append' or 'overwrite', not 'replace'"),
        ({"delimiter": ""}, "'delimiter' takes a string that is not empty, not ''"),
        ({"delimiter": "\n"}, "'delimiter' cannot hold a line break"),
        ({"quote": "''"}, "'quote' takes at most one character"),
        ({"quote": ","}, "'quote' cannot be the delimiter or a line break"),
        ({"header": "maybe"}, "'header' takes true or false, not 'maybe'"),
        ({"coalesce": -1}, "'coalesce' takes a whole number of at least 0, not '-1'"),
        ({"delimeter": ";"}, "unknown option of INTO OUTFILE 'delimeter'"),
    ],
)
def test_a_wrong_option_is_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        OutfileOptions.of(options)


def test_a_wrong_target_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for mode in ("overwrite", "append"):
        with pytest.raises(UserError, match="file is not a folder"):
            write(tmp_path / "file", mode=mode)
        with pytest.raises(UserError, match="link is not a folder"):
            write(tmp_path / "link", mode=mode)
        with pytest.raises(UserError, match="mine is not empty and holds no earlier export, so it is left alone"):
            write(tmp_path / "mine", mode=mode)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(UserError, match="writes to local folders, not to 's3://bucket/x'"):
        write_outfile([], TABLE.schema, "s3://bucket/x")
    with pytest.raises(UserError, match="needs the path of a folder"):
        write_outfile([], TABLE.schema, "")
    with pytest.raises(UserError, match="below cannot be made, because .*file is a file"):
        write(tmp_path / "file" / "below")


def test_a_folder_of_spark_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_SUCCESS").touch()
    (tmp_path / "out" / "part-0.csv").write_text("1\n")
    with pytest.raises(UserError, match="holds no earlier export"):
        write(tmp_path / "out", mode="append")
    write_outfile([], TABLE.schema, f"file://{tmp_path}/out", OutfileOptions(mode="overwrite"))
    assert read_schema(tmp_path / "out")["rows"] == 0


def test_an_append_has_to_fit(tmp_path: Path) -> None:
    write(tmp_path / "out", numbers(3))
    with pytest.raises(
        UserError, match="other columns than the answer: 'n' bigint is there where the answer has 'm' bigint"
    ):
        write(tmp_path / "out", pa.table({"m": [1]}), mode="append")
    with pytest.raises(UserError, match="1 are there, and the answer has 2"):
        write(tmp_path / "out", pa.table({"n": [1], "m": [1]}), mode="append")
    with pytest.raises(UserError, match="written with format='csv', so format='parquet' cannot be appended"):
        write(tmp_path / "out", numbers(3), mode="append", format="parquet")
    with pytest.raises(UserError, match="written with delimiter=',', so delimiter=';' cannot be appended"):
        write(tmp_path / "out", numbers(3), mode="append", delimiter=";")
    next((tmp_path / "out").glob("*.csv")).unlink()
    with pytest.raises(UserError, match="lacks its file 'part-.*'; mode='overwrite' makes it anew"):
        write(tmp_path / "out", numbers(3), mode="append")
    (tmp_path / "out" / "_schema.json").write_text("{")
    with pytest.raises(UserError, match="_schema.json cannot be read"):
        write(tmp_path / "out", numbers(3), mode="append")


def test_answers_that_cannot_be_written_are_sentences(tmp_path: Path) -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(UserError, match="two columns 'a'; rename one with AS"):
        write(tmp_path / "out", twice)
    with pytest.raises(UserError, match="no columns"):
        write(tmp_path / "out", pa.table({}))
    with pytest.raises(
        UserError, match=r"column 'l' has type list<item: int64>, which csv has no text for; use OPTIONS"
    ):
        write(tmp_path / "out", pa.table({"l": [[1]]}))
    with pytest.raises(UserError, match="holds no export"):
        read_schema(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_folder(tmp_path: Path) -> None:
    write(tmp_path / "out", numbers(3), format="parquet")

    def batches() -> Iterator[pa.RecordBatch]:
        yield from numbers(3).to_batches()
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="the disk is full"):
        write_outfile(batches(), numbers(0).schema, tmp_path / "out", OutfileOptions.of({"mode": "overwrite"}))
    assert read_numbers(tmp_path / "out") == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; run the tests as another user")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match="permission denied"):
        write(tmp_path / "closed" / "out")


# ── killed in the middle ────────────────────────────────────────────────────────────────────────────────────────────

WRITER = """
import sys, pyarrow as pa
from airflow_provider_mlfeat.tables.export import OutfileOptions, write_outfile
target, mode = sys.argv[1:]
table = pa.table({"n": range(1_000)})
print("ready", flush=True)
while True:
    write_outfile(table.to_batches(), table.schema, target, OutfileOptions(format="parquet", mode=mode))
"""


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_a_killed_writer_leaves_a_whole_folder(tmp_path: Path, mode: str) -> None:
    target, random = tmp_path / "out", np.random.default_rng(0)
    write(target, numbers(1_000), format="parquet")
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(target), mode]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.02 + random.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        document = read_schema(target)
        assert (target / "_SUCCESS").exists()
        names = {path.name for path in target.iterdir()} - {"_SUCCESS", "_schema.json"}
        assert names == {part["name"] for part in document["files"]}
        assert len(read_numbers(target)) == document["rows"]
        assert document["rows"] % 1_000 == 0
    write(target, numbers(3), format="parquet", mode="overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "what killed writers left is gone"


def test_a_folder_that_stepped_aside_comes_back(tmp_path: Path) -> None:
    """Killed between the two renames of a file system without exchange."""
    write(tmp_path / "out", numbers(3), format="parquet")
    (tmp_path / "out").rename(tmp_path / ".mlfeat-aside-out")
    write(tmp_path / "out", numbers(2, 3), format="parquet", mode="append")
    assert read_numbers(tmp_path / "out") == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # Killed after them: the old folder is waste.
    (tmp_path / ".mlfeat-aside-out").mkdir()
    directories.restore_interrupted(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "_schema.json").read_text())["rows"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
