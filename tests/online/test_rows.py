"""Rows that somebody sends."""

from __future__ import annotations

import datetime
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.rows import LAST_TIMESTAMP, LONGEST_STRING, RowReader
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.plan import Column
from airflow_provider_mlfeat.sql.types import parse_type

TYPES = ("bool", "smallint", "int", "bigint", "float", "double", "string", "date", "timestamp")
SCHEMA = tuple(Column(f"a_{name}", parse_type(name)) for name in TYPES)
READ = RowReader(SCHEMA, "a request")
GOOD = [True, -32_768, 2_147_483_647, -(2**63), 1.5, 2, "x", "2020-05-01", 0]
TYPED = (True, -32_768, 2_147_483_647, -(2**63), 1.5, 2.0, "x", datetime.date(2020, 5, 1), 0)


def test_lists_and_objects() -> None:
    assert READ(GOOD) == TYPED
    assert READ(dict(zip((column.name for column in SCHEMA), GOOD, strict=True)) | {"more": 1}) == TYPED
    assert READ({column.name.upper(): value for column, value in zip(SCHEMA, GOOD, strict=True)}) == TYPED
    assert READ([None] * 9) == (None,) * 9
    assert type(READ(GOOD)[5]) is float


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (0, 1, "takes true or false, not 1"),
        (1, 32_768, "takes smallint from -32768 to 32767, not 32768"),
        (2, True, "takes int, not True"),
        (2, 1.0, "takes int, not 1.0"),
        (3, 2**63, "takes bigint from"),
        (4, 1e39, "takes a number that a float can hold"),
        (4, "1", "takes a number, not '1'"),
        (5, 10**400, "takes a number that a double can hold"),
        (6, 7, "takes a string, not 7"),
        (6, "x" * (LONGEST_STRING + 1), "takes at most 2097152 bytes of text"),
        (6, "\ud800", "takes text that UTF-8 can hold"),
        (7, "2020-02-30", "takes a date that exists, not '2020-02-30'"),
        (7, "1899-12-31", "takes a date from 1900-01-01 on"),
        (7, "yesterday", "takes a date yyyy-mm-dd"),
        (8, -1, "takes a timestamp from 1970 to the year 9999, not -1"),
        (8, LAST_TIMESTAMP + 1, "takes a timestamp from 1970 to the year 9999"),
        (8, "2020-05-01", "takes a timestamp in whole milliseconds since 1970"),
    ],
)
def test_values_that_do_not_fit(place: int, value: Any, sentence: str) -> None:
    row = [*GOOD[:place], value, *GOOD[place + 1 :]]
    with pytest.raises(UserError) as caught:
        READ(row, 3)
    assert str(caught.value).startswith(f"row 3 of a request: column '{SCHEMA[place].name}' {sentence}")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([1], r"row 0 of a request has 1 values, not 9 \(a_bool, .*\)"),
        ({"a_bool": True}, "row 0 of a request lacks 'a_smallint', 'a_int'"),
        ("text", "row 0 of a request is neither a list of values nor an object: 'text'"),
        (7, "is neither a list of values nor an object"),
    ],
)
def test_rows_that_are_none(row: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        READ(row)


def test_nan_and_infinities_are_numbers() -> None:
    row = READ([*GOOD[:4], math.inf, -math.inf, *GOOD[6:]])
    assert row[4:6] == (math.inf, -math.inf)
    assert math.isnan(READ([*GOOD[:4], math.nan, math.nan, *GOOD[6:]])[5])


def test_what_a_table_says() -> None:
    columns = (
        ColumnDefinition("id", parse_type("string"), not_null=True),
        ColumnDefinition("n", parse_type("int"), default=7, has_default=True),
    )
    read = RowReader.of_table(TableDefinition("shop", "t", columns))
    assert read({"id": "a"}) == ("a", 7)
    assert read({"id": "a", "n": None}) == ("a", None)
    with pytest.raises(UserError, match="row 0 of table 'shop.t': column 'id' is NOT NULL"):
        read([None, 1])
    assert read.table([["a", 1], {"id": "b"}]).to_pylist() == [{"id": "a", "n": 1}, {"id": "b", "n": 7}]
    assert read.table([]).num_rows == 0


@given(
    st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()), max_size=10)
)
def test_whatever_comes_is_read_or_refused(row: list[Any]) -> None:
    try:
        assert len(READ(row)) == 9
    except UserError as error:
        assert str(error).startswith("row 0 of a request")  # noqa: PT017  # either outcome is right
