"""LAST JOIN and LEFT JOIN: keys, conditions, orders and the warning about time."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.catalog import IndexDefinition
from airflow_provider_mlfeat.sql.explain import describe
from airflow_provider_mlfeat.sql.plan import ColumnReference, Filter, Join, Project, Union
from airflow_provider_mlfeat.sql.types import BIGINT, INT
from tests.sql.planning import catalog, first, plan, refused, relations


def join(text: str, **options: object) -> Join:
    """The topmost join of ``FROM t <text>``."""
    found = first(plan(f"SELECT t.id FROM t {text}", **options).root, Join)
    assert isinstance(found, Join)
    return found


def order_name(found: Join) -> str:
    """The name of the right side's order column."""
    assert found.order is not None
    return found.right.schema[found.order].name


def condition(found: Join) -> str | None:
    """The text of what is left of ON."""
    schema = (*found.left.schema, *found.right.schema)
    return describe(found.condition, schema) if found.condition is not None else None


def test_equality_terms_are_keys_and_the_rest_is_a_condition() -> None:
    found = join(
        "LAST JOIN u ON t.key = u.key AND (u.id = t.id + 1 AND t.ts >= u.at_time) AND u.value > 1.0 AND t.id = 3"
    )
    assert found.left_keys[0] == ColumnReference(1, found.left.schema[1].type)
    assert describe(found.left_keys[1], found.left.schema) == "(id + 1)"
    assert [describe(key, found.right.schema) for key in found.right_keys] == ["key", "id"]
    assert condition(found) == "((ts >= at_time) AND (value > 1.0) AND (id = 3))"
    assert (found.how, found.order, found.descending) == ("last", None, False)


def test_an_equality_under_or_is_no_key() -> None:
    found = join("LAST JOIN u ON t.key = u.key OR t.id = u.id")
    assert found.left_keys == ()
    assert condition(found) == "((key = key) OR (id = id))"


def test_an_equality_of_columns_of_one_side_is_no_key() -> None:
    found = join("LAST JOIN u ON u.id = u.value AND t.id = t.big AND u.key = 'x'")
    assert found.left_keys == ()


def test_keys_of_different_types_get_casts() -> None:
    found = join("LAST JOIN v ON t.id = v.id AND t.key = v.step")
    assert found.left_keys[0].type == found.right_keys[0].type == BIGINT
    assert describe(found.right_keys[1], found.right.schema) == "cast(step as string)"
    assert refused("SELECT t.id FROM t LAST JOIN u ON t.ts = u.id").position is not None


def test_explicit_order() -> None:
    found = join("LAST JOIN u ORDER BY u.at_time DESC ON t.id = u.id")
    assert (found.order, found.descending) == (2, True)
    assert join("LAST JOIN u AS x ORDER BY at_time ON t.id = x.id").order == 2


@pytest.mark.parametrize("column", ["u.value", "u.key"])
def test_order_types(column: str) -> None:
    error = refused(f"SELECT t.id FROM t LAST JOIN u ORDER BY {column} ON t.id = u.id")
    assert error.message.startswith("cannot order a LAST JOIN by")


def test_the_order_column_is_of_the_right_side() -> None:
    assert (
        refused("SELECT t.id FROM t LAST JOIN u ORDER BY t.ts ON t.id = u.id").message == "no table or alias 't' here"
    )


def test_left_join() -> None:
    found = join("LEFT OUTER JOIN u ON t.id = u.id AND u.value > 1")
    assert (found.how, found.order) == ("left", None)


def test_chained_joins_may_use_earlier_tables() -> None:
    found = join("LAST JOIN u ON t.id = u.id LAST JOIN v ON u.id = v.id")
    assert isinstance(found.left, Join)
    assert describe(found.left_keys[0], found.left.schema) == "cast(id as bigint)"
    assert len(found.schema) == 10 + 4 + 3


# ── the implicit order ──────────────────────────────────────────────────────────────────────────────────────────────

INDEX = IndexDefinition("i", ("id",), "at_time")


def test_an_index_whose_keys_are_compared_orders_the_right_side() -> None:
    tables = catalog(u=INDEX)
    assert join("LAST JOIN u ON t.id = u.id", tables=tables).order == 2
    assert join("LAST JOIN u ON t.big = u.id", tables=tables).order == 2, "a cast of the key does not matter"
    assert join("LAST JOIN u ON t.key = u.key", tables=tables).order is None
    assert join("LAST JOIN u ON t.id < u.id", tables=tables).order is None
    assert join("LEFT JOIN u ON t.id = u.id", tables=tables).order is None
    assert join("LAST JOIN u ON t.id = u.id", tables=catalog(u=IndexDefinition("i", ("id",)))).order is None
    two = catalog(u=IndexDefinition("i", ("id", "key"), "at_time"))
    assert join("LAST JOIN u ON t.id = u.id", tables=two).order is None
    assert join("LAST JOIN u ON t.id = u.id AND t.key = u.key", tables=two).order == 2


def test_the_implicit_order_passes_through_projection_and_where() -> None:
    right = "(SELECT at_time AS time, id AS number FROM u WHERE value > 1) AS x"
    found = join(f"LAST JOIN {right} ON t.id = x.number", tables=catalog(u=INDEX))
    assert found.order == 0
    assert len(found.right.schema) == 2


def test_a_hidden_column_orders_when_the_time_is_not_shown() -> None:
    query = plan("SELECT * FROM t LAST JOIN (SELECT id FROM u) AS x ON t.id = x.id", tables=catalog(u=INDEX))
    found = first(query.root, Join)
    assert order_name(found) == "at_time"
    assert [column.name for column in query.schema][-1] == "id"
    assert len(query.schema) == 11
    nested = "(SELECT id FROM (SELECT id, value FROM u WHERE value > 1)) AS x"
    found = join(f"LAST JOIN {nested} ON t.id = x.id", tables=catalog(u=INDEX))
    assert order_name(found) == "at_time"
    assert isinstance(first(found.right, Filter), Filter)


def test_the_implicit_order_passes_through_union_all() -> None:
    both = catalog(u=INDEX, v=IndexDefinition("j", ("id",), "step"))
    union = "(SELECT id, key FROM u UNION ALL SELECT id, key FROM u WHERE value > 1) AS x"
    found = join(f"LAST JOIN {union} ON t.id = x.id", tables=both)
    assert order_name(found) == "at_time"
    assert isinstance(first(found.right, Union), Union)
    distinct = union.replace("ALL", "DISTINCT")
    assert join(f"LAST JOIN {distinct} ON t.id = x.id", tables=both).order is None
    mixed = "(SELECT bigint(id) AS id FROM u UNION ALL SELECT id FROM v) AS x"
    assert join(f"LAST JOIN {mixed} ON t.id = x.id", tables=both).order is None


# ── the warning about time ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_join_without_a_time_condition_warns() -> None:
    query = plan("SELECT t.id FROM t\nLAST JOIN u ORDER BY u.at_time ON t.id = u.id")
    assert query.warnings == (
        "2:1: the join with 'u' has no condition on time: it may pick a row that is later than the left one; "
        "compare 'at_time' with the left row's time in ON",
    )
    quiet = plan("SELECT t.id FROM t\nLAST JOIN u ORDER BY u.at_time ON t.id = u.id AND t.ts >= u.at_time")
    assert quiet.warnings == ()
    assert query.plan_id != quiet.plan_id


@pytest.mark.parametrize(
    "text",
    [
        "LAST JOIN v ON t.id = v.id",
        "LAST JOIN u ON t.id = u.id AND t.ts = u.at_time",
        "LAST JOIN u ON t.id = u.id AND t.ts - 1000 > u.at_time",
        "LAST JOIN (SELECT id, key FROM u) x ON t.id = x.id",
        "LAST JOIN (SELECT *, id AS step FROM u) x ORDER BY x.step ON t.id = x.id AND t.big >= x.step",
        "LAST JOIN (SELECT id, ts FROM t) x ON t.id = x.id",
    ],
)
def test_joins_that_need_no_warning(text: str) -> None:
    assert plan(f"SELECT t.id FROM t {text}").warnings == ()


def test_a_comparison_of_something_else_is_no_condition_on_time() -> None:
    assert len(plan("SELECT t.id FROM t LAST JOIN u ON t.key = u.key AND t.id >= u.id").warnings) == 1


def test_warnings_are_no_part_of_a_plans_identity() -> None:
    one = plan("SELECT t.id FROM t LAST JOIN u ON t.id = u.id")
    other = plan("SELECT t.id FROM t\n\nLAST JOIN u ON t.id = u.id")
    assert one.warnings != other.warnings
    assert (one, one.plan_id) == (other, other.plan_id)


def test_null_keys_are_an_option_of_the_plan() -> None:
    sql = "SELECT t.id FROM t LAST JOIN u ON t.id = u.id"
    assert plan(sql).null_join_keys == "match"
    assert plan(sql, null_join_keys="never").plan_id != plan(sql).plan_id


def test_a_joined_row_is_left_columns_then_right_columns() -> None:
    query = plan("SELECT * FROM v LAST JOIN v AS w ON v.id = w.id")
    assert not any(isinstance(relation, Project) for relation in relations(query.root))
    assert [column.name for column in query.schema] == ["id", "name", "step"] * 2
    assert query.schema[0].type != INT


@pytest.mark.parametrize("word", ["RIGHT JOIN", "INNER JOIN", "CROSS JOIN", "FULL JOIN", "JOIN", "NATURAL JOIN"])
def test_other_joins_are_refused_by_name(word: str) -> None:
    error = refused(f"SELECT t.id FROM t {word} u ON t.id = u.id")
    assert error.message == f"{word} is not supported"
    assert error.position is not None
    assert error.position.column == 20
