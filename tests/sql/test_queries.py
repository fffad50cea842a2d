"""Queries: names, sub-queries, WITH, UNION, groups, LIMIT, CONFIG, parameters and the request mode."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.plan import (
    Aggregate,
    Filter,
    Limit,
    Literal,
    Parameter,
    Plan,
    Project,
    SingleRow,
    Source,
    Union,
)
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.syntax import parse_query
from airflow_provider_mlfeat.sql.types import BIGINT, BOOL, INT, STRING
from tests.sql.planning import first, plan, refused, relations


def names(sql: str) -> list[str]:
    """The output columns' names."""
    return [column.name for column in plan(sql).schema]


# ── names of columns ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("id, t.key, ID AS x, `day`", ["id", "key", "x", "day"]),
        ("id+1, csv(), csv(binary_label(true)), 1", ["id + 1", "csv()", "csv(binary_label(true))", "1"]),
        ("`id` + t.`big`,", ["id + t.big"]),
        ("id, id, id AS key", ["id", "id", "key"]),
    ],
)
def test_names_of_output_columns(items: str, expected: list[str]) -> None:
    assert names(f"SELECT {items} FROM t") == expected


def test_names_are_found_in_any_case() -> None:
    assert plan("SELECT ID, T.Key FROM T").plan_id == plan("select id, t.key from t").plan_id


def test_the_leftmost_table_is_the_request_table() -> None:
    query = plan("SELECT a.id FROM (SELECT * FROM t WHERE id > 1) AS a LAST JOIN u ON a.id = u.id")
    assert query.request_source == ("", "t")
    assert plan("SELECT 1").request_source is None


def test_select_star_of_a_table_is_the_table() -> None:
    assert isinstance(plan("SELECT * FROM (SELECT * FROM t)").root, Source)
    assert isinstance(plan("SELECT 1 AS one").root, Project)
    assert first(plan("SELECT 1 AS one").root, SingleRow).schema == ()


def test_an_untyped_null_is_a_bool_column() -> None:
    assert plan("SELECT NULL AS x").schema[0].type == BOOL


def test_qualifiers() -> None:
    assert names("SELECT t.id FROM (SELECT * FROM t)") == ["id"]
    assert names("SELECT x.id FROM t AS x") == ["id"]
    assert names("SELECT t.* FROM t LAST JOIN v ON t.id = v.id")[-1] == "text"
    assert refused("SELECT t.id FROM t AS x").message == "no table or alias 't' here"
    assert refused("SELECT t.id FROM (SELECT * FROM t) AS x").message == "no table or alias 't' here"
    assert refused("SELECT x.* FROM t").message == "no table or alias 'x' here"
    error = refused("SELECT id FROM t LAST JOIN u ON t.id = u.id")
    assert error.message == "column 'id' is ambiguous: it is in t and in u"


def test_a_column_that_a_sub_query_does_not_give() -> None:
    error = refused("SELECT numbr FROM (SELECT id, number FROM t) AS x")
    assert (error.message, error.suggestion) == ("unknown column 'numbr'", "Did you mean 'number'?")
    assert refused("SELECT day FROM (SELECT id FROM t)").message == "unknown column 'day'"


# ── databases ───────────────────────────────────────────────────────────────────────────────────────────────────────

DATABASES = Catalog.from_columns({"t": {"a": "int"}}, "one")
for _table in Catalog.from_columns({"t": {"b": "int"}, "s": {"a": "int"}}, "two").tables():
    DATABASES.add_table(_table)


def test_databases() -> None:
    sql = "SELECT one.t.a, two.t.b FROM one.t LAST JOIN two.t ON one.t.a = two.t.b"
    assert [column.name for column in plan(sql, tables=DATABASES).schema] == ["a", "b"]
    assert plan("SELECT t.a FROM t", tables=DATABASES, database="ONE").request_source == ("one", "t")
    here = plan("SELECT a FROM t", tables=DATABASES, database="one")
    assert here.plan_id == plan("SELECT a FROM one.t", tables=DATABASES).plan_id


def test_an_unqualified_name_means_the_current_database_only() -> None:
    error = refused("SELECT a FROM s", tables=DATABASES, database="one")
    assert (error.message, error.suggestion) == ("unknown table 's' in database 'one'", "Did you mean 'two.s'?")
    error = refused("SELECT s.a FROM two.s", tables=DATABASES, database="one")
    assert (error.message, error.suggestion) == ("no table or alias 's' here", "Did you mean 'two.s'?")
    assert refused("SELECT a FROM tree.s", tables=DATABASES).message == "unknown database 'tree'"


def test_an_alias_belongs_to_the_current_database() -> None:
    assert plan("SELECT one.x.a FROM two.s AS x", tables=DATABASES, database="one").schema[0].name == "a"
    assert plan("SELECT db.x.a FROM (SELECT a FROM two.s) AS x", tables=DATABASES).schema[0].name == "a"
    with_other = "SELECT two.x.a FROM two.s AS x"
    assert refused(with_other, tables=DATABASES, database="one").message == "no table or alias 'two.x' here"


# ── WITH and UNION ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_with_hides_a_table_but_not_from_its_own_body() -> None:
    query = plan("WITH t AS (SELECT id + 1 AS id FROM t) SELECT * FROM t")
    assert [column.name for column in query.schema] == ["id"]
    assert first(query.root, Source).table == "t"


def test_with_sees_earlier_names_and_outer_ones() -> None:
    sql = (
        "WITH a AS (SELECT id FROM t), b AS (SELECT id AS x FROM a) "
        "SELECT x FROM (WITH a AS (SELECT * FROM b) SELECT * FROM a)"
    )
    assert names(sql) == ["x"]
    assert refused("WITH a AS (SELECT x FROM b), b AS (SELECT 1 AS x) SELECT x FROM a").message == "unknown table 'b'"
    assert refused("WITH a AS (SELECT 1), A AS (SELECT 2) SELECT * FROM a").message == "WITH defines 'A' twice"
    assert refused("WITH a AS (SELECT nothing FROM t) SELECT id FROM t").message == "unknown column 'nothing'"


def test_union() -> None:
    query = plan("SELECT id FROM t UNION ALL SELECT id FROM u UNION ALL (SELECT id FROM t LIMIT 1) LIMIT 3")
    limit = query.root
    assert isinstance(limit, Limit)
    union = limit.input
    assert isinstance(union, Union)
    assert (limit.count, len(union.inputs), union.distinct) == (3, 3, False)
    assert first(plan("SELECT id FROM t UNION DISTINCT SELECT id FROM u").root, Union).distinct


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT id FROM t UNION SELECT id FROM u", "UNION needs the word ALL or DISTINCT"),
        (
            "SELECT id FROM t UNION ALL SELECT id FROM u UNION DISTINCT SELECT id FROM u",
            "UNION ALL together with UNION DISTINCT is not supported",
        ),
        (
            "SELECT id FROM t UNION ALL SELECT id, key FROM u",
            "a query of a UNION needs 1 column like the first one, found 2",
        ),
        (
            "SELECT id FROM t UNION ALL SELECT id FROM v",
            "a query of a UNION needs column 1 to be 'id int' like the first one, found 'id bigint'",
        ),
        (
            "SELECT id FROM t UNION ALL SELECT id AS x FROM u",
            "a query of a UNION needs column 1 to be 'id int' like the first one, found 'x int'",
        ),
        ("SELECT id FROM t EXCEPT SELECT id FROM u", "EXCEPT is not supported"),
        ("SELECT id FROM t ORDER BY id", "ORDER BY at query level is not supported"),
        ("SELECT DISTINCT id FROM t", "SELECT DISTINCT is not supported"),
        ("SELECT id FROM t, u", "a list of tables in FROM is not supported"),
        ("SELECT id FROM t LIMIT 1 OFFSET 2", "OFFSET is not supported"),
        ("SELECT id FROM t WHERE id IN (SELECT id FROM u)", "a sub-query after IN is not supported"),
        ("SELECT (SELECT 1)", "a sub-query as a value is not supported"),
        ("SELECT count(DISTINCT id) FROM t", "count(DISTINCT …) is not supported"),
        ("WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a", "WITH RECURSIVE is not supported"),
        ("SELECT *", "'*' needs a table in FROM"),
        ("SELECT abs(*) FROM t", "'*' is no argument of 'abs'"),
        ("SELECT sum(*) FROM t", "'*' is no argument of 'sum'"),
        ("SELECT count() FROM t", "'count' needs an argument"),
        ("SELECT [1, 2] AS x", "a query cannot return column 'x' of type array<int>"),
        ("SELECT split('a', ',') AS x", "a query cannot return column 'x' of type list<string>"),
    ],
)
def test_refused_queries(sql: str, message: str) -> None:
    error = refused(sql)
    assert error.message == message
    assert error.position is not None


# ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_groups() -> None:
    query = plan(
        "SELECT sum(id) + 1 AS s, t.key, count(*) AS c, SUM(id) AS again FROM t "
        "GROUP BY key HAVING count(*) > 1 LIMIT 2"
    )
    aggregate = first(query.root, Aggregate)
    assert aggregate.keys == (1,)
    assert [(call.function, call.stream, call.frame) for call in aggregate.calls] == [("sum", 0, 0), ("count", 0, 0)]
    assert [column.type for column in query.schema] == [INT, STRING, BIGINT, INT]
    assert isinstance(first(query.root, Filter).input, Aggregate)


def test_aggregates_without_a_window_give_one_row() -> None:
    aggregate = first(plan("SELECT count(*), max(id) FROM t WHERE id > 1").root, Aggregate)
    assert aggregate.keys == ()
    assert isinstance(aggregate.input, Filter)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT id, count(*) FROM t GROUP BY key",
            "column 'id' stands neither in GROUP BY nor in an aggregate function",
        ),
        ("SELECT * FROM v GROUP BY id", "column 'name' stands neither in GROUP BY nor in an aggregate function"),
        ("SELECT id, count(*) FROM t", "column 'id' stands neither in GROUP BY nor in an aggregate function"),
        ("SELECT count(*) FROM t GROUP BY nothing", "unknown column 'nothing'"),
        ("SELECT count(*) FROM t GROUP BY id + 1", "expected the end of the statement, found '+'"),
    ],
)
def test_refused_groups(sql: str, message: str) -> None:
    assert refused(sql).message == message


# ── parameters, CONFIG, request mode ────────────────────────────────────────────────────────────────────────────────


def test_parameters_are_typed_by_the_caller() -> None:
    query = plan("SELECT id FROM t WHERE id = ? AND text = ?", parameter_types=(INT, STRING))
    assert query.parameters == (INT, STRING)
    condition = first(query.root, Filter).condition
    assert condition.arguments[1].arguments[1] == Parameter(1, STRING)
    assert (
        refused("SELECT ? + ?", parameter_types=(INT,)).message == "parameter 2 has no type: 1 parameter type is given"
    )


def test_config_gives_request_rows() -> None:
    sql = (
        "SELECT value FROM u CONFIG (execute_mode = 'request', "
        "values = [(1, 'a', 5, 1), (-2, NULL, '2020-05-22 10:43:40', 1.5)])"
    )
    assert plan(sql).request_rows == ((1, "a", 5, 1.0), (-2, None, 1590115420000, 1.5))
    assert plan("SELECT name FROM v CONFIG (values = (1, 'a', 2))").request_rows == ((1, "a", 2),)
    assert plan("SELECT name FROM v").request_rows is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("values = (1, 'a')", "a request row of 'v' has 3 values, found 2"),
        ("values = (1, 2, 3)", "column 'name' takes a constant of type string"),
        ("values = (1.5, 'a', 3)", "column 'id' takes a constant of type bigint"),
        ("valeus = (1)", "unknown CONFIG value 'valeus'"),
        ("execute_mode = 'now'", "execute_mode is 'offline', 'online' or 'request'"),
    ],
)
def test_refused_config(config: str, message: str) -> None:
    error = refused(f"SELECT name FROM v CONFIG ({config})")
    assert error.message == message
    assert error.position is not None


def test_config_stands_at_the_outermost_query_only() -> None:
    assert refused("SELECT * FROM (SELECT 1 AS a CONFIG (values = (1)))").message == "expected ')', found 'CONFIG'"


REQUEST_REFUSED = [
    ("SELECT count(*) FROM t", "an aggregate without a window is not supported in request mode"),
    ("SELECT key FROM t GROUP BY key", "GROUP BY is not supported in request mode"),
    (
        "SELECT t.id FROM t LEFT JOIN u ON t.id = u.id",
        "LEFT JOIN outside the right side of a LAST JOIN is not supported in request mode",
    ),
    ("SELECT id FROM t UNION DISTINCT SELECT id FROM u", "UNION DISTINCT is not supported in request mode"),
    ("SELECT id FROM t WHERE id = ?", "a '?' parameter is not supported in request mode"),
]


@pytest.mark.parametrize(("sql", "message"), REQUEST_REFUSED)
def test_refused_in_request_mode(sql: str, message: str) -> None:
    plan(sql, parameter_types=(INT,))
    error = refused(sql, mode="request", parameter_types=(INT,))
    assert error.message == message
    assert error.position is not None


def test_config_can_ask_for_request_mode() -> None:
    assert "request mode" in refused("SELECT count(*) FROM v CONFIG (execute_mode = 'request')").message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM t WHERE id > 1 LIMIT 1",
        "SELECT t.id FROM t LAST JOIN (SELECT u.id FROM u LEFT JOIN v ON u.id = v.id) x ON t.id = x.id",
        "SELECT id FROM t UNION ALL SELECT id FROM u",
        "SELECT t.id FROM t LAST JOIN (SELECT id FROM u UNION ALL SELECT id FROM u) x ON t.id = x.id",
    ],
)
def test_the_plan_is_the_same_in_both_modes(sql: str) -> None:
    assert plan(sql, mode="request").plan_id == plan(sql).plan_id


# ── plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plan_ids_are_stable() -> None:
    sql = (
        "SELECT id, sum(big) OVER w AS s, lag(text, 1) OVER w AS l FROM t "
        "LAST JOIN u ORDER BY u.at_time ON t.id = u.id AND t.ts >= u.at_time "
        "WINDOW w AS (PARTITION BY t.key ORDER BY ts ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)"
    ).replace("SELECT id", "SELECT t.id")
    one = plan(sql)
    assert Plan.from_json(one.to_json()) == one
    assert one.plan_id == Plan.from_json(one.to_json()).plan_id == plan(sql.lower()).plan_id
    assert one.plan_id != plan(sql, time_zone="UTC").plan_id


def test_syntax_can_be_planned_again() -> None:
    query = parse_query("SELECT id FROM t;")
    assert query.text == "SELECT id FROM t"
    tables = Catalog.from_columns({"t": {"id": "int"}})
    assert plan_query(query, tables) == plan_query(query, tables) == plan_query(query.text, tables)


def test_constants_do_not_depend_on_their_spelling() -> None:
    assert plan("SELECT 0x10 AS x").root == plan("SELECT 16 AS x").root
    literal = first(plan("SELECT 16 AS x").root, Project).expressions[0]
    assert literal == Literal(16, INT)


def test_session_options() -> None:
    assert plan("SELECT 1", time_zone="Asia/Shanghai").time_zone == "Asia/Shanghai"
    assert refused("SELECT 1", time_zone="+8").message == "unknown time zone '+8'"
    assert (
        refused("SELECT 1", null_join_keys="sometimes").message
        == "null_join_keys is 'match' or 'never', not 'sometimes'"
    )


def test_deep_nesting_is_a_clear_error() -> None:
    assert refused("SELECT " + "(" * 3000 + "1" + ")" * 3000).message == "the statement is nested too deeply"
    assert "nested too deeply" in refused(f"SELECT {' + '.join(['id'] * 3000)} AS x FROM t").message


def test_a_long_chain_of_conditions_is_one_call() -> None:
    condition = first(plan(f"SELECT id FROM t WHERE {' AND '.join(['id = 1'] * 300)}").root, Filter).condition
    assert (condition.function, len(condition.arguments)) == ("and", 300)


def test_every_relation_below_a_union_is_found() -> None:
    assert (
        len([r for r in relations(plan("SELECT id FROM t UNION ALL SELECT id FROM u").root) if isinstance(r, Source)])
        == 2
    )
