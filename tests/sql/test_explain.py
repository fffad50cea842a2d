"""The tree of a plan, and the history that it needs."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.explain import explain
from airflow_provider_mlfeat.sql.history import required_history
from tests.sql.planning import plan

SQL = """
SELECT t.id, sum(big) OVER w AS s, lag(text, 1) OVER w AS l, u.value
FROM t LAST JOIN u ORDER BY u.at_time ON t.id = u.id AND t.ts >= u.at_time
WINDOW w AS (PARTITION BY t.key ORDER BY ts ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW MAXSIZE 5)
"""
TREE = """\
tree
  project
      id
      s = feature_0
      l = feature_1
      value
    windows
        stream 0: partition by key, order by ts
          frame 0: range 1d .. current row, newest 5
            feature_0 bigint = sum(big)
          frame 1: rows 1 .. current row
            feature_1 string = at(text, 1)
      last join on id = id
          where (ts >= at_time)
          takes the latest by at_time
        table t
        table u

history
  t by key, ordered by ts: the newest 5 rows, at most the last 1d
  t by key, ordered by ts: the newest row
  u by id, ordered by at_time: all rows
"""


def test_tree() -> None:
    text = explain(plan(SQL))
    assert text.startswith(f"plan {plan(SQL).plan_id}\ntime zone +08:00, NULL join keys match\nrequest table t\n")
    assert "output\n  1. id int\n  2. s bigint\n  3. l string\n  4. value double\n" in text
    assert text.endswith(TREE)


@pytest.mark.parametrize(
    ("sql", "lines"),
    [
        ("SELECT 1 AS one", ["project", "    one = 1", "  one row"]),
        ("SELECT id FROM t WHERE id > 1 LIMIT 2", ["limit 2", "    filter (id > 1)"]),
        ("SELECT key, count(*) AS c FROM t GROUP BY key", ["  group by key", "      aggregate_0 = count()"]),
        ("SELECT count(*) AS c FROM t", ["  aggregate all rows"]),
        ("SELECT id FROM t UNION ALL SELECT id FROM u", ["union all", "  project"]),
        (
            "SELECT u.id FROM u LEFT JOIN v ON u.value > v.id",
            ["  left join on no key", "      where (value > cast(id as double))"],
        ),
        (
            "SELECT 'it\\'s' AS a, NULL AS b, [1][0] AS c".replace(", [1][0] AS c", ""),
            ["    a = 'it\\'s'", "    b = NULL"],
        ),
    ],
)
def test_parts(sql: str, lines: list[str]) -> None:
    text = explain(plan(sql)).splitlines()
    assert all(f"  {line}" in text for line in lines), "\n".join(text)


def test_parameters_and_warnings() -> None:
    text = explain(
        plan(
            "SELECT t.id FROM t LAST JOIN u ON t.id = u.id WHERE t.id = ?",
            parameter_types=(plan("SELECT 1").schema[0].type,),
        )
    )
    assert "parameters int\n" in text
    assert "(id = ?1)" in text
    assert "warnings\n  1:20: the join with 'u' has no condition on time" in text


def needs(sql: str) -> list[str]:
    return [str(need) for need in required_history(plan(sql))]


def window(text: str, source: str = "t") -> str:
    return f"SELECT sum(id) OVER (PARTITION BY key ORDER BY ts {text}) AS x FROM {source}"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (window("ROWS BETWEEN 10 PRECEDING AND CURRENT ROW"), ["t by key, ordered by ts: the newest 10 rows"]),
        (window("ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"), ["t by key, ordered by ts: all rows"]),
        (
            window("ROWS BETWEEN 3 PRECEDING AND CURRENT ROW EXCLUDE CURRENT_TIME"),
            ["t by key, ordered by ts: all rows"],
        ),
        (window("ROWS_RANGE BETWEEN 90m PRECEDING AND CURRENT ROW"), ["t by key, ordered by ts: the last 90m"]),
        (
            window("ROWS_RANGE BETWEEN 1d PRECEDING AND 1h PRECEDING MAXSIZE 5"),
            ["t by key, ordered by ts: the last 1d"],
        ),
        (
            window("ROWS BETWEEN 10 PRECEDING AND CURRENT ROW", "(SELECT * FROM t WHERE flag)"),
            ["t by key, ordered by ts: all rows"],
        ),
        (
            "SELECT sum(id) OVER (UNION (SELECT id, key, at_time AS ts FROM u) PARTITION BY key ORDER BY ts ROWS "
            "BETWEEN 3 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW) AS x FROM (SELECT id, key, ts FROM t)",
            ["u by key, ordered by at_time: the newest 3 rows"],
        ),
        ("SELECT t.id FROM t LAST JOIN v ON t.id = v.id", ["v by id, ordered by arrival: the newest row"]),
        ("SELECT t.id FROM t LAST JOIN v ON t.id = v.id + 1", []),
        ("SELECT t.id FROM t LAST JOIN (SELECT id FROM t) x ON t.id = x.id", []),
        (
            "SELECT t.id FROM t LAST JOIN (SELECT id FROM v WHERE step > 1) x ON t.id = x.id",
            ["v by id, ordered by arrival: all rows"],
        ),
    ],
)
def test_history(sql: str, expected: list[str]) -> None:
    got = needs(sql)
    assert got == expected
