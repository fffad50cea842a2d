"""The texts of errors: place, source line, caret and suggestion."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.errors import (
    DataRuleError,
    SqlError,
    SqlNameError,
    SqlSyntaxError,
    SqlTypeError,
    SqlUnsupportedError,
    nearest_name,
)
from tests.sql.planning import refused

CASES: list[tuple[str, type[SqlError], str]] = [
    (
        "SELECT id,\n       numbr\nFROM t",
        SqlNameError,
        "SQL:2:8: unknown column 'numbr'\n         numbr\n         ^^^^^\n  Did you mean 'number'?",
    ),
    (
        "SELECT id\nFROMM t",
        SqlSyntaxError,
        "SQL:2:7: expected the end of the statement, found 't'\n  FROMM t\n        ^",
    ),
    (
        "SELECT t.id FROMM",
        SqlNameError,
        "SQL:1:8: column 't.id' needs a table in FROM\n  SELECT t.id FROMM\n         ^^^^",
    ),
    (
        "SELECT id FROM t WERE id > 1",
        SqlSyntaxError,
        "SQL:1:23: expected the end of the statement, found 'id'\n"
        "  SELECT id FROM t WERE id > 1\n"
        "                        ^^",
    ),
    (
        "SELECT (id + 1 FROM t",
        SqlSyntaxError,
        "SQL:1:16: expected ')', found 'FROM'\n  SELECT (id + 1 FROM t\n                 ^^^^",
    ),
    (
        "SELECT id +",
        SqlSyntaxError,
        "SQL:1:12: expected an expression, found the end of the statement\n  SELECT id +\n             ^",
    ),
    (
        "SELECT 'abc FROM t",
        SqlSyntaxError,
        "SQL:1:8: the ' here has no end\n  SELECT 'abc FROM t\n         ^",
    ),
    (
        "SELECT 1 -- it's\n/* it's",
        SqlSyntaxError,
        "SQL:2:1: the /* here has no end\n  /* it's\n  ^^",
    ),
    (
        "SELECT 1e FROM t",
        SqlSyntaxError,
        "SQL:1:8: '1e' is not a number\n  SELECT 1e FROM t\n         ^^\n"
        "  Suffixes are L (bigint), f (float) and s, m, h, d.",
    ),
    (
        "SELECT 12abc FROM t",
        SqlSyntaxError,
        "SQL:1:8: '12abc' is not a number\n  SELECT 12abc FROM t\n         ^^^^^\n"
        "  Suffixes are L (bigint), f (float) and s, m, h, d.",
    ),
    (
        "SELECT t.idd FROM t",
        SqlNameError,
        "SQL:1:8: unknown column 'idd' in 't'\n  SELECT t.idd FROM t\n         ^^^^^\n  Did you mean 'id'?",
    ),
    (
        "SELECT id\nFROM tt",
        SqlNameError,
        "SQL:2:6: unknown table 'tt'\n  FROM tt\n       ^^\n  Did you mean 't'?",
    ),
    (
        "SELECT\tdistinct_cnt(id) FROM t",
        SqlNameError,
        "SQL:1:8: unknown function 'distinct_cnt'\n  SELECT distinct_cnt(id) FROM t\n"
        "         ^^^^^^^^^^^^^^^^\n  Did you mean 'distinct_count'?",
    ),
    (
        "SELECT id FROM t INNER JOIN u ON t.id = u.id",
        SqlUnsupportedError,
        "SQL:1:18: INNER JOIN is not supported\n  SELECT id FROM t INNER JOIN u ON t.id = u.id\n"
        "                   ^^^^^\n  Use LAST JOIN or LEFT JOIN.",
    ),
    (
        "SELECT split(id, ',') FROM t",
        SqlTypeError,
        "SQL:1:8: split(s, d): argument 1 must be a string, not int\n  SELECT split(id, ',') FROM t\n"
        "         ^^^^^^^^^^^^^^",
    ),
]


@pytest.mark.parametrize(("sql", "kind", "text"), CASES)
def test_texts(sql: str, kind: type[SqlError], text: str) -> None:
    error = refused(sql)
    assert type(error) is kind
    assert str(error) == text


def test_a_file_is_named() -> None:
    error = refused("SELECT x FROM t").with_source("other")
    assert error.sql == "SELECT x FROM t", "the first text that an error hears of is its own"
    error.path = "a.sql"
    assert str(error).startswith("a.sql:1:8: unknown column 'x'\n")
    plain = SqlError("no place").with_source("x", "a.sql")
    assert str(plain) == "a.sql: no place"
    assert str(SqlError("no place", suggestion="Do this.")) == "no place\n  Do this."


def test_data_errors_name_the_place() -> None:
    error = DataRuleError("the order column holds NULL", "t", "ts", 0)
    assert str(error) == "the order column holds NULL (table t, column ts, row 0)"
    assert (error.table, error.column, error.row) == ("t", "ts", 0)


def test_nearest_name() -> None:
    assert nearest_name("reqid", ["reqId", "other"]) == "Did you mean 'reqId'?"
    assert nearest_name("x", ["completely", "different"]) is None
