"""The dialect: text to tree and back."""

from __future__ import annotations

import pytest
import sqlglot

from airflow_provider_mlfeat.sql.dialect import FeatureSql, check_sqlglot_build
from airflow_provider_mlfeat.sql.dialect.query_parser import QueryParser

PAIRS = [
    ("select a , b from t", "SELECT a, b FROM t"),
    ("SELECT a, FROM t", "SELECT a FROM t"),
    ("select a b, c AS d from t e", "SELECT a AS b, c AS d FROM t AS e"),
    ("select `a b`, `t`.`c` from `t`", "SELECT `a b`, `t`.`c` FROM `t`"),
    ("select db.t.a, db.t.* from db.t", "SELECT db.t.a, db.t.* FROM db.t"),
    ('select "it\'s" -- why\nfrom t # hash', "SELECT 'it\\'s' FROM t"),
    (
        "select a from t last join u order by u.ts desc on t.a == u.a",
        "SELECT a FROM t LAST JOIN u ORDER BY u.ts DESC ON t.a = u.a",
    ),
    ("select a from t left outer join u on t.a = u.a", "SELECT a FROM t LEFT JOIN u ON t.a = u.a"),
    (
        "select * from (select * from t where a > 1 limit 3) x",
        "SELECT * FROM (SELECT * FROM t WHERE a > 1 LIMIT 3) AS x",
    ),
    ("with x as (select 1) select * from x", "WITH x AS (SELECT 1) SELECT * FROM x"),
    ("select a from t union all select a from u limit 2", "SELECT a FROM t UNION ALL SELECT a FROM u LIMIT 2"),
    ("select a from t union distinct select a from u", "SELECT a FROM t UNION DISTINCT SELECT a FROM u"),
    (
        "select a, count(*) from t group by a having count(*) > 1",
        "SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > 1",
    ),
    (
        "select sum(a) over w from t window w as (union u, (select * from v) partition by k, l order by ts "
        "rows_range between 10s open preceding and current row maxsize 5 instance_not_in_window exclude current_row "
        "exclude current_time)",
        "SELECT sum(a) OVER w FROM t WINDOW w AS (UNION u, (SELECT * FROM v) PARTITION BY k, l ORDER BY ts ROWS_RANGE "
        "BETWEEN 10s OPEN PRECEDING AND CURRENT ROW MAXSIZE 5 EXCLUDE CURRENT_TIME EXCLUDE CURRENT_ROW "
        "INSTANCE_NOT_IN_WINDOW)",
    ),
    (
        "select sum(a) over (partition by k rows between unbounded preceding and -1 preceding) from t",
        "SELECT sum(a) OVER (PARTITION BY k ROWS BETWEEN UNBOUNDED PRECEDING AND -1 PRECEDING) FROM t",
    ),
    ("select ?, 0L, 1.5f, 0x1F, 12", "SELECT ?, 0L, 1.5f, 0x1F, 12"),
    ("select [1, 2], array<int>[], m[1][2] from t", "SELECT [1, 2], ARRAY<int>[], m[1][2] FROM t"),
    ("select a div b, a mod b, a % b, a xor b, ~a, !a", "SELECT a DIV b, a % b, a % b, a XOR b, ~a, NOT a"),
    (
        "select case a when 1 then 2 else 3 end, cast(a as int)",
        "SELECT CASE a WHEN 1 THEN 2 ELSE 3 END, CAST(a AS int)",
    ),
    (
        "select a from t config (execute_mode = 'request', values = [(1, 'a'), (2, NULL)])",
        "SELECT a FROM t CONFIG (execute_mode = 'request', values = [(1, 'a'), (2, NULL)])",
    ),
    (
        "select `join`(a, ','), left(a), date(a), `if`(a) from t",
        "SELECT `join`(a, ','), `left`(a), date(a), if(a) FROM t",
    ),
    ("select - -1, 3 - -1", "SELECT - -1, 3 - -1"),
]


@pytest.mark.parametrize(("written", "generated"), PAIRS)
def test_generated_text(written: str, generated: str) -> None:
    tree = sqlglot.parse_one(written, dialect=FeatureSql)
    assert tree.sql(dialect=FeatureSql) == generated
    assert sqlglot.parse_one(generated, dialect="featuresql") == tree


def test_no_function_has_the_meaning_that_sqlglot_knows() -> None:
    tree = sqlglot.parse_one("SELECT substr(a, 1), IF(a, b, c), date(x), concat(a, b)", dialect=FeatureSql)
    assert [type(item).__name__ for item in tree.expressions] == ["Anonymous"] * 4
    assert not QueryParser.FUNCTIONS


@pytest.mark.parametrize(
    "word", ["user", "time", "date", "label", "last", "key", "rows", "index", "values", "desc", "open"]
)
def test_words_that_are_fine_names(word: str) -> None:
    sql = f"SELECT {word}, t.{word} AS {word} FROM t"
    assert sqlglot.parse_one(sql, dialect=FeatureSql).sql(dialect=FeatureSql) == sql


def test_the_compiled_build_of_sqlglot_is_refused() -> None:
    check_sqlglot_build("/x/sqlglot/tokenizer_core.py")
    with pytest.raises(ImportError, match="uninstall sqlglotc"):
        check_sqlglot_build("/x/sqlglot/tokenizer_core.cpython-311-x86_64-linux-gnu.so")
