"""The pretty printer."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.errors import SqlSyntaxError
from airflow_provider_mlfeat.sql.format import format_sql

PAIRS = [
    ("select a,b from t where a>1 limit 3", "SELECT\n    a,\n    b\nFROM t\nWHERE a > 1\nLIMIT 3\n"),
    ("select * from t;use d", "SELECT *\nFROM t;\nUSE d\n"),
    ("select -a, ! b, -1, a- -1 from t", "SELECT\n    -a,\n    !b,\n    -1,\n    a - -1\nFROM t\n"),
    ("select f ( a ) . c from t".replace(" . c", ""), "SELECT f(a)\nFROM t\n"),
    (
        "select array < int > [1 ,2] [0], cast( a as map<int , string> ) [1] from t",
        "SELECT\n    ARRAY<int>[1, 2][0],\n    CAST(a AS map<int, string>)[1]\nFROM t\n",
    ),
    (
        "select a from t last join u order by u.ts desc on t.a=u.a and b in (1,2)",
        "SELECT a\nFROM t\nLAST JOIN u ORDER BY u.ts DESC\n    ON t.a = u.a AND b IN (1, 2)\n",
    ),
    (
        "select a from (select a from t union all select a from u) x",
        "SELECT a\nFROM (\n    SELECT a\n    FROM t\n    UNION ALL\n    SELECT a\n    FROM u\n) x\n",
    ),
    (
        "with a as (select 1), b as (select 2) select * from a",
        "WITH\n    a AS (\n        SELECT 1\n    ),\n    b AS (\n        SELECT 2\n    )\nSELECT *\nFROM a\n",
    ),
    (
        "select sum(a) over w from t window w as (partition by k order by ts rows between 1 preceding and current row)",
        "SELECT sum(a) OVER w\nFROM t\n"
        "WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)\n",
    ),
    (
        "select sum(a) over w from t window w as (union u partition by k order by ts rows_range between 14d open "
        "preceding and 0s preceding maxsize 100 instance_not_in_window)",
        "SELECT sum(a) OVER w\nFROM t\nWINDOW w AS (\n    UNION u\n    PARTITION BY k\n    ORDER BY ts\n"
        "    ROWS_RANGE BETWEEN 14d OPEN PRECEDING AND 0s PRECEDING MAXSIZE 100 INSTANCE_NOT_IN_WINDOW\n)\n",
    ),
    (
        "create table t(a int not null, index(key=a,ttl=10h))",
        "CREATE TABLE t (a int NOT NULL, INDEX (key = a, ttl = 10h))\n",
    ),
    ("insert into t(a) values(1),(-2)", "INSERT INTO t(a) VALUES (1), (-2)\n"),
    ("set @@session.execute_mode='offline'", "SET @@session.execute_mode = 'offline'\n"),
    ("deploy d options(sync=false) select a from t", "DEPLOY d OPTIONS (sync = false)\nSELECT a\nFROM t\n"),
    ("select a first, b AS last, `select` from t", "SELECT\n    a first,\n    b AS last,\n    `select`\nFROM t\n"),
    (
        "-- head\nselect a -- x\n, b -- y\nfrom t -- z\n-- tail",
        "-- head\nSELECT\n    a,  -- x\n    b  -- y\nFROM t  -- z\n-- tail\n",
    ),
    ("select /* one */ a + /* two */ b from t", "SELECT /* one */ a + /* two */ b\nFROM t\n"),
    ("select 'a -- b' # c\nfrom t", "SELECT 'a -- b'  # c\nFROM t\n"),
    (" -- nothing", "-- nothing\n"),
    ("", ""),
    (
        f"select case a when 1 then {'b' * 60} else {'c' * 60} end x, case when a then b end from t",
        f"SELECT\n    CASE a\n        WHEN 1 THEN {'b' * 60}\n        ELSE {'c' * 60}\n    END x,\n"
        "    CASE WHEN a THEN b END\nFROM t\n",
    ),
    (
        f"select a from t last join u on t.a=u.a and t.b between 1 and 2 or (x and y) and {'z' * 90} where a and b",
        "SELECT a\nFROM t\nLAST JOIN u\n    ON t.a = u.a\n        AND t.b BETWEEN 1 AND 2\n        OR (x AND y)\n"
        f"        AND {'z' * 90}\nWHERE a AND b\n",
    ),
]


@pytest.mark.parametrize(("written", "formatted"), PAIRS)
def test_layout(written: str, formatted: str) -> None:
    assert format_sql(written) == formatted


@pytest.mark.parametrize("written", [written for written, _ in PAIRS])
def test_formatting_again_changes_nothing(written: str) -> None:
    once = format_sql(written)
    assert format_sql(once) == once


def test_a_text_that_is_no_script_is_refused() -> None:
    with pytest.raises(SqlSyntaxError):
        format_sql("SELECT a FROM")
