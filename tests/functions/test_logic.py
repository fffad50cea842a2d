"""Three-valued logic, truth of values, and functions about NULL."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import numpy as np
import pytest

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.functions.logic import holds
from airflow_provider_mlfeat.sql.types import BOOL, DATE, DOUBLE, INT, STRING, TIMESTAMP, DataType, array_of
from tests.functions.calls import call, evaluate, over_columns, typed, value_of

TRUTH: list[tuple[DataType, list[tuple[Any, bool | None]]]] = [
    (BOOL, [(True, True), (False, False), (None, None)]),
    (INT, [(-1, True), (0, False), (None, None)]),
    (DOUBLE, [(0.5, True), (-0.0, False), (float("nan"), True), (None, None)]),
    (STRING, [("x", True), ("", False), ("0", True), (None, None)]),
    (TIMESTAMP, [(1, True), (0, False), (None, None)]),
    (DATE, [(datetime.date(1970, 1, 1), True), (None, None)]),
]
PAIRS = list(itertools.product(TRUTH, TRUTH))


def conjunction(left: bool | None, right: bool | None) -> bool | None:
    return False if False in (left, right) else None if None in (left, right) else True


def disjunction(left: bool | None, right: bool | None) -> bool | None:
    return True if True in (left, right) else None if None in (left, right) else False


def exclusion(left: bool | None, right: bool | None) -> bool | None:
    return None if left is None or right is None else left != right


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=[f"{left[0]}-{right[0]}" for left, right in PAIRS])
def test_operators(left: Any, right: Any) -> None:
    drawn = list(itertools.product(left[1], right[1]))
    rows = [(one[0], other[0]) for one, other in drawn]
    for name, expected in (("and", conjunction), ("or", disjunction), ("xor", exclusion)):
        found, _ = over_columns(name, [left[0], right[0]], rows)
        assert found == [expected(one[1], other[1]) for one, other in drawn], name


@pytest.mark.parametrize("sample", TRUTH, ids=[str(sample[0]) for sample in TRUTH])
def test_not_and_conditions(sample: tuple[DataType, list[tuple[Any, bool | None]]]) -> None:
    data_type, values = sample
    found, _ = over_columns("not", [data_type], [[value] for value, _ in values])
    assert found == [None if truth is None else not truth for _, truth in values]
    column = Column.from_values([value for value, _ in values], data_type)
    assert holds(column).tolist() == [truth is True for _, truth in values]
    for row, (_, truth) in enumerate(values):
        assert holds(column.take(np.array([row]))).tolist() == [truth is True]


def test_three_operands() -> None:
    assert evaluate("and", typed(None, "bool"), True, False) is False
    assert evaluate("or", typed(None, "bool"), False, False) is None


def test_case() -> None:
    rows = [
        (True, "a", True, "b", "c"),
        (None, "a", True, "b", "c"),
        (False, "a", None, "b", "c"),
        (True, None, True, "b", "c"),
    ]
    types = [BOOL, STRING, BOOL, STRING, STRING]
    assert over_columns("case", types, rows)[0] == ["a", "b", "c", None]
    numbers = [(1, 5, None), (0, 5, 6), (None, 5, None)]
    assert over_columns("case", [INT, INT, INT], numbers)[0] == [5, 6, None]


def test_functions_about_null() -> None:
    rows = [("a", "b"), (None, "b"), (None, None), ("c", None)]
    assert over_columns("if_null", [STRING, STRING], rows)[0] == ["a", "b", None, "c"]
    assert over_columns("is_null", [STRING], [[left] for left, _ in rows])[0] == [False, True, True, False]
    assert over_columns("is_null", [INT], [[1], [2]])[0] == [False, False]
    assert over_columns("nvl2", [STRING, INT, INT], [("a", 1, 2), (None, 1, 2), (None, 1, None)])[0] == [1, 2, None]
    assert over_columns("identity", [STRING], [["a"], [None]])[0] == ["a", None]


def test_smaller_and_larger() -> None:
    nan = float("nan")
    rows = [(1.0, 2.0), (nan, 1.0), (1.0, nan), (None, 1.0)]
    assert list(map(repr, over_columns("minimum", [DOUBLE, DOUBLE], rows)[0])) == ["1.0", "1.0", "1.0", "None"]
    assert list(map(repr, over_columns("maximum", [DOUBLE, DOUBLE], rows)[0])) == ["2.0", "nan", "nan", "None"]
    texts = [("b", "a"), ("a", "é"), (None, "a"), ("x", None)]
    assert over_columns("minimum", [STRING, STRING], texts)[0] == ["a", "a", None, None]
    assert over_columns("maximum", [STRING, STRING], texts)[0] == ["b", "é", None, None]


def test_lists_are_chosen_too() -> None:
    chosen = call("case", typed(None, "bool"), call("array", 1), call("array", 2, None))
    assert chosen.type == array_of(INT)
    assert value_of(chosen) == (2, None)
