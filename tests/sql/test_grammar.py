"""What the grammar refuses, and in which words."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.errors import SqlSyntaxError
from airflow_provider_mlfeat.sql.plan import Windows
from airflow_provider_mlfeat.sql.syntax import parse_query, parse_statement
from tests.sql.planning import first, plan, refused

QUERIES = [
    ("SELECT id NOT 1 FROM t", "expected LIKE, ILIKE, RLIKE, IN or BETWEEN after NOT, found '1'"),
    ("SELECT id IS 1 FROM t", "expected NULL, found '1'"),
    ("SELECT text RLIKE 'a' ESCAPE 'b' FROM t", "ESCAPE after RLIKE is not supported"),
    ("SELECT INTERVAL 1 day", "INTERVAL is not supported"),
    ("SELECT FROM t", "expected an expression, found 'FROM'"),
    ("SELECT CASE ELSE 1 END", "expected an expression, found 'ELSE'"),
    ("SELECT CASE id END FROM t", "expected WHEN, found 'END'"),
    ("SELECT CASE WHEN flag THEN 1 FROM t", "expected END, found 'FROM'"),
    ("SELECT t.abs(id) FROM t", "function 'abs' cannot have a qualifier"),
    ("SELECT a.b.c.d FROM t", "a column has at most a database and a table before it"),
    ("SELECT CAST(id AS 3) FROM t", "expected a type, found '3'"),
    ("SELECT CAST(id, int) FROM t", "expected AS, found ','"),
    ("SELECT id AS 3 FROM t", "expected a name after AS, found '3'"),
    ("SELECT [1, 2", "expected ']', found the end of the statement"),
    ("SELECT id FROM t LIMIT -1", "expected a whole number after LIMIT, found '-'"),
    ("SELECT id FROM t LIMIT 1.5", "expected a whole number after LIMIT, found '1.5'"),
    ("SELECT id FROM t LIMIT 1d", "expected a whole number after LIMIT, found '1d'"),
    ("SELECT id FROM t LIMIT 1 LIMIT 2", "expected the end of the statement, found 'LIMIT'"),
    ("SELECT id FROM (t LAST JOIN u ON t.id = u.id)", "a join in parentheses is not supported"),
    ("SELECT id FROM ()", "a join in parentheses is not supported"),
    ("WITH a AS (t) SELECT 1", "expected a query, found 't'"),
    ("WITH a (SELECT 1) SELECT 1", "expected AS, found '('"),
    ("SELECT id FROM t QUALIFY id > 1", "QUALIFY is not supported"),
    ("SELECT t.id FROM t LAST JOIN u ORDER BY u.at_time, u.id ON t.id = u.id", None),
    ("SELECT t.id FROM t LAST JOIN u", "expected ON, found the end of the statement"),
    ("SELECT t.id FROM t LEFT SEMI JOIN u ON t.id = u.id", "SEMI JOIN is not supported"),
    ("SELECT t.id FROM t LEFT JOIN u USING (id)", "USING is not supported"),
    ("SELECT sum(id) OVER w FROM t WINDOW w (PARTITION BY key)", "expected AS, found '('"),
    ("SELECT sum(id) OVER PARTITION BY key FROM t", "expected a window's name or '(' after OVER, found 'PARTITION'"),
    ("SELECT sum(id) OVER (PARTITION BY key ROWS 3 PRECEDING) FROM t", "expected BETWEEN, found '3'"),
    ("SELECT sum(id) OVER (PARTITION BY key ROWS BETWEEN x AND y) FROM t", None),
    (
        "SELECT sum(id) OVER (PARTITION BY key ROWS_RANGE BETWEEN 1w PRECEDING AND CURRENT ROW) FROM t",
        "unknown time unit 'w'",
    ),
    (
        "SELECT sum(id) OVER (PARTITION BY key ROWS BETWEEN 1 PRECEDING AND CURRENT ROW ROWS) FROM t",
        "expected ')', found 'ROWS'",
    ),
    ("SELECT id t FROM t u v", "expected the end of the statement, found 'v'"),
    ("SELECT n'a'", "a string takes no prefix"),
    ("SELECT id FROM t WHERE", "expected an expression, found the end of the statement"),
]


@pytest.mark.parametrize(("sql", "message"), QUERIES)
def test_refused_queries(sql: str, message: str | None) -> None:
    error = refused(sql)
    assert error.position is not None
    if message is not None:
        assert error.message == message


STATEMENTS = [
    ("CREATE TABLE t LIKE CSV 'x'", "expected PARQUET or HIVE, found 'CSV'"),
    ("CREATE VIEW v", "expected TABLE, DATABASE or INDEX, found 'VIEW'"),
    ("CREATE TABLE t (a int, INDEX(TS=a))", "an INDEX needs KEY"),
    ("CREATE TABLE t (a int, INDEX(KEY=a, TTL_TYPE=late))", "unknown TTL type 'late'"),
    ("CREATE TABLE t (a int, INDEX(KEY=a, TTL='soon'))", "a TTL is a number of rows or a time like 12h"),
    ("CREATE TABLE t (a int, INDEX(KEY=a, TTL=3w))", "unknown time unit 'w'"),
    ("CREATE TABLE t (a int, INDEX(KEY=a, TTL_TYPE=latest, TTL=1d))", "TTL of type latest takes a number of rows"),
    ("CREATE TABLE t (a int) OPTIONS (DISTRIBUTION=[('x')", "expected ']', found the end of the statement"),
    ("DROP INDEX i", "expected table.index or database.table.index"),
    ("DEPLOY d", "expected SELECT, found the end of the statement"),
    ("DEPLOY d OPTIONS (SYNC=) SELECT 1", "expected a value, found ')'"),
    ("SHOW JOBS FROM x", "expected TASKMANAGER or NAMESERVER, found 'x'"),
    ("LOAD DATA INFILE x INTO TABLE t", "expected the path of files, found 'x'"),
    ("SELECT 1 INTO OUTFILE x", "expected the path of a directory, found 'x'"),
    ("SET @execute_mode = 1", "expected '@@', found 'execute_mode'"),
    ("", "expected one statement, found 0"),
]


@pytest.mark.parametrize(("sql", "message"), STATEMENTS)
def test_refused_statements(sql: str, message: str) -> None:
    with pytest.raises(SqlSyntaxError if message.startswith("expected") else Exception) as caught:
        parse_statement(sql)
    assert getattr(caught.value, "message", None) == message
    assert getattr(caught.value, "position", None) is not None


def test_a_query_is_wanted() -> None:
    with pytest.raises(SqlSyntaxError, match="expected a query, found another statement"):
        parse_query("SHOW TABLES")


def test_over_may_follow_parentheses() -> None:
    window = "OVER (PARTITION BY key ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    plain = plan(f"SELECT sum(id) {window} AS x, lag(id, 1) {window} AS y FROM t")
    wrapped = plan(f"SELECT (sum(id)) {window} AS x, (lag(id, 1) {window}) AS y FROM t")
    assert plain.root == wrapped.root
    both = plan(f"SELECT (sum(id) + max(id)) {window} AS x FROM t")
    assert len(first(both.root, Windows).features) == 2


def test_a_plus_sign_means_nothing() -> None:
    assert plan("SELECT +id AS x, 1 + +2 AS y FROM t").root == plan("SELECT id AS x, 1 + 2 AS y FROM t").root


def test_constants_of_request_rows() -> None:
    tables = Catalog.from_columns({"r": {"a": "date", "b": "bool", "c": "timestamp", "d": "float", "e": "smallint"}})

    def rows(values: str) -> object:
        return plan(
            f"SELECT a FROM r CONFIG (values = ({values}))", tables=tables, time_zone="Europe/Berlin"
        ).request_rows

    assert rows("'2020-5-1', true, '2020-05-01', 1, -3") == (("2020-05-01", True, 1588284000000, 1.0, -3),)
    assert rows("date('2020-05-01'), false, timestamp(5), -1.5, smallint(3)") == (("2020-05-01", False, 5, -1.5, 3),)
    assert rows("NULL, NULL, '20200501', NULL, NULL") == ((None, None, 1588284000000, None, None),)
    for wrong in (
        "'2020-13-01', true, 0, 1, 1",
        "'x', true, 0, 1, 1",
        "'2020-05-01', 1, 0, 1, 1",
        "'2020-05-01', true, -1, 1, 1",
        "'2020-05-01', true, 'noon', 1, 1",
        "'2020-05-01', true, 0, 'a', 1",
        "'2020-05-01', true, 0, 1, 40000",
        "'2020-05-01', true, 0, 1, 1.5",
        "'2020-05-01', true, 0, 1, a",
    ):
        error = refused(f"SELECT a FROM r CONFIG (values = ({wrong}))", tables=tables)
        assert "takes a constant of type" in error.message
