"""SELECT … INTO OUTFILE: what cannot be written is a sentence, and leaves what was there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.export import OutfileOptions, read_schema, write_outfile
from tests.tables.exporting import TABLE, numbers, read_numbers, write


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
