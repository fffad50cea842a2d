"""Request mode is a virtual insert: the request row is the newest arrival, and nothing is stored."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.requirements import Requirement, Use, requirements_of, table_schemas
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.functions.user import aggregate_function
from tests.engine.queries import Row, Tables

TABLES = Tables(
    {
        "t": ("id int, k string, ts timestamp, s string", [(0, "a", 100, "x"), (1, "a", 300, "y"), (2, "b", 50, "z")]),
        "u": (
            "id int, k string, ts timestamp, s string",
            [(10, "a", 200, "p"), (11, "a", 250, "q"), (12, "a", 90, "é")],
        ),
    }
)
WINDOW = "WINDOW w AS (PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
IDS = "`join`(window_split(string(id), ','), ' ') OVER w AS ids"


def test_later_rows_are_not_seen_and_equal_times_are() -> None:
    sql = f"SELECT id, {IDS} FROM t {WINDOW}"
    assert TABLES.request(sql, (9, "a", 300, "new")) == [(9, "9 1 0")]
    assert TABLES.request(sql, (9, "a", 299, "new")) == [(9, "9 0")]
    assert TABLES.request(sql, (9, "c", 299, "new")) == [(9, "9")]


@pytest.mark.parametrize("value", ["x", "new", "", None, "w", "é", "zz"])
def test_a_value_that_was_never_stored_is_a_value_of_its_own(value: str | None) -> None:
    sql = f"""
        SELECT distinct_count(s) OVER w AS a, topn_frequency(s, 3) OVER w AS b, max(s) OVER w AS c, min(s) OVER w AS d,
            top(s, 2) OVER w AS e, count_where(s, s = at(s, 0)) OVER w AS f, first_value(s) OVER w AS g,
            count_cate(id, s) OVER w AS h, count_where(s, s > 'x') OVER w AS i
        FROM t {WINDOW}"""
    row = (9, "a", 400, value)
    inserted = Tables({"t": ("id int, k string, ts timestamp, s string", [*TABLES.rows["t"], row])})
    assert TABLES.request(sql, row) == [inserted.batch(sql)[-1]]


def test_nothing_is_stored() -> None:
    program, store = TABLES.program(TABLES.plan(f"SELECT count(*) OVER w AS c FROM t {WINDOW}", mode="request"))
    assert program.run([(9, "a", 400, "x")] * 2) == [(3,), (3,)]
    assert store.version(("", "t")) == 3


def test_every_reference_to_the_request_table_is_the_request_row() -> None:
    sql = "SELECT a.id AS one, b.id AS two FROM t AS a LAST JOIN t AS b ON a.k = b.k"
    assert TABLES.request(sql, (9, "a", 400, "x")) == [(9, 9)]


def test_sub_queries_over_the_request_row_are_joined_by_their_keys() -> None:
    sql = f"""
        SELECT * FROM (SELECT id AS a, count(*) OVER w AS c FROM t {WINDOW}) AS one
        LAST JOIN (SELECT id + 1 AS b, k FROM t) AS two ON one.a = two.b"""
    assert TABLES.request(sql, (9, "a", 400, "x")) == [(9, 3, None, None)]
    assert TABLES.request(sql.replace("id + 1", "id"), (9, "a", 400, "x")) == [(9, 3, 9, "a")]


def test_a_union_with_the_request_table_sees_the_request_row() -> None:
    window = "(UNION t PARTITION BY k ORDER BY ts ROWS BETWEEN 9 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)"
    sql = f"SELECT {IDS} FROM t WINDOW w AS {window}"
    assert TABLES.request(sql, (9, "a", 400, "x")) == [("9 9 1 0",)]


def test_unions_are_merged_with_the_stored_rows() -> None:
    window = "(UNION u PARTITION BY k ORDER BY ts ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)"
    assert TABLES.request(f"SELECT {IDS} FROM t WINDOW w AS {window}", (9, "a", 250, "x")) == [("9 11 10 0 12",)]
    sql = f"SELECT count(*) OVER w AS c, max(s) OVER w AS m FROM t WINDOW w AS {window[:-1]} INSTANCE_NOT_IN_WINDOW)"
    assert TABLES.request(sql, (9, "a", 249, "a")) == [(3, "é")]


def test_windows_on_the_right_of_a_join_run_over_stored_rows() -> None:
    sql = f"""
        SELECT t.id, r.c FROM t LAST JOIN (SELECT k, ts, count(*) OVER w AS c FROM u {WINDOW}) AS r
        ORDER BY r.ts ON t.k = r.k AND r.ts <= t.ts"""
    assert TABLES.request(sql, (9, "a", 240, "x")) == [(9, 2)]


def test_a_row_that_is_filtered_has_no_answer() -> None:
    sql = "SELECT id FROM t WHERE id > 5"
    program, _ = TABLES.program(TABLES.plan(sql, mode="request"))
    assert program.run([(9, "a", 1, "x"), (3, "a", 1, "x"), (8, "a", 1, "x")]) == [(9,), (8,)]
    assert TABLES.request("SELECT id FROM t LIMIT 0", (9, "a", 1, "x")) == []


def test_a_request_row_has_the_columns_of_its_table() -> None:
    with pytest.raises(DataRuleError, match="4 values, not 2"):
        TABLES.request("SELECT id FROM t", (9, "a"))


def test_late_rows_are_stored_in_their_place() -> None:
    sql = f"SELECT {IDS} FROM t {WINDOW}"
    plan = TABLES.plan(sql, mode="request")
    program, store = TABLES.program(plan)
    for row in [(3, "a", 200, "l"), (4, "a", 100, "l"), (5, "a", 400, "l")]:
        store.insert(("", "t"), row)
    assert program.run([(9, "a", 350, "x")]) == [("9 1 3 4 0",)]


def test_rows_inserted_one_by_one_and_loaded_at_once_are_the_same() -> None:
    sql = f"SELECT {IDS}, topn_frequency(s, 3) OVER w AS f FROM t {WINDOW}"
    plan = TABLES.plan(sql, mode="request")
    loaded, _ = TABLES.program(plan)
    one_by_one, store = TABLES.program(plan, load=False)
    for row in TABLES.rows["t"]:
        store.insert(("", "t"), row)
    request: Row = (9, "a", 350, "é")
    assert loaded.run([request]) == one_by_one.run([request])


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(DataRuleError, match="no such table"):
        MemoryHistory({}).insert(("", "nothing"), ())


def needs(sql: str) -> tuple[Requirement, ...]:
    """What a query needs to have stored."""
    return requirements_of(TABLES.plan(sql, mode="request"))


def test_requirements_of_windows() -> None:
    sql = "SELECT count(*) OVER (PARTITION BY k ORDER BY ts {}) AS c FROM t"
    rows = needs(sql.format("ROWS BETWEEN 5 PRECEDING AND CURRENT ROW"))
    assert rows == (Requirement(("", "t"), Use.HISTORY, ("k",), "ts", rows=5),)
    time = needs(sql.format("ROWS_RANGE BETWEEN 5s PRECEDING AND CURRENT ROW"))
    assert time == (Requirement(("", "t"), Use.HISTORY, ("k",), "ts", time=5000),)
    everything = needs(sql.format("ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"))
    assert everything == (Requirement(("", "t"), Use.HISTORY, ("k",), "ts"),)


def test_requirements_of_joins() -> None:
    assert needs("SELECT t.id, u.s FROM t LAST JOIN u ORDER BY u.ts ON t.k = u.k") == (
        Requirement(("", "u"), Use.LAST, ("k",), "ts", rows=1),
    )
    assert needs("SELECT t.id, u.s FROM t LAST JOIN u ON t.ts > u.ts") == (Requirement(("", "u"), Use.FULL),)


def test_a_plan_knows_its_tables() -> None:
    plan = TABLES.plan("SELECT t.id, u.s FROM t LAST JOIN u ON t.k = u.k", mode="request")
    assert set(table_schemas(plan.root)) == {("", "t"), ("", "u")}


def test_floats_have_32_bits_however_they_are_written() -> None:
    tables = Tables({"t": ("k int, ts timestamp, f float", [(1, 5, 0.1)])})
    sql = "SELECT f, max(f) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM t"
    assert tables.request(sql, (1, 6, 0.0288)) == [(0.02879999950528145, 0.10000000149011612)]


def test_aggregates_of_users_get_values_newest_first() -> None:
    @aggregate_function("int", returns="string", name="engine_spelled")
    def spelled(values: list[int | None]) -> str:
        """The values, one after the other."""
        return "-".join(str(value) for value in values)

    sql = f"SELECT engine_spelled(id) OVER w AS a FROM t {WINDOW}"
    assert TABLES.request(sql, (9, "a", 400, "x")) == [("9-1-0",)]
    assert TABLES.batch(sql) == [("0",), ("1-0",), ("2",)]
