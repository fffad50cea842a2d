"""The column: every way in and out keeps values, NULLs and types."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.engine.column import (
    Column,
    Dictionary,
    all_valid,
    arrow_type,
    concatenate,
    one_row_maker,
    shared_codes,
    string_column,
)
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    NULL,
    SMALLINT,
    STRING,
    STRING_LIST,
    TIMESTAMP,
    DataType,
    array_of,
    map_of,
)

SAMPLES: list[tuple[DataType, list[object]]] = [
    (NULL, [None, None]),
    (BOOL, [True, None, False]),
    (SMALLINT, [-32768, None, 32767]),
    (INT, [-(2**31), None, 2**31 - 1]),
    (BIGINT, [-(2**63), None, 2**63 - 1]),
    (FLOAT, [0.5, None, float("inf")]),
    (DOUBLE, [1.1, None, -0.0]),
    (STRING, ["b", None, "", "a", "b", "é", "\U0001f600"]),
    (DATE, [datetime.date(1900, 1, 1), None, datetime.date(2020, 5, 22)]),
    (TIMESTAMP, [0, None, 1590115420000]),
    (array_of(INT), [(1, None), None, (), (2, 3)]),
    (array_of(TIMESTAMP), [(1, None), None]),
    (STRING_LIST, [("a", "b"), ("c", "d"), None]),
    (map_of(STRING, DATE), [{"k": datetime.date(2020, 1, 1)}, None, {}]),
]


@pytest.mark.parametrize(("data_type", "values"), SAMPLES, ids=[str(sample[0]) for sample in SAMPLES])
def test_round_trips(data_type: DataType, values: list[object]) -> None:
    column = Column.from_values(values, data_type)
    assert column.to_values() == values
    assert [column.value(row) for row in range(len(values))] == values
    array = column.to_arrow()
    assert array.type == arrow_type(data_type)
    assert Column.from_arrow(array, data_type).to_values() == values
    pieces = pa.chunked_array([array.slice(0, 1), array.slice(1)], array.type)
    assert Column.from_arrow(pieces, data_type).to_values() == values
    assert Column.from_arrow(array.slice(1), data_type).to_values() == values[1:]
    assert Column.from_arrow(array.slice(0, 0), data_type).to_values() == []


@pytest.mark.parametrize(("data_type", "values"), SAMPLES, ids=[str(sample[0]) for sample in SAMPLES])
def test_moving_rows(data_type: DataType, values: list[object]) -> None:
    column = Column.from_values(values, data_type)
    assert column.take(np.array([1, -1, 0, 0])).to_values() == [values[1], None, values[0], values[0]]
    assert column.take(np.array([0, 1])).to_values() == values[:2]
    assert column.slice(0, 0).take(np.array([-1, -1])).to_values() == [None, None]
    assert column.filter(np.arange(len(values)) == 1).to_values() == [values[1]]
    assert concatenate([column, column.slice(1, 2), column]).to_values() == values + values[1:2] + values
    assert Column.constant(values[0], data_type, 3).to_values() == [values[0]] * 3
    assert Column.constant(None, data_type, 2).to_values() == [None, None]
    assert Column.from_values([], data_type).to_values() == []


def test_dictionary_codes_are_kept() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1], pa.int8()), pa.array(["x", "y", "unused"]))
    column = string_column(array)
    assert column.values.tolist() == [1, 0, 0, 1]
    assert column.to_values() == ["y", "x", None, "y"]
    assert column.to_arrow(keep_dictionary=True).to_pylist() == ["y", "x", None, "y"]


def test_dictionaries_that_repeat_values_or_hold_null() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None, 3]), pa.array(["x", "x", None, "y"]))
    column = string_column(array)
    assert column.to_values() == ["x", "x", None, None, "y"]
    assert column.dictionary is not None
    assert sorted(column.dictionary.strings) == ["x", "y"]


def test_a_column_of_nulls_has_a_dictionary_that_can_be_looked_up() -> None:
    for column in (
        string_column(pa.array([None, None], pa.string())),
        string_column(pa.nulls(2)),
        string_column(pa.chunked_array([], pa.string())),
        Column.from_values([None], STRING),
    ):
        assert column.dictionary is not None
        assert len(column.dictionary) == 1
        assert column.to_values() == [None] * len(column)


def test_finer_timestamps_are_cut_to_milliseconds_and_other_losses_are_errors() -> None:
    array = pa.array([1_500_999], pa.timestamp("us", "UTC"))
    assert Column.from_arrow(array, TIMESTAMP).to_values() == [1500]
    with pytest.raises(pa.ArrowInvalid):
        Column.from_arrow(pa.array([2**40]), INT)


def test_dictionary_lookup_and_ranks() -> None:
    dictionary = Dictionary(["b", "", "é", "a"])
    assert dictionary.ranks.tolist() == [2, 0, 3, 1]
    assert (dictionary.code_of("é"), dictionary.code_of("z")) == (2, -1)


def test_one_row_columns_are_constants_of_length_one() -> None:
    for data_type, values in SAMPLES:
        make = one_row_maker(data_type)
        for value in values:
            made, constant = make(value), Column.constant(value, data_type, 1)
            assert made.to_values() == constant.to_values() == [value]
            assert made.values.dtype == constant.values.dtype
            assert made.type == data_type


def test_all_valid() -> None:
    without = Column.from_values([1, 2], INT)
    assert all_valid([without, without]) is None
    mask = all_valid([Column.from_values([None, 2], INT), without])
    assert mask is not None
    assert mask.tolist() == [False, True]


texts = st.lists(st.none() | st.text(max_size=4), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_shared_codes_mean_the_same_strings(parts: list[list[str | None]]) -> None:
    columns = [Column.from_values(part, STRING) for part in parts]
    codes, dictionary = shared_codes(columns)
    assert len(set(dictionary.strings)) == len(dictionary)
    for part, part_codes in zip(parts, codes, strict=True):
        for value, code in zip(part, part_codes.tolist(), strict=True):
            assert value is None or dictionary.strings[code] == value
    assert concatenate(columns).to_values() == [value for part in parts for value in part]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=4), unique=True, min_size=1, max_size=30))
def test_ranks_order_by_bytes(strings: list[str]) -> None:
    ranks = Dictionary(strings).ranks.tolist()
    ordered = sorted(strings, key=lambda string: string.encode())
    assert [ordered[rank] for rank in ranks] == strings
