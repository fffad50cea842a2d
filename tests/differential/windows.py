"""Random windows and the aggregates over them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.expressions import draw_expression

NUMBERS = ("int", "bigint", "float", "double")
ORDERED = (*NUMBERS, "string", "date", "timestamp")
ANY = (*ORDERED, "bool")
KEYS = ("int", "bigint", "string", "date", "timestamp")
GROUPS = {"number": NUMBERS, "ordered": ORDERED, "any": ANY, "key": KEYS}

# {number}, {ordered}, {any} and {key} stand for an expression of one of those types.
AGGREGATES = [
    "sum({number})",
    "avg({number})",
    "min({ordered})",
    "max({ordered})",
    "count({any})",
    "count(*)",
    "distinct_count({any})",
    "median({number})",
    "count_where({any}, {bool})",
    "count_where(*, {bool})",
    "sum_where({number}, {bool})",
    "avg_where({number}, {bool})",
    "min_where({number}, {bool})",
    "max_where({number}, {bool})",
    "top1_ratio({ordered})",
    "topn_frequency({ordered}, {n})",
    "top({ordered}, {n})",
    "count_cate({any}, {key})",
    "sum_cate({number}, {key})",
    "avg_cate({number}, {key})",
    "min_cate({number}, {key})",
    "max_cate({number}, {key})",
    "sum_cate_where({number}, {bool}, {key})",
    "count_cate_where({any}, {bool}, {key})",
    "top_n_key_max_cate_where({number}, {bool}, {key}, {n})",
    "top_n_key_avg_cate_where({number}, {bool}, {key}, {n})",
    "top_n_value_count_cate_where({any}, {bool}, {key}, {n})",
    "top_n_value_min_cate_where({int}, {bool}, {key}, {n})",
    "top_n_key_ratio_cate({any}, {bool}, {key}, {n})",
    "top_n_value_ratio_cate({any}, {bool}, {key}, {n})",
    "first_value({any})",
    "last_value({any}, true)",
    "nth_value_where({any}, {n}, {bool})",
    "`join`(window_split({string}, ','), '|')",
    "`join`(window_split_by_value({string}, ',', ':'), '|')",
    "distinct_count(window_split({string}, ','))",
    "topn_frequency(window_split_by_key({string}, ',', ':'), 2)",
]
# Whose last bits the language leaves open: the evaluator is compared with a tolerance.
APPROXIMATE = [
    "stddev({small_number})",
    "stddev_pop({small_number})",
    "var_samp({small_number})",
    "var_pop({small_number})",
    "entropy({any})",
    "ew_avg({small_number}, 0.3)",
]
POSITIONAL = [
    "lag({any}, {n})",
    "at({any}, 0)",
    "count_where({q}.i, {q}.i = at({q}.i, 0))",
    "CASE WHEN !isnull(at({q}.k, 0)) THEN count_where({q}.k, {q}.k = at({q}.k, 0)) ELSE NULL END",
    "sum({number}) + count(*)",
    "sum_where({q}.i, {q}.d > avg({q}.d))",
]


def draw_aggregate(draw: st.DrawFn, qualifier: str, windowed: bool = True) -> str:
    """The text of an aggregate call over columns of a table."""
    groups = [AGGREGATES, AGGREGATES, AGGREGATES, APPROXIMATE] + ([POSITIONAL] if windowed else [])
    group: list[str] = draw(st.sampled_from(groups))
    rest = draw(st.sampled_from(group))
    text = ""
    while rest:
        before, brace, rest = rest.partition("{")
        text += before
        if brace:
            name, _, rest = rest.partition("}")
            text += _argument(draw, name, qualifier)
    return text


def _argument(draw: st.DrawFn, name: str, qualifier: str) -> str:
    if name == "q":
        return qualifier
    if name == "n":
        return draw(st.sampled_from(["0", "1", "2", "3"]))
    if name == "small_number":
        return f"{qualifier}.{draw(st.sampled_from(['g', 'h', 'id']))}"
    kind = draw(st.sampled_from(GROUPS[name])) if name in GROUPS else name
    return draw_expression(draw, kind, (qualifier,), draw(st.sampled_from([0, 0, 1])))


PARTITIONS = ("k", "k", "g", "b", "k, g", "e", "h")


def draw_window(
    draw: st.DrawFn, qualifier: str, order: str, unions: list[str], partitions: tuple[str, ...] = PARTITIONS
) -> str:
    """The text between the parentheses of a window over columns of a table."""
    columns = draw(st.sampled_from(partitions)).split(", ")
    partition = ", ".join(f"{qualifier}.{column}" for column in columns)
    rows = draw(st.booleans())
    ordered = not rows or draw(st.integers(0, 9)) < 9
    parts: list[str] = []
    if draw(st.booleans()) and unions:
        sources = draw(st.lists(st.sampled_from(unions), min_size=1, max_size=2, unique=True))
        parts.append(f"UNION {', '.join(sources)}")
    parts.append(f"PARTITION BY {partition}")
    if ordered:
        parts.append(f"ORDER BY {qualifier}.{order}")
    parts.append(_rows_frame(draw) if rows else _range_frame(draw, order))
    if ordered and draw(st.integers(0, 3)) == 0:
        parts.append("EXCLUDE CURRENT_TIME")
    if draw(st.integers(0, 3)) == 0:
        parts.append("EXCLUDE CURRENT_ROW")
    if draw(st.integers(0, 3)) == 0:
        parts.append("INSTANCE_NOT_IN_WINDOW")
    return " ".join(parts)


def _rows_frame(draw: st.DrawFn) -> str:
    end = draw(st.integers(0, 2))
    start = draw(st.none() | st.integers(end, end + 3))
    begin = "UNBOUNDED PRECEDING" if start is None else f"{start} {_open(draw, start > end)}PRECEDING"
    finish = draw(st.sampled_from(["CURRENT ROW", "0 PRECEDING"])) if end == 0 else f"{end} PRECEDING"
    return f"ROWS BETWEEN {begin} AND {finish}"


def _range_frame(draw: st.DrawFn, order: str) -> str:
    # Offsets from near to far: times in units or raw milliseconds, numbers in raw units.
    spans = ["0s", "1", "1s", "2000", "1m", "64s", "1d"] if order == "ts" else ["0", "1", "4", "8"]
    near = draw(st.integers(0, len(spans) - 1))
    far = draw(st.none() | st.integers(near, len(spans) - 1))
    begin = "UNBOUNDED PRECEDING" if far is None else f"{spans[far]} {_open(draw, far > near)}PRECEDING"
    finish = "CURRENT ROW" if near == 0 else f"{spans[near]} PRECEDING"
    size = draw(st.sampled_from(["", "", " MAXSIZE 1", " MAXSIZE 2", " MAXSIZE 4"]))
    return f"ROWS_RANGE BETWEEN {begin} AND {finish}{size}"


def _open(draw: st.DrawFn, allowed: bool) -> str:
    return "OPEN " if allowed and draw(st.integers(0, 4)) == 0 else ""
