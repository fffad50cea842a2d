"""Random queries, as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.differential.expressions import draw_expression
from tests.differential.windows import draw_aggregate, draw_window

KINDS = ("int", "bigint", "float", "double", "string", "bool", "date", "timestamp")


@dataclass(frozen=True)
class Query:
    """A query and what is known about it.

    :param sql: its text.
    :param order: the column that its windows are ordered by.
    :param parity: whether a replay in time order must give the batch answer.
    :param time_zone: the session's zone.
    :param null_join_keys: whether NULL keys of joins ``match`` or ``never`` do.
    """

    sql: str
    order: str
    parity: bool = True
    time_zone: str = "+08:00"
    null_join_keys: str = "match"


def _items(draw: st.DrawFn, qualifiers: tuple[str, ...], most: int = 3) -> list[str]:
    kinds = draw(st.lists(st.sampled_from(KINDS), max_size=most))
    return [draw_expression(draw, kind, qualifiers) for kind in kinds]


def _named(items: list[str], prefix: str = "c") -> str:
    return ", ".join(f"{item} AS {prefix}{number}" for number, item in enumerate(items))


def _where(draw: st.DrawFn, qualifiers: tuple[str, ...]) -> str:
    if draw(st.integers(0, 2)):
        return ""
    return f" WHERE {draw_expression(draw, 'bool', qualifiers)}"


def _order(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["ts", "ts", "o"]))


def _union_sources(draw: st.DrawFn) -> list[str]:
    condition = draw_expression(draw, "bool", ("t1",), 1)
    return ["t1", "t2", f"(SELECT * FROM t1 WHERE {condition})"]


def _windows(draw: st.DrawFn, source: str, order: str, prefix: str = "c", with_key: bool = False) -> str:
    """A SELECT with one or two windows over a source that is known as t0."""
    names = draw(st.sampled_from([("w1",), ("w1", "w2")]))
    unions = _unions(source, _union_sources(draw))
    definitions = ", ".join(f"{name} AS ({draw_window(draw, 't0', order, unions)})" for name in names)
    count = draw(st.integers(1, 4))
    items = [f"({draw_aggregate(draw, 't0')}) OVER {draw(st.sampled_from(names))}" for _ in range(count)]
    items += _items(draw, ("t0",), 1)
    keys = "t0.id AS id, t0.k AS k, t0.ts AS ts, t0.i AS i" if with_key else "t0.id AS id"
    return f"SELECT {keys}, {_named(items, prefix)} FROM {source}{_where(draw, ('t0',))} WINDOW {definitions}"


def _unions(source: str, unions: list[str]) -> list[str]:
    """A union source needs the main input's columns, which a join widens."""
    return [] if "JOIN" in source else unions


def window_query(draw: st.DrawFn) -> Query:
    """Features of a table or a filtered sub-query."""
    order = _order(draw)
    source = "t0"
    if draw(st.integers(0, 3)) == 0:
        source = f"(SELECT * FROM t0 WHERE {draw_expression(draw, 'bool', ('t0',), 1)}) AS t0"
    return Query(_windows(draw, source, order), order)


def _right_side(draw: st.DrawFn) -> str:
    """What stands on the right of a join, known as r."""
    shape = draw(st.integers(0, 4))
    if shape == 1:
        return f"(SELECT * FROM t2{_where(draw, ('t2',))}) AS r"
    if shape == 2:
        return "(SELECT * FROM t1 UNION ALL SELECT * FROM t2) AS r"
    if shape == 3:
        window = draw_window(draw, "t1", "ts", ["t2"])
        plain = "id, k, g, ts, o, h, i, l, f, d, b, e, s"
        return f"(SELECT {plain}, sum(i) OVER w AS x FROM t1 WINDOW w AS ({window})) AS r"
    return "t1 AS r"


_KEYS = (
    "t0.k = r.k",
    "t0.g = r.g",
    "t0.i = r.l",
    "t0.e = r.e",
    "t0.k = r.k AND t0.g = r.g",
    "t0.s = r.i",
    "t0.g < r.g",
)


def _on(draw: st.DrawFn) -> str:
    keys = draw(st.sampled_from(_KEYS))
    extra = draw(st.sampled_from(["", "", "", " AND t0.ts >= r.ts", " AND r.b", " AND {bool}"]))
    return keys + extra.replace("{bool}", draw_expression(draw, "bool", ("t0", "r"), 1))


def _last_join(draw: st.DrawFn) -> str:
    order = draw(st.sampled_from(["", "", "ORDER BY r.ts ", "ORDER BY r.i ", "ORDER BY r.h DESC ", "ORDER BY r.l "]))
    return f"LAST JOIN {_right_side(draw)} {order}ON {_on(draw)}"


def join_query(draw: st.DrawFn) -> Query:
    """Look-ups in another table."""
    join = _last_join(draw)
    items = [*_items(draw, ("t0", "r")), "r.x" if " OVER " in join else "r.s"]
    source = f"t0 {join}{_where(draw, ('t0', 'r'))}"
    return Query(f"SELECT t0.id AS id, r.id AS rid, {_named(items)} FROM {source}", _order(draw))


def joined_windows_query(draw: st.DrawFn) -> Query:
    """Windows over a joined input."""
    return Query(_windows(draw, f"t0 {_last_join(draw)}", "ts"), "ts")


def wide_query(draw: st.DrawFn) -> Query:
    """Several feature sets of one table, put together on its row number."""
    order = _order(draw)
    first = _windows(draw, "t0", order, "a")
    second = _windows(draw, "t0", order, "b")
    return Query(f"SELECT * FROM ({first}) AS x LAST JOIN ({second}) AS y ON x.id = y.id", order)


def nested_query(draw: st.DrawFn) -> Query:
    """Windows over the features of other windows."""
    inner = _windows(draw, "t0", "ts", with_key=True)
    window = draw_window(draw, "q", "ts", [], ("k",))
    items = "count(c0) OVER w AS x, sum(i) OVER w AS y"
    return Query(f"SELECT *, {items} FROM ({inner}) AS q WINDOW w AS ({window})", "ts")


def scalar_query(draw: st.DrawFn) -> Query:
    """Expressions of one row."""
    items = [*_items(draw, ("t0",), 4), draw_expression(draw, "string", ("t0",), 3)]
    return Query(f"SELECT t0.id AS id, {_named(items)} FROM t0{_where(draw, ('t0',))}", "ts")


def group_query(draw: st.DrawFn) -> Query:
    """Groups, which exist in batch only."""
    keys = draw(st.sampled_from(["", "k", "g", "k, g", "e", "b"]))
    calls = [draw_aggregate(draw, "t0", windowed=False) for _ in range(draw(st.integers(1, 3)))]
    select = _named(calls)
    sql = f"SELECT {keys + ', ' if keys else ''}{select} FROM t0{_where(draw, ('t0',))}"
    if keys:
        sql += f" GROUP BY {keys}"
        sql += draw(st.sampled_from(["", "", " HAVING count(*) > 1", " HAVING sum(i) > 0 OR max(k) = 'a'"]))
    return Query(sql + _limit(draw), "ts", parity=False)


def union_query(draw: st.DrawFn) -> Query:
    """Bags put together, which exists in batch only."""
    word = draw(st.sampled_from(["ALL", "DISTINCT"]))
    columns = draw(st.sampled_from(["k, g", "f", "d, b", "e", "*", "s, ts"]))
    parts = [f"SELECT {columns} FROM {table}{_where(draw, (table,))}" for table in ("t0", "t1")]
    return Query(f" UNION {word} ".join(parts), "ts", parity=False)


def limit_query(draw: st.DrawFn) -> Query:
    """The newest arrivals."""
    return Query(f"SELECT id, k FROM t0{_where(draw, ('t0',))}{_limit(draw)}", "ts", parity=False)


def _limit(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["", "", " LIMIT 0", " LIMIT 1", " LIMIT 3"]))


_SHAPES: list[Callable[[st.DrawFn], Query]] = [
    *[window_query] * 4,
    *[join_query] * 2,
    joined_windows_query,
    *[wide_query] * 2,
    nested_query,
    scalar_query,
    group_query,
    union_query,
    limit_query,
]


# The default, its opposite, and zones with summer time.
_ZONES = ("+08:00", "+08:00", "-03:30", "UTC", "America/New_York", "Asia/Shanghai")


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """A query of any shape, in any session."""
    query = draw(st.sampled_from(_SHAPES))(draw)
    zone = draw(st.sampled_from(_ZONES))
    return replace(query, time_zone=zone, null_join_keys=draw(st.sampled_from(["match", "match", "never"])))
