"""LOAD DATA of good files: formats, options, matching, types."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.statements import LoadData
from airflow_provider_mlfeat.sql.syntax import parse_script
from airflow_provider_mlfeat.tables.formats import text_blocks
from airflow_provider_mlfeat.tables.load import LoadOptions, load_files
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.tables.versions import read
from tests.tables.loading import EVENTS, create, load, rows, version_of, write, write_parquet

UTC = datetime.UTC
JD = Path(__file__).resolve().parents[3] / "shared" / "data" / "jd_sample"
JD_TABLES = """
CREATE TABLE flattenRequest_clean(reqId string, eventTime timestamp, main_id string, pair_id string, user_id string,
    sku_id string, time bigint, split_id int, time1 string);
CREATE TABLE bo_user(ingestionTime timestamp, user_id string, age string, sex string, user_lv_cd string,
    user_reg_tm bigint);
CREATE TABLE bo_action(ingestionTime timestamp, pair_id string, time bigint, model_id string, type string, cate string,
    br string);
CREATE TABLE bo_product(ingestionTime timestamp, sku_id string, a1 string, a2 string, a3 string, cate string,
    br string);
CREATE TABLE bo_comment(ingestionTime timestamp, dt bigint, sku_id string, comment_num int, has_bad_comment string,
    bad_comment_rate float);
"""


def test_csv_by_name_in_any_order_and_case(store: TableStore, tmp_path: Path) -> None:
    create(store, EVENTS)
    file = write(
        tmp_path / "a.csv",
        "NAME,id,score,at,day,small\n"
        "x,1,1.5,2020-05-22 10:43:40,2020-01-31,7\n"
        '"two, with\n""line""",2,,1590115420123,,-7\n'
        'null,3,null,null,null,null\n"",4,-inf,2020-05-22,1900-01-01,0\n',
    )
    report = load(store, file, "events")
    assert (report.rows_read, report.rows_loaded, report.rows_rejected, report.rows_in_table) == (4, 4, 0, 4)
    assert report.columns["NAME"] == "name"
    first, second, third, fourth = rows(store, "events")
    assert first == {
        "id": 1,
        "name": "x",
        "at": datetime.datetime(2020, 5, 22, 2, 43, 40, tzinfo=UTC),
        "score": 1.5,
        "day": datetime.date(2020, 1, 31),
        "small": 7,
    }
    assert second["name"] == 'two, with\n"line"'
    assert second["at"] == datetime.datetime(2020, 5, 22, 2, 43, 40, 123000, tzinfo=UTC)
    assert set(third.values()) == {3, None}
    assert (fourth["name"], fourth["at"]) == ("", datetime.datetime(2020, 5, 21, 16, tzinfo=UTC))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"header": False}, "1,a\n2,null\n"),
        ({"header": True, "positional": True}, "p,q\n1,a\n2,\n"),
        ({"delimiter": "|", "null_value": "NA"}, "b|a\na|1\nNA|2\n"),
        ({"delimiter": "\t", "quote": ""}, "a\tb\n1\ta\n2\t\n"),
        ({"quote": "'"}, "a,b\n'1','a'\n2,\n"),
        ({}, "\ufeffa,b\r\n1,a\r\n\r\n2,\r\n"),
        ({}, "a,b\n1,a\n2,"),
    ],
)
def test_csv_options(store: TableStore, tmp_path: Path, options: dict[str, Any], text: str) -> None:
    create(store, "CREATE TABLE t (a int, b string)")
    load(store, write(tmp_path / "a.csv", text), **options)
    assert rows(store) == [{"a": 1, "b": "a"}, {"a": 2, "b": None}]


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("UTC", "2020-01-01 00:00:00", "2020-01-01T00:00:00"),
        ("-03:30", "2020-01-01 00:00:00", "2020-01-01T03:30:00"),
        ("Europe/Berlin", "2020-07-01 00:00:00", "2020-06-30T22:00:00"),
        ("Europe/Berlin", "2020-03-29 02:30:00", "2020-03-29T01:30:00"),  # skipped: the offset before the change
        ("Europe/Berlin", "2020-10-25 02:30:00", "2020-10-25T00:30:00"),  # twice: the first
        ("+08:00", "2020-01-01T00:00:00+01:00", "2019-12-31T23:00:00"),
        ("+08:00", "20200101", "1970-01-01T05:36:40.101"),  # digits are milliseconds
        ("+08:00", "-1500", "1969-12-31T23:59:58.500"),
    ],
)
def test_points_in_time_are_text_in_a_zone_or_milliseconds(
    store: TableStore, tmp_path: Path, zone: str, local: str, utc: str
) -> None:
    create(store, "CREATE TABLE t (at timestamp)")
    load(store, write(tmp_path / "a.csv", f"at\n{local}\n"), time_zone=zone)
    assert rows(store) == [{"at": datetime.datetime.fromisoformat(utc).replace(tzinfo=UTC)}]


def test_timestamps_of_parquet_without_zone_are_utc(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a timestamp, b timestamp, c timestamp)")
    one = {
        "a": pa.array([1], pa.timestamp("ms")),
        "b": pa.array([10**6]),
        "c": pa.array([5000], pa.timestamp("ns", "UTC")),
    }
    load(store, write_parquet(tmp_path / "a.parquet", one), format="parquet")
    moment = datetime.datetime.fromtimestamp(0, UTC)
    delta = datetime.timedelta
    assert rows(store) == [
        {"a": moment + delta(milliseconds=1), "b": moment + delta(seconds=1000), "c": moment + delta(microseconds=5)}
    ]


def test_widening_from_parquet_and_orc(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a bigint, b double, c double, d string, e int)")
    table = pa.table(
        {
            "a": pa.array([1, None], pa.int32()),
            "b": pa.array([1.5, None], pa.float32()),
            "c": pa.array([2**53, -3], pa.int64()),
            "d": pa.array(["x", "y"]),
            "e": pa.array([2**31 - 1, None], pa.int64()),
        }
    )
    expected = [
        {"a": 1, "b": 1.5, "c": 2.0**53, "d": "x", "e": 2**31 - 1},
        {"a": None, "b": None, "c": -3.0, "d": "y", "e": None},
    ]
    encoded = table.set_column(3, "d", table.column("d").dictionary_encode())
    pq.write_table(encoded, tmp_path / "a.parquet")
    orc.write_table(table, tmp_path / "a.orc")
    load(store, tmp_path / "a.parquet", format="parquet")
    load(store, tmp_path / "a.orc", format="orc", mode="append")
    assert rows(store) == expected * 2


def test_json_lines(store: TableStore, tmp_path: Path) -> None:
    create(store, EVENTS)
    file = write(
        tmp_path / "a.jsonl",
        '{"id": 1, "name": "x", "at": 1590115420000, "score": 1, "day": "2020-01-31"}\n'
        '\n{"small": 3, "id": 2, "at": "2020-05-22 10:43:40", "name": null}\n',
    )
    load(store, file, "events", format="json")
    first, second = rows(store, "events")
    assert first["at"] == second["at"] == datetime.datetime(2020, 5, 22, 2, 43, 40, tzinfo=UTC)
    assert (first["day"], first["score"], first["small"]) == (datetime.date(2020, 1, 31), 1.0, None)
    assert (second["small"], second["name"]) == (3, None)


def test_a_missing_column_takes_its_default(store: TableStore, tmp_path: Path) -> None:
    create(
        store,
        "CREATE TABLE t (a int, b string DEFAULT 'none', c bigint NOT NULL DEFAULT 5, d date DEFAULT '2020-02-03')",
    )
    report = load(store, write(tmp_path / "a.csv", "a\n1\n"))
    assert report.defaulted == ("b", "c", "d")
    assert rows(store) == [{"a": 1, "b": "none", "c": 5, "d": datetime.date(2020, 2, 3)}]


def test_globs_folders_and_compression_in_order_of_names(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    for number in (2, 1, 3):
        write(tmp_path / "in" / f"part-{number}.csv", f"a\n{number}\n")
    write(tmp_path / "in" / "_SUCCESS", "")
    (tmp_path / "in" / "part-4.csv.gz").write_bytes(gzip.compress(b"a\n4\n"))
    assert load(store, tmp_path / "in" / "part-*.csv").files == 3
    load(store, f"file://{tmp_path}/in", mode="append")
    assert [row["a"] for row in rows(store)] == [1, 2, 3, 1, 2, 3, 4]


def test_modes(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    one, two = (write(tmp_path / f"{number}.csv", f"a\n{number}\n") for number in (1, 2))
    load(store, one)
    with pytest.raises(UserError, match="table 't' has 1 rows; mode='append' adds to them"):
        load(store, two)
    load(store, two, mode="append")
    assert [row["a"] for row in rows(store)] == [1, 2]
    report = load(store, two, mode="overwrite")
    assert (report.rows_in_table, [row["a"] for row in rows(store)]) == (1, [2])
    load(store, write(tmp_path / "none.csv", "a\n"), mode="overwrite")
    assert rows(store) == []


@pytest.mark.parametrize("cached", [7, 100, 1000, 1 << 18])
def test_large_csv_in_blocks_keeps_every_row_in_order(
    store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: int
) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(text_blocks, "_CACHED", cached)
    create(store, "CREATE TABLE t (a int, b string)")
    text = "".join(f'{number},"line\n{number}, ""x"""\n' for number in range(20_000))
    seen = []

    class Progress:
        def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
            seen.append(total)

        def advance(self, amount: float = 1) -> None:
            seen.append(amount)

    file = str(write(tmp_path / "a.csv", "a,b\n" + text))
    load_files(store, "", "t", file, LoadOptions(threads=3), progress=Progress())
    table = read(store, "", "t").to_table()
    assert np.array_equal(table.column("a").to_numpy(), np.arange(20_000))
    assert table.column("b")[777].as_py() == 'line\n777, "x"'
    assert len(read(store, "", "t").files) > 1
    assert sum(seen[1:]) == 20_000
    assert seen[0] == pytest.approx(40_000, rel=0.5)  # two lines a row: an estimate


def test_the_same_load_id_again_changes_nothing(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int)")
    file = write(tmp_path / "a.csv", "a\n1\nx\n")
    first = load(store, file, mode="append", load_id="dag/run/task", max_bad_rows=1)
    file.unlink()
    again = load(store, file, mode="append", load_id="dag/run/task", max_bad_rows=1)
    assert again.already_loaded
    assert not first.already_loaded
    assert {**again.to_document(), "already_loaded": False} == first.to_document()
    assert version_of(store) == first.version
    assert load(store, write(file, "a\n2\n"), mode="append", load_id="dag/run/other").rows_in_table == 2


def test_options_of_the_statement() -> None:
    statement = next(
        iter(
            parse_script(
                "LOAD DATA INFILE 'x' INTO TABLE t OPTIONS (format='csv', delimiter='\\t', max_errors=3, thread=2, "
                "mode='append', load_mode='local', header=false);"
            )
        )
    )
    assert isinstance(statement, LoadData)
    options = LoadOptions.from_statement(statement.options, time_zone="UTC")
    assert options == LoadOptions(
        delimiter="\t", max_bad_rows=3, threads=2, mode="append", header=False, time_zone="UTC"
    )
    with pytest.raises(UserError, match="no option 'put_if_absent'"):
        LoadOptions.from_statement({"put_if_absent": True})
    with pytest.raises(UserError, match="'delimiter' takes one ASCII character, not '::'"):
        LoadOptions(delimiter="::")
    with pytest.raises(UserError, match="unknown time zone 'Mars'"):
        from airflow_provider_mlfeat.tables.texts import Texts

        Texts("Mars")


@pytest.mark.skipif(not JD.is_dir(), reason="the JD sample is not beside the clone, at ../shared/data/jd_sample")
def test_the_jd_sample_loads_into_the_seed_s_tables(store: TableStore) -> None:
    create(store, JD_TABLES)
    loaded = {}
    for folder in ("flattenRequest_clean", "bo_user", "bo_action", "bo_product", "bo_comment"):
        for _ in range(2):
            report = load(store, JD / folder / "*.parquet", folder, load_id=folder, format="parquet", mode="overwrite")
        loaded[folder] = report.rows_in_table
        source = pq.read_table(JD / folder)
        assert read(store, "", folder).to_table().cast(source.schema).equals(source)
    assert loaded == {
        "flattenRequest_clean": 13_916,
        "bo_user": 9_119,
        "bo_action": 89_187,
        "bo_product": 1_020,
        "bo_comment": 33_180,
    }


def test_json_rows_without_a_name_get_its_default(store: TableStore, tmp_path: Path) -> None:
    create(store, "CREATE TABLE t (a int, b string NOT NULL DEFAULT 'x', c timestamp DEFAULT 5, d double)")
    write(tmp_path / "a.jsonl", '{"a": 1, "b": "y", "c": 7, "d": 0.5}\n{"a": 2}\n{"a": 3, "b": "z", "c": null}\n')
    load(store, tmp_path / "a.jsonl", format="json")
    at = [None if row["c"] is None else round(row["c"].timestamp() * 1000) for row in rows(store)]
    assert [(row["a"], row["b"], row["d"]) for row in rows(store)] == [(1, "y", 0.5), (2, "x", None), (3, "z", None)]
    assert at == [7, 5, None]
    with pytest.raises(UserError, match="'b' is NOT NULL"):
        load(store, write(tmp_path / "b.jsonl", '{"a": 4, "b": null}\n{"a": 5}\n'), format="json", mode="append")
