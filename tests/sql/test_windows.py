"""Windows: frames, streams, features, and what a window refuses."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.plan import (
    Call,
    ColumnReference,
    Feature,
    Frame,
    FrameCall,
    Literal,
    Project,
    Source,
    Windows,
)
from airflow_provider_mlfeat.sql.types import BIGINT, INT, STRING
from tests.sql.planning import first, plan, refused

DAY = 86_400_000


def windows(items: str, definitions: str) -> Windows:
    """The Windows relation of a query with a WINDOW clause."""
    found = first(plan(f"SELECT {items} FROM t WINDOW {definitions}").root, Windows)
    assert isinstance(found, Windows)
    return found


def frame(text: str, order: str = "ts") -> Frame:
    """The frame of a window that is ordered by time."""
    return windows("sum(id) OVER w", f"w AS (PARTITION BY key ORDER BY {order} {text})").streams[0].frames[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ROWS BETWEEN 10 PRECEDING AND CURRENT ROW", Frame("rows", 10, 0)),
        ("ROWS BETWEEN 10 PRECEDING AND 0 PRECEDING", Frame("rows", 10, 0)),
        ("ROWS BETWEEN 10 PRECEDING AND 2 PRECEDING", Frame("rows", 10, 2)),
        ("ROWS BETWEEN 10 OPEN PRECEDING AND 2 OPEN PRECEDING", Frame("rows", 9, 3)),
        ("ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", Frame("rows", None, 0)),
        ("ROWS BETWEEN CURRENT ROW AND CURRENT ROW", Frame("rows", 0, 0)),
        ("ROWS BETWEEN 3 PRECEDING AND -1 PRECEDING", Frame("rows", 3, 0)),
        ("ROWS_RANGE BETWEEN 14d PRECEDING AND 0s PRECEDING MAXSIZE 200", Frame("range", 14 * DAY, 0, 200)),
        ("ROWS_RANGE BETWEEN 2h PRECEDING AND 5m PRECEDING", Frame("range", 7_200_000, 300_000)),
        ("ROWS_RANGE BETWEEN 3 PRECEDING AND 1s PRECEDING".replace("1s", "1"), Frame("range", 3, 1)),
        ("ROWS_RANGE BETWEEN 1s OPEN PRECEDING AND 0s OPEN PRECEDING", Frame("range", 999, 1)),
        ("ROWS_RANGE BETWEEN 3000 PRECEDING AND -2s PRECEDING", Frame("range", 3000, 0)),
        ("ROWS_RANGE BETWEEN 9999999999999d PRECEDING AND 1S PRECEDING", Frame("range", None, 1000)),
        ("ROWS BETWEEN 99999999999999999999 PRECEDING AND CURRENT ROW", Frame("rows", None, 0)),
        (
            "ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW MAXSIZE 3 EXCLUDE CURRENT_ROW EXCLUDE CURRENT_TIME",
            Frame("range", DAY, 0, 3, True, True),
        ),
    ],
)
def test_frames(text: str, expected: Frame) -> None:
    assert frame(text) == expected


def test_a_frame_that_open_makes_empty_is_no_error() -> None:
    assert frame("ROWS BETWEEN 1 OPEN PRECEDING AND 1 PRECEDING") == Frame("rows", 0, 1)


def test_streams_are_shared_when_only_frames_differ() -> None:
    found = windows(
        "sum(id) OVER a, sum(id) OVER b, sum(id) OVER c, sum(id) OVER d, sum(id) OVER e",
        "a AS (PARTITION BY key ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),"
        "b AS (PARTITION BY key ORDER BY ts ROWS_RANGE BETWEEN 1s PRECEDING AND CURRENT ROW),"
        "c AS (PARTITION BY key ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW),"
        "d AS (UNION t PARTITION BY key ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),"
        "e AS (PARTITION BY key, id ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    )
    assert [len(stream.frames) for stream in found.streams] == [2, 1, 1, 1]
    assert [(f.stream, f.frame) for f in found.features] == [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0)]
    assert [stream.partition for stream in found.streams] == [(1,), (1,), (1,), (1, 0)]
    assert isinstance(found.streams[2].unions[0], Source)


def test_equal_features_are_computed_once_and_unused_windows_not_at_all() -> None:
    found = windows(
        "sum(id) OVER a, SUM(t.id) OVER b AS again, id",
        "a AS (PARTITION BY key ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),"
        "b AS (PARTITION BY `key` ORDER BY t.ts ROWS BETWEEN 1 PRECEDING AND 0 PRECEDING),"
        "c AS (PARTITION BY id ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    )
    assert found.features == (Feature(0, 0, "sum", (ColumnReference(0, INT),), INT),)
    assert len(found.streams) == 1


RANGE = "ROWS_RANGE BETWEEN 2s PRECEDING AND 1s PRECEDING MAXSIZE 9 EXCLUDE CURRENT_TIME"
W = f"w AS (PARTITION BY key ORDER BY ts {RANGE})"


@pytest.mark.parametrize("name", ["lag", "at", "LAG"])
def test_lag_as_a_whole_item_counts_back_from_the_current_row(name: str) -> None:
    found = windows(f"{name}(text, 2) OVER w AS x, last_value(text) OVER w", W)
    assert found.streams[0].frames[0] == Frame("rows", 2, 0, exclude_current_time=True)
    assert found.streams[0].frames[1] == Frame("range", 2000, 1000, 9, exclude_current_time=True)
    feature = found.features[0]
    assert (feature.function, feature.arguments[0]) == ("at", ColumnReference(9, STRING))
    assert isinstance(feature.arguments[1], Literal)
    assert feature.arguments[1].value == 2


def test_lag_inside_another_call_looks_into_the_frame() -> None:
    found = windows("identity(lag(text, 2)) OVER w, isnull(at(text, 0)) OVER w", W)
    assert found.streams[0].frames == (Frame("range", 2000, 1000, 9, exclude_current_time=True),)
    assert [feature.function for feature in found.features] == ["at", "at"]


def test_an_aggregate_in_an_argument_is_evaluated_over_the_frame() -> None:
    found = windows("count_where(text, text = at(text, 0)) OVER w", W)
    condition = found.features[0].arguments[1]
    assert isinstance(condition, Call)
    assert isinstance(condition.arguments[1], FrameCall)
    assert condition.arguments[1].function == "at"


def test_an_aggregate_of_a_list_takes_a_list_over_the_frame() -> None:
    feature = windows("distinct_count(window_split(text, ',')) OVER w", W).features[0]
    assert isinstance(feature.arguments[0], FrameCall)
    assert (feature.arguments[0].function, str(feature.arguments[0].type)) == ("window_split", "list<string>")


def test_over_covers_the_aggregates_of_an_expression_and_no_columns() -> None:
    query = plan(f"SELECT if_null(sum(id), 0) OVER w + id AS x FROM t WINDOW {W}")
    project = query.root
    assert isinstance(project, Project)
    assert isinstance(project.input, Windows)
    assert len(project.input.features) == 1
    feature_column = ColumnReference(len(project.input.input.schema), INT)
    addition = project.expressions[0]
    assert isinstance(addition, Call)
    assert isinstance(addition.arguments[0], Call)
    assert addition.arguments[0].arguments[0] == feature_column
    assert addition.arguments[1] == ColumnReference(0, INT)


def test_stars_spread_the_input_only() -> None:
    query = plan(f"SELECT sum(id) OVER w AS s, *, count(*) OVER w AS c FROM t WINDOW {W}")
    assert [column.name for column in query.schema][:3] == ["s", "id", "key"]
    assert len(query.schema) == 12
    assert query.schema[-1].type == BIGINT


def test_count_of_star_has_no_argument() -> None:
    found = windows("count(*) OVER w, count_where(*, flag) OVER w", W)
    assert [len(feature.arguments) for feature in found.features] == [0, 1]


def test_the_same_window_may_be_named_twice_in_an_item() -> None:
    sql = f"SELECT sum(id) OVER w + count(CASE WHEN id > max(id) OVER w THEN 1 END) OVER w AS x FROM t WINDOW {W}"
    assert len(first(plan(sql).root, Windows).features) == 2


def test_without_order_rows_are_in_order_of_arrival() -> None:
    for text in ("ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", "ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"):
        assert windows("sum(id) OVER w", f"w AS (PARTITION BY key {text})").streams[0].order is None


def test_a_sub_query_without_alias_shows_its_qualifiers() -> None:
    sql = (
        "SELECT id, sum(id) OVER w AS s FROM (SELECT * FROM t) WINDOW w AS (UNION (SELECT * FROM t) "
        "PARTITION BY t.key ORDER BY t.ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
    )
    assert first(plan(sql).root, Windows).streams[0].partition == (1,)


ROWS = "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW"
REFUSED = [
    (f"ORDER BY ts {ROWS}", "a window needs PARTITION BY"),
    ("PARTITION BY key ORDER BY ts", "a window needs a frame: ROWS BETWEEN … AND … or ROWS_RANGE BETWEEN … AND …"),
    ("PARTITION BY key ORDER BY ts RANGE BETWEEN 1 PRECEDING AND CURRENT ROW", "a RANGE frame is not supported"),
    ("PARTITION BY key ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "FOLLOWING is not supported"),
    (
        "PARTITION BY key ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 2 PRECEDING",
        "a frame cannot start nearer to the current row than it ends",
    ),
    (
        "PARTITION BY key ORDER BY ts ROWS BETWEEN 1 PRECEDING AND UNBOUNDED PRECEDING",
        "a frame cannot end at UNBOUNDED PRECEDING",
    ),
    (
        "PARTITION BY key ORDER BY ts ROWS BETWEEN 1s PRECEDING AND CURRENT ROW",
        "a ROWS frame counts rows and takes no time unit",
    ),
    (f"PARTITION BY key ORDER BY ts {ROWS} MAXSIZE 3", "MAXSIZE stands in ROWS_RANGE frames only"),
    (
        "PARTITION BY key ORDER BY ts ROWS_RANGE BETWEEN 1s PRECEDING AND CURRENT ROW MAXSIZE 0",
        "MAXSIZE must be at least 1",
    ),
    (
        "PARTITION BY key ORDER BY ts ROWS_RANGE BETWEEN 1s PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW MAXSIZE 2",
        "MAXSIZE must directly follow the frame",
    ),
    (f"PARTITION BY key ORDER BY ts DESC {ROWS}", "DESC in a window is not supported"),
    (f"PARTITION BY key ORDER BY ts, id {ROWS}", "a window's ORDER BY with several columns is not supported"),
    (f"PARTITION BY upper(key) ORDER BY ts {ROWS}", "an expression here is not supported"),
    (f"PARTITION BY number ORDER BY ts {ROWS}", "cannot partition by 'number' of type double"),
    (f"PARTITION BY key ORDER BY number {ROWS}", "cannot order a window by 'number' of type double"),
    (f"PARTITION BY key ORDER BY day {ROWS}", "cannot order a window by 'day' of type date"),
    (
        "PARTITION BY key ROWS_RANGE BETWEEN 1s PRECEDING AND CURRENT ROW",
        "a window without ORDER BY takes ROWS, or ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    ),
    (f"PARTITION BY key {ROWS} EXCLUDE CURRENT_TIME", "a window with EXCLUDE CURRENT_TIME needs ORDER BY"),
    (
        f"UNION u PARTITION BY key ORDER BY ts {ROWS}",
        "a window's UNION source needs 10 columns like the main input, found 4",
    ),
    (
        f"UNION (SELECT key, * FROM u) PARTITION BY key ORDER BY ts {ROWS}",
        "a window's UNION source needs 10 columns like the main input, found 5",
    ),
    (
        f"PARTITION BY key ORDER BY ts {ROWS} EXCLUDE CURRENT_ROW EXCLUDE CURRENT_ROW",
        "EXCLUDE CURRENT_ROW stands here twice",
    ),
]


@pytest.mark.parametrize(("definition", "message"), REFUSED)
@pytest.mark.parametrize("form", ["named", "inline"])
def test_refused_definitions(definition: str, message: str, form: str) -> None:
    named = f"SELECT sum(id) OVER w FROM t WINDOW w AS ({definition})"
    error = refused(named if form == "named" else f"SELECT sum(id) OVER ({definition}) FROM t")
    assert error.message == message
    assert error.position is not None


def test_union_columns_need_the_same_names_and_types() -> None:
    select = "SELECT id, key, ts FROM t"
    for other, message in (
        ("SELECT id, key, at_time FROM u", "found 'at_time timestamp'"),
        ("SELECT big AS id, key, ts FROM t", "found 'id bigint'"),
    ):
        error = refused(f"SELECT sum(id) OVER (UNION ({other}) PARTITION BY key ORDER BY ts {ROWS}) FROM ({select})")
        assert message in error.message


def test_two_different_windows_in_one_item() -> None:
    definitions = f"a AS (PARTITION BY key ORDER BY ts {ROWS}), b AS (PARTITION BY id ORDER BY ts {ROWS})"
    for item in ("sum(id) OVER a + sum(id) OVER b", "sum(nvl(max(id) OVER b, 0)) OVER a", "abs(sum(id) OVER a) OVER b"):
        assert (
            refused(f"SELECT {item} FROM t WINDOW {definitions}").message
            == "one SELECT item cannot use two different windows"
        )


def test_names_of_windows() -> None:
    definitions = f"window1 AS (PARTITION BY key ORDER BY ts {ROWS})"
    error = refused(f"SELECT sum(id) OVER window2 FROM t WINDOW {definitions}")
    assert (error.message, error.suggestion) == ("unknown window 'window2'", "Did you mean 'window1'?")
    assert plan(f"SELECT sum(id) OVER WINDOW1 FROM t WINDOW {definitions}").schema[0].type == INT
    twice = refused(f"SELECT sum(id) OVER window1 FROM t WINDOW {definitions}, {definitions}")
    assert twice.message == "window 'window1' is defined twice"


def test_columns_of_a_window_come_from_the_first_table() -> None:
    join = "FROM t LAST JOIN u ORDER BY u.at_time ON t.id = u.id AND t.ts >= u.at_time"
    plan(f"SELECT sum(u.value) OVER w AS x {join} WINDOW w AS (PARTITION BY t.key ORDER BY ts {ROWS})")
    error = refused(f"SELECT sum(t.id) OVER w {join} WINDOW w AS (PARTITION BY u.key ORDER BY ts {ROWS})")
    assert error.message == "PARTITION BY column 'key' belongs to a joined table"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT id FROM t WHERE sum(id) > 1", "aggregate function 'sum' cannot stand in WHERE"),
        (f"SELECT id FROM t WHERE sum(id) OVER (PARTITION BY key {ROWS}) > 1", "OVER cannot stand in WHERE"),
        ("SELECT id FROM t LAST JOIN u ON max(t.id) = u.id", "aggregate function 'max' cannot stand in ON"),
        (
            f"SELECT sum(id) OVER w, max(id) FROM t WINDOW w AS (PARTITION BY key {ROWS})",
            "windows cannot stand together with aggregates without a window",
        ),
        (f"SELECT max(id) FROM t GROUP BY id WINDOW w AS (PARTITION BY key {ROWS})", None),
        ("SELECT lag(id, 1) FROM t", "'lag' needs a window"),
        ("SELECT sum(id) OVER FROM t", "expected a window's name or '(' after OVER, found 'FROM'"),
    ],
)
def test_aggregates_in_the_wrong_place(sql: str, message: str | None) -> None:
    error = refused(sql)
    assert error.position is not None
    if message is not None:
        assert error.message.startswith(message.removesuffix(" is not supported"))
