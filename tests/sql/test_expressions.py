"""Expressions: precedence, literals, operators, casts and types."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.explain import describe
from airflow_provider_mlfeat.sql.plan import Call, Literal, Project
from airflow_provider_mlfeat.sql.types import BIGINT, BOOL, DOUBLE, FLOAT, INT, SMALLINT, STRING, parse_type
from tests.sql.planning import first, plan, refused


def bound(expression: str) -> str:
    """The text of a bound expression, every operator in parentheses."""
    project = first(plan(f"SELECT {expression} AS x FROM t").root, Project)
    return describe(project.expressions[0], project.input.schema)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("flag OR flag AND flag", "(flag OR (flag AND flag))"),
        ("flag AND flag XOR flag", "(flag AND (flag XOR flag))"),
        ("NOT flag XOR flag", "(not(flag) XOR flag)"),
        ("NOT id = 1", "not((id = 1))"),
        ("! id = 1 AND flag", "(not((id = 1)) AND flag)"),
        ("flag = NOT flag AND flag", "((flag = not(flag)) AND flag)"),
        ("id | 1 = 2", "((id | 1) = 2)"),
        ("id | 1 ^ 2 & 3", "(id | (1 ^ (2 & 3)))"),
        ("id & 1 + 2", "(id & (1 + 2))"),
        ("id + 2 * 3", "(id + (2 * 3))"),
        ("id - 2 - 3", "((id - 2) - 3)"),
        ("id DIV 2 MOD 3 % 4", "(((id DIV 2) % 3) % 4)"),
        ("-id * 2", "(negate(id) * 2)"),
        ("- -id", "negate(negate(id))"),
        ("~id & 1", "(bit_not(id) & 1)"),
        ("(id + 2) * 3", "((id + 2) * 3)"),
        ("id BETWEEN 1 AND 2 AND flag", "(((id >= 1) AND (id <= 2)) AND flag)"),
        ("id NOT BETWEEN 1 AND 1 + 1", "not(((id >= 1) AND (id <= (1 + 1))))"),
        ("id IN (1, 2) OR flag", "(in(id, 1, 2) OR flag)"),
        ("id NOT IN (1)", "not(in(id, 1))"),
        ("id IS NULL AND flag", "(is_null(id) AND flag)"),
        ("id IS NOT NULL", "not(is_null(id))"),
        ("text LIKE 'a%' AND flag", "((text LIKE 'a%') AND flag)"),
        ("text NOT ILIKE 'a%' ESCAPE '#'", "not(ilike(text, 'a%', '#'))"),
        ("text RLIKE 'a+'", "(text RLIKE 'a+')"),
        ("id = 1 = flag", "((id = 1) = flag)"),
        ("CASE WHEN flag THEN 1 ELSE 2 END", "case(flag, 1, 2)"),
        ("CASE id WHEN 1 THEN 'a' WHEN 2 THEN 'b' END", "case((id = 1), 'a', (id = 2), 'b', NULL)"),
        ("id == 1", "(id = 1)"),
        ("flag AND (id = 1 AND flag) AND (flag OR flag)", "(flag AND (id = 1) AND flag AND (flag OR flag))"),
        ("id <> 1 OR id != 2", "((id <> 1) OR (id <> 2))"),
    ],
)
def test_precedence(written: str, meant: str) -> None:
    assert bound(written) == meant


@pytest.mark.parametrize(
    ("written", "value", "type_"),
    [
        ("12", 12, INT),
        ("2147483647", 2147483647, INT),
        ("2147483648", 2147483648, BIGINT),
        ("-2147483648", -2147483648, INT),
        ("12L", 12, BIGINT),
        ("0x1F", 31, INT),
        ("0xFFFFFFFF", 4294967295, BIGINT),
        ("-9223372036854775808", -9223372036854775808, BIGINT),
        ("1.5", 1.5, DOUBLE),
        ("1e3", 1000.0, DOUBLE),
        ("1.5f", 1.5, FLOAT),
        ("-2f", -2.0, FLOAT),
        ("true", True, BOOL),
        ("FALSE", False, BOOL),
        ("'a'", "a", STRING),
        ('"a"', "a", STRING),
        (r"'it\'s'", "it's", STRING),
        (r"'say \"x\"'", 'say "x"', STRING),
        (r"'a\\b\n'", "a\\b\n", STRING),
        (r"'\%'", r"\%", STRING),
        ("''", "", STRING),
        ("'日本'", "日本", STRING),
        ("NULL", None, BOOL),
    ],
)
def test_literals(written: str, value: object, type_: object) -> None:
    project = first(plan(f"SELECT {written} AS x").root, Project)
    literal = project.expressions[0]
    assert isinstance(literal, Literal)
    assert (literal.value, literal.type) == (value, type_)
    assert type(literal.value) is type(value)


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("small + 1", "int"),
        ("id + big", "bigint"),
        ("flag + flag", "bool"),
        ("big + real", "float"),
        ("real + number", "double"),
        ("id / 2", "double"),
        ("id DIV small", "int"),
        ("ts + 1", "timestamp"),
        ("ts - 1", "timestamp"),
        ("id = text", "bool"),
        ("CASE WHEN flag THEN big ELSE real END", "double"),
        ("CASE WHEN flag THEN id ELSE text END", "string"),
        ("CASE WHEN flag THEN NULL ELSE id END", "int"),
        ("nvl(small, big)", "bigint"),
        ("CAST(id AS varchar(60))", "string"),
        ("CAST(id AS int16)", "smallint"),
        ("timestamp(big)", "timestamp"),
        ("array_contains([1, NULL], 2)", "bool"),
        ("map(1, 'a')[1]", "string"),
        ("CAST(map() AS map<int, timestamp>)[7]", "timestamp"),
        ("array_join(ARRAY<string>['a'], ',')", "string"),
        ("at(split(text, ','), 0)", "string"),
    ],
)
def test_types(expression: str, type_: str) -> None:
    assert plan(f"SELECT {expression} AS x FROM t").schema[0].type == parse_type(type_)


def test_casts_stand_where_an_argument_has_another_type() -> None:
    assert bound("small + big") == "(cast(small as bigint) + big)"
    assert bound("id = text") == "(cast(id as string) = text)"
    assert bound("big + 1") == "(big + 1)", "constants take the type without a cast"


@pytest.mark.parametrize(
    ("written", "value", "type_"),
    [
        ("bigint(0)", 0, "bigint"),
        ("smallint(-1)", -1, "smallint"),
        ("float(0)", 0.0, "float"),
        ("timestamp(90000)", 90000, "timestamp"),
        ("string(5)", "5", "string"),
        ("CAST(NULL AS double)", None, "double"),
    ],
)
def test_casts_of_constants_are_constants_where_the_value_stays(written: str, value: object, type_: str) -> None:
    assert first(plan(f"SELECT {written} AS x").root, Project).expressions == (Literal(value, parse_type(type_)),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written", ["smallint(70000)", "timestamp(-1)", "float(16777217)", "int(1.5)", "bool(1)", "int('1')"]
)
def test_other_casts_are_left_to_the_engine(written: str) -> None:
    call = first(plan(f"SELECT {written} AS x").root, Project).expressions[0]
    assert isinstance(call, Call)
    assert call.function == "cast"


def test_a_cast_and_the_function_of_its_type_are_one_operation() -> None:
    queries = ["SELECT CAST(id AS bigint) AS x FROM t", "SELECT bigint(id) AS x FROM t", "SELECT int64(id) AS x FROM t"]
    assert len({plan(sql).plan_id for sql in queries}) == 1
    call = first(plan(queries[0]).root, Project).expressions[0]
    assert isinstance(call, Call)
    assert (call.function, call.type) == ("cast", BIGINT)


def test_aliases_of_functions_have_one_name_in_plans() -> None:
    assert len({plan(f"SELECT {name}(id, 1) AS x FROM t").plan_id for name in ("if_null", "ifnull", "NVL")}) == 1


def test_literal_smallint_cast_keeps_its_type() -> None:
    assert plan("SELECT smallint(1) AS x").schema[0].type == SMALLINT


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 100 + 1s", "interval 1s is no value: intervals stand in window frames and options only"),
        ("SELECT id & flag FROM t", "a & b: operand 2 must be a whole number, not bool"),
        ("SELECT text + 1 FROM t", None),
        ("SELECT date(id) FROM t", None),
        ("SELECT CAST(id AS date) FROM t", None),
        ("SELECT ts = day FROM t", None),
        ("SELECT id LIKE 'a' FROM t", None),
        ("SELECT text LIKE NULL FROM t", None),
        ("SELECT text LIKE 'a' ESCAPE 'ab' FROM t", None),
        ("SELECT ARRAY<int>['a']", "string is no element of array<int>"),
        ("SELECT 99999999999999999999", "number 99999999999999999999 does not fit into bigint"),
        ("SELECT CAST(id AS decimal) FROM t", "unknown type 'decimal'"),
        ("SELECT CAST(id AS map<int>) FROM t", "map takes 2 types, found 1"),
    ],
)
def test_type_errors(sql: str, message: str | None) -> None:
    error = refused(sql)
    assert error.position is not None
    if message is not None:
        assert error.message == message
