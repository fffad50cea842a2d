"""Compiling expressions: constants, parameters, rows that are alike, and columns of any length and content."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.distinct import distinct_rows
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, compile_expression, is_constant, literal_value
from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.user import remove_function, scalar_function
from airflow_provider_mlfeat.sql.plan import ColumnReference, Expression, FrameCall, Literal, Parameter
from airflow_provider_mlfeat.sql.types import BIGINT, DATE, DOUBLE, INT, STRING, STRING_LIST, TIMESTAMP
from tests.functions.calls import call
from tests.functions.test_against_oracle import SCALARS, VALUES, combinations

CONTEXT = EvaluationContext()


def test_columns_and_literals() -> None:
    columns = [Column.from_values([1, 2], INT), Column.from_values(["a", None], STRING)]
    assert compile_expression(ColumnReference(1, STRING), CONTEXT)(columns, 2) is columns[1]
    for value, data_type in ((7, INT), ("x", STRING), (None, DATE), (None, STRING), (1.5, DOUBLE)):
        evaluate = compile_expression(Literal(value, data_type), CONTEXT)
        assert evaluate(columns, 2).to_values() == [value, value]
        assert evaluate((), 0).to_values() == []
    day = Literal("2020-05-22", DATE)
    assert literal_value(day) == datetime.date(2020, 5, 22)
    assert compile_expression(day, CONTEXT)((), 1).value(0) == datetime.date(2020, 5, 22)


def test_parameters() -> None:
    expression = call("add", Parameter(1, INT), 1)
    context = EvaluationContext(parameters=("unused", 41))
    assert is_constant(expression)
    assert compile_expression(expression, context)((), 3).to_values() == [42] * 3


def test_constants_are_computed_once() -> None:
    calls: list[str] = []

    @scalar_function("string", returns="string")
    def recorded(text: str) -> str:
        calls.append(text)
        return text.upper()

    try:
        evaluate = compile_expression(call("recorded", "a"), CONTEXT)
        assert evaluate((), 2).to_values() == ["A", "A"]
        assert evaluate((), 1).to_values() == ["A"]
        assert calls == ["a"]
        # Once per distinct row of arguments, and not for rows with NULL.
        calls.clear()
        over = compile_expression(call("recorded", ColumnReference(0, STRING)), CONTEXT)
        column = Column.from_values(["x", "y", None, "x", "x", "y"], STRING)
        assert over([column], 6).to_values() == ["X", "Y", None, "X", "X", "Y"]
        assert sorted(calls) == ["x", "y"]
    finally:
        remove_function("recorded")


def test_lists_are_taken_into_the_function_that_reads_them() -> None:
    text, number = ColumnReference(0, STRING), ColumnReference(1, INT)
    inner = call("list_except_by_key", call("split", text, ","), "b")
    expression = call("concat", call("join", inner, "-"), call("at", call("split", text, ","), number))
    columns = [Column.from_values(["a,b", "c,b,d", None, ""], STRING), Column.from_values([1, 0, 0, None], INT)]
    assert compile_expression(expression, CONTEXT)(columns, 4).to_values() == ["ab", "c-dc", None, None]


def test_lists_that_are_columns() -> None:
    column = Column.from_values([("a", "b"), None, ()], STRING_LIST)
    evaluate = compile_expression(call("join", ColumnReference(0, STRING_LIST), "+"), CONTEXT)
    assert evaluate([column], 3).to_values() == ["a+b", None, ""]


def test_aggregates_are_no_scalar_expressions() -> None:
    with pytest.raises(TypeError, match="a FrameCall is no scalar expression"):
        compile_expression(FrameCall("sum", (ColumnReference(0, INT),), INT), CONTEXT)


def test_distinct_rows() -> None:
    numbers = Column.from_values([1.0, -0.0, 0.0, None, 1.0], DOUBLE)
    texts = Column.from_values(["a", "a", "a", "b", "a"], STRING)
    for columns in ([numbers], [numbers, texts], [texts, numbers, Column.constant(7, INT, 5)]):
        codes, rows = distinct_rows(columns)
        found = [rows[code] for code in codes.tolist()]
        assert list(map(repr, found)) == [repr(tuple(column.value(row) for column in columns)) for row in range(5)]
        assert codes[0] == codes[4]
        assert codes[1] != codes[2]


def test_many_columns_of_many_values() -> None:
    """More combinations than a key has bits for."""
    chance = np.random.default_rng(7)
    columns = [Column(BIGINT, chance.integers(-(2**62), 2**62, 2000)) for _ in range(8)]
    codes, rows = distinct_rows(columns)
    assert [rows[code] for code in codes.tolist()] == list(
        zip(*[column.to_values() for column in columns], strict=True)
    )


def test_dictionaries_larger_than_the_column() -> None:
    large = Column.from_values([f"value {number}" for number in range(100)], STRING).take(np.array([3, 7, 3]))
    reference = ColumnReference(0, STRING)
    for name, expected in (("upper", ["VALUE 3", "VALUE 7", "VALUE 3"]), ("char_length", [7, 7, 7])):
        assert compile_expression(call(name, reference), CONTEXT)([large], 3).to_values() == expected
    hashes = compile_expression(call("hash64", reference), CONTEXT)([large], 3).to_values()
    assert hashes[0] == hashes[2] != hashes[1]
    assert compile_expression(call("double", reference), CONTEXT)([large], 3).to_values() == [None] * 3
    assert compile_expression(call("equal", reference, "value 7"), CONTEXT)([large], 3).to_values() == [
        False,
        True,
        False,
    ]


def bound_calls(name: str) -> list[tuple[Expression, list[Any]]]:
    found = []
    for types in list(combinations(name))[:6]:
        references = [ColumnReference(place, data_type) for place, data_type in enumerate(types)]
        found.append((call(name, *references), list(types)))
    return found


@pytest.mark.parametrize("name", [name for name in SCALARS if name != "cast"])
def test_no_rows_null_rows_and_garbage_below_null(name: str) -> None:
    assert name in CATALOGUE.scalars
    for bound, types in bound_calls(name):
        evaluate = compile_expression(bound, CONTEXT)
        if not types:
            continue
        full = [Column.from_values(list(VALUES[data_type]), data_type) for data_type in types]
        empty = evaluate([column.slice(0, 0) for column in full], 0)
        assert (len(empty), empty.type) == (0, bound.type)
        nulls = [Column.constant(None, data_type, 3) for data_type in types]
        clean = evaluate(nulls, 3).to_values()
        alone = evaluate([Column.constant(None, data_type, 1) for data_type in types], 1)
        assert clean == [alone.value(0)] * 3
        # What stands below a NULL must not matter.
        garbage = [Column(column.type, _extreme(column), column.valid, column.dictionary) for column in nulls]
        assert evaluate(garbage, 3).to_values() == clean


def _extreme(column: Column) -> Any:
    if column.values.dtype.kind in "iu" and column.dictionary is None:
        return np.array([np.iinfo(column.values.dtype).min, 0, np.iinfo(column.values.dtype).max], column.values.dtype)
    if column.values.dtype.kind == "f":
        return np.array([np.nan, np.inf, -1e30], column.values.dtype)
    return column.values


def test_memory_of_arrow_may_be_read_only() -> None:
    moments = Column.from_arrow(Column.from_values([0, 1590115420000], TIMESTAMP).to_arrow(), TIMESTAMP)
    assert not moments.values.flags.writeable
    assert compile_expression(call("year", ColumnReference(0, TIMESTAMP)), CONTEXT)([moments], 2).to_values() == [
        1970,
        2020,
    ]
    every_second = Column(TIMESTAMP, np.array([0, 5, 1590115420000])[::2])
    assert compile_expression(call("year", ColumnReference(0, TIMESTAMP)), CONTEXT)([every_second], 2).to_values() == [
        *(1970, 2020)
    ]
