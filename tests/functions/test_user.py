"""Functions of users: declared in Python, called like any other."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.registry import Argument, NullRule, SignatureError, load_implementation
from airflow_provider_mlfeat.sql.functions.user import (
    aggregate_function,
    import_user_functions,
    remove_function,
    scalar_function,
    user_function_modules,
)
from airflow_provider_mlfeat.sql.types import BIGINT, DOUBLE, FLOAT, INT, SMALLINT, STRING
from tests.functions.calls import call, evaluate, over_columns, typed


@pytest.fixture(autouse=True)
def _catalogue() -> Iterator[None]:
    before = set(CATALOGUE.names())
    yield
    for name in set(CATALOGUE.names()) - before:
        remove_function(name)


def test_a_scalar_function() -> None:
    @scalar_function("string", "int", returns="string")
    def shorten(text: str, length: int = 2) -> str:
        """The first characters.

        And more about it.
        """
        return text[:length]

    assert shorten("abc") == "ab"
    assert evaluate("shorten", "abc") == "ab"
    assert evaluate("shorten", "abc", typed(1, "smallint")) == "a"
    assert over_columns("shorten", [STRING, SMALLINT], [["abc", 1], [None, 1], ["x", None]]) == (
        ["a", None, None],
        STRING,
    )
    entry = CATALOGUE.scalars["shorten"]
    assert (entry.doc, entry.usage) == ("The first characters.", "shorten(string, int)")
    assert __name__ in user_function_modules()


def test_null_as_a_value_and_a_name_of_its_own() -> None:
    @scalar_function("double", returns="double", name="or_zero", handles_null=True)
    def _first(*values: float | None) -> float:
        return next((value for value in values if value is not None), 0)

    assert CATALOGUE.scalars["or_zero"].null_rule is NullRule.OWN
    assert over_columns("or_zero", [FLOAT, INT], [[None, None], [None, 3], [0.5, 1]])[0] == [0.0, 3.0, 0.5]
    assert evaluate("or_zero", 1.0, 2.0, 3) == 1.0


def test_dates_and_timestamps() -> None:
    @scalar_function("date", "timestamp", returns="timestamp")
    def at_day(day: datetime.date, moment: int) -> int:
        return (day - datetime.date(1970, 1, 1)).days * 86_400_000 + moment % 86_400_000

    assert evaluate("at_day", typed(datetime.date(1970, 1, 2), "date"), typed(5, "timestamp")) == 86_400_005


def test_an_aggregate_gets_the_newest_row_first_without_null() -> None:
    @aggregate_function("double", "bigint", returns="string")
    def listing(values: list[float], numbers: list[int]) -> str:
        return f"{values} {numbers}"

    resolved = CATALOGUE.aggregates["listing"].resolve([Argument(FLOAT), Argument(INT)])
    assert resolved.arguments == (DOUBLE, BIGINT)
    run = load_implementation(CATALOGUE.aggregates["listing"].implementation)
    assert run([3.0, None, 1.0], [3, 2, None]) == "[3.0] [3]"
    assert run([], []) == "[] []"


def test_an_aggregate_that_handles_null() -> None:
    @aggregate_function("int", returns="bigint", handles_null=True)
    def null_count(values: list[int | None]) -> int:
        return values.count(None)

    assert load_implementation(CATALOGUE.aggregates["null_count"].implementation)([1, None]) == 1


def test_a_module_may_be_loaded_again_but_names_are_taken_once() -> None:
    def define(result: int) -> None:
        @scalar_function(returns="int")
        def answer() -> int:
            return result

    define(1)
    define(2)
    assert evaluate("answer") == 2

    def another() -> int:
        return 3

    with pytest.raises(ValueError, match="function 'answer' is registered already"):
        scalar_function(returns="int", name="answer")(another)
    with pytest.raises(ValueError, match="function 'sum' is registered already"):
        scalar_function(returns="int", name="sum")(another)
    remove_function("answer")
    assert "answer" not in CATALOGUE.names()
    with pytest.raises(ValueError, match="'answer' is no function of your own"):
        remove_function("answer")
    import_user_functions([__name__])


def _two(first: int, second: int) -> int:
    return first + second


def _keyword(first: int, *, second: int) -> int:
    return first + second


@pytest.mark.parametrize(
    ("parameters", "returns", "name", "function", "message"),
    [
        (("int",), "int", "two", _two, "function 'two' has 2 parameters, but 1 types"),
        (("int", "number"), "int", "two", _two, "unknown type 'number'"),
        (("int", "array<int>"), "int", "two", _two, r"function 'two' cannot have type array<int>; use one of bool, .*"),
        (("int", "int"), "int", "Two!", _two, "'Two!' is no name for a function.*"),
        (("int", "int"), "int", "two", _keyword, "parameter 'second' cannot be given by position, as SQL does"),
    ],
)
def test_wrong_declarations(
    parameters: tuple[str, ...], returns: str, name: str, function: Callable[..., Any], message: str
) -> None:
    for decorator in (scalar_function, aggregate_function):
        with pytest.raises(ValueError, match=message):
            decorator(*parameters, returns=returns, name=name)(function)


def test_an_aggregate_without_parameters() -> None:
    with pytest.raises(ValueError, match="aggregate 'nothing' needs a parameter"):
        aggregate_function(returns="int", name="nothing")(lambda: 1)


def test_wrong_calls_and_results() -> None:
    @scalar_function("int", returns="int")
    def careless(value: int) -> Any:
        return {1: "text", 2: 2**31, 3: True, 4: None, 5: 5}[value]

    assert evaluate("careless", 4) is None
    assert evaluate("careless", 5) == 5
    for value, message in (
        (0, "function 'careless' failed with KeyError: 0"),
        (1, "function 'careless' gave a Python str for its type int"),
        (2, "function 'careless' gave 2147483648, which does not fit its type int"),
        (3, "function 'careless' gave a Python bool for its type int"),
    ):
        with pytest.raises(DataRuleError, match=message):
            evaluate("careless", value)
    for arguments, message in (
        ([], r"careless\(int\): takes 1 argument, not 0"),
        (["x"], r"careless\(int\): the argument must be of type int, not string"),
        ([typed(1, "bigint")], r"careless\(int\): the argument must be of type int, not bigint"),
    ):
        with pytest.raises(SignatureError, match=message):
            call("careless", *arguments)
