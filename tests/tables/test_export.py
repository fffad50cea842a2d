"""SELECT … INTO OUTFILE: what is written reads back, in each format and with each option."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.statements import SelectInto
from airflow_provider_mlfeat.sql.syntax import parse_script
from airflow_provider_mlfeat.tables.export import OutfileOptions, read_schema, write_outfile
from tests.tables.exporting import LINES, TABLE, numbers, read_numbers, text_of, write


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
    assert answer is not None
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
