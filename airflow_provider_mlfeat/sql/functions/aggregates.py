"""Functions of the rows of a window or group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Argument, Resolver, Signature, SignatureError
from airflow_provider_mlfeat.sql.functions.signatures import (
    ANY,
    CONDITION,
    CONSTANT_INTEGER,
    NUMBER,
    TEXT,
    Slot,
    check_count,
    constant_at_least,
    first,
    signature,
)
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    DOUBLE,
    INT,
    INTEGER_KINDS,
    NUMERIC_KINDS,
    STRING,
    STRING_LIST,
    Kind,
)

_SUMMED = Slot("a number or timestamp", (*NUMERIC_KINDS, Kind.TIMESTAMP), INT)
_ORDERED = Slot("a number, date, timestamp or string", (*NUMERIC_KINDS, Kind.DATE, Kind.TIMESTAMP, Kind.STRING), INT)
_CATEGORY = Slot(
    "a whole number, date, timestamp or string", (*INTEGER_KINDS, Kind.DATE, Kind.TIMESTAMP, Kind.STRING), STRING
)


def _of_elements(resolve: Resolver) -> Resolver:
    """The same, also over a list in place of rows: the aggregate of its elements."""

    def resolver(arguments: Sequence[Argument]) -> Signature:
        if not arguments or arguments[0].type.kind is not Kind.LIST:
            return resolve(arguments)
        elements = replace(arguments[0], type=arguments[0].type.element)
        resolved = resolve([elements, *arguments[1:]])
        if resolved.arguments[0] != elements.type:
            raise SignatureError(f"a list of {elements.type} cannot be aggregated this way")
        return Signature((arguments[0].type, *resolved.arguments[1:]), resolved.result)

    return resolver


def _counted(arguments: Sequence[Argument]) -> Signature:
    """``count(*)`` has no argument."""
    check_count(len(arguments), 0, 1)
    return Signature(tuple(ANY.accept(argument, "the argument") for argument in arguments), BIGINT)


def _counted_where(arguments: Sequence[Argument]) -> Signature:
    """``count_where(*, c)`` has the condition only."""
    check_count(len(arguments), 1, 2)
    values = tuple(ANY.accept(argument, "argument 1") for argument in arguments[:-1])
    return Signature((*values, CONDITION.accept(arguments[-1], "the condition")), BIGINT)


def _lag(arguments: Sequence[Argument]) -> Signature:
    resolved = signature(ANY, CONSTANT_INTEGER, result=first)(arguments)
    constant_at_least(arguments[1], 0, "argument 2")
    return resolved


def _edge(arguments: Sequence[Argument]) -> Signature:
    return signature(ANY, replace(CONDITION, constant=True), optional=1, result=first)(arguments)


AGGREGATES = Group("Aggregates", "")
for _name, _slot, _result, _doc in (
    ("sum", _SUMMED, first, "The sum in the type of v; whole numbers wrap."),
    ("avg", NUMBER, DOUBLE, "The mean."),
    ("min", _ORDERED, first, "The smallest value."),
    ("max", _ORDERED, first, "The largest value."),
):
    AGGREGATES.aggregate(_name, f"{_name}(v)", _of_elements(signature(_slot, result=_result)), _doc)
AGGREGATES.aggregate(
    "count",
    "count(v) or count(*)",
    _of_elements(_counted),
    "How many values, or rows, there are.",
    nulls="NULL values are not counted; count(*) counts every row",
    empty="0",
)
AGGREGATES.aggregate(
    "distinct_count",
    "distinct_count(v)",
    _of_elements(signature(ANY, result=BIGINT)),
    "How many different values there are.",
    nulls="a NULL counts as the zero value of its type",
    empty="0, or 1 of NULL values only",
)
AGGREGATES.aggregate(
    "median", "median(v)", signature(NUMBER, result=DOUBLE), "The middle value, or the mean of the two middle ones."
)
AGGREGATES.aggregate(
    "stddev_samp",
    "stddev_samp(v)",
    signature(NUMBER, result=DOUBLE),
    "The standard deviation of a sample.",
    empty="NULL, also for one value",
    aliases=("stddev", "std"),
)
AGGREGATES.aggregate(
    "var_samp",
    "var_samp(v)",
    signature(NUMBER, result=DOUBLE),
    "The variance of a sample.",
    empty="NULL, also for one value",
    aliases=("variance",),
)
AGGREGATES.aggregate(
    "stddev_pop", "stddev_pop(v)", signature(NUMBER, result=DOUBLE), "The standard deviation of all values."
)
AGGREGATES.aggregate("var_pop", "var_pop(v)", signature(NUMBER, result=DOUBLE), "The variance of all values.")
AGGREGATES.aggregate(
    "entropy", "entropy(v)", _of_elements(signature(ANY, result=DOUBLE)), "The entropy of the values in bits."
)
AGGREGATES.aggregate(
    "ew_avg",
    "ew_avg(v, alpha)",
    signature(NUMBER, NUMBER.to(DOUBLE), result=DOUBLE),
    "The mean with weights that shrink by 1 - alpha from one value to the next older one; alpha NULL or 0 is the mean.",
)
AGGREGATES.aggregate(
    "drawdown",
    "drawdown(v)",
    signature(NUMBER, result=DOUBLE),
    "The largest relative fall from a value to a newer one.",
    nulls="NULL and negative values are skipped",
)

CONDITIONAL = Group("Conditional aggregates", "")
CONDITIONAL.aggregate(
    "count_where",
    "count_where(v or *, c)",
    _counted_where,
    "count of the rows with c true.",
    nulls="NULL values are skipped; a NULL condition is false",
    empty="0",
)
for _name, _result in (("sum", first), ("avg", DOUBLE), ("min", first), ("max", first)):
    CONDITIONAL.aggregate(
        f"{_name}_where",
        f"{_name}_where(v, c)",
        signature(NUMBER, CONDITION, result=_result),
        f"{_name} of the rows with c true.",
        nulls="NULL values are skipped; a NULL condition is false",
        empty="NULL, also when nothing matches",
    )

POSITIONS = Group("Rows by position", "")
POSITIONS.aggregate(
    "at",
    "lag(x, n)",
    _lag,
    "x of the row n before the current one (0 is the current row), whatever the frame; nested in a call, of the frame.",
    nulls="a NULL is returned",
    aliases=("lag",),
    needs_window=True,
)
POSITIONS.aggregate(
    "first_value",
    "first_value(x[, ignore_null])",
    _edge,
    "x of the oldest row.",
    nulls="a NULL is returned, unless ignored",
)
POSITIONS.aggregate(
    "last_value",
    "last_value(x[, ignore_null])",
    _edge,
    "x of the newest row.",
    nulls="a NULL is returned, unless ignored",
)
POSITIONS.aggregate(
    "nth_value_where",
    "nth_value_where(v, i, c)",
    signature(ANY, CONSTANT_INTEGER, CONDITION, result=first),
    "v of the i-th row with c true, from the oldest (i > 0) or the newest (i < 0).",
    nulls="a NULL v is returned; a NULL condition is false",
)

FREQUENCY = Group("Frequent and large values", "")
FREQUENCY.aggregate(
    "top1_ratio",
    "top1_ratio(v)",
    _of_elements(signature(_ORDERED, result=DOUBLE)),
    "The share of the most frequent value.",
    empty="0.0",
)
FREQUENCY.aggregate(
    "topn_frequency",
    "topn_frequency(v, n)",
    _of_elements(signature(_ORDERED, CONSTANT_INTEGER, result=STRING)),
    "The n most frequent values, joined by commas and padded with NULL; equal counts in ascending order.",
    empty="an empty string; n times NULL of NULL values only",
)
FREQUENCY.aggregate(
    "top",
    "top(v, k)",
    _of_elements(signature(_ORDERED, CONSTANT_INTEGER, result=STRING)),
    "The k largest values, descending, joined by commas.",
    empty="an empty string",
)

CATEGORIES = Group("Aggregates by category", "")
_SKIPPED = "rows with a NULL value or key are skipped"
_MEASURES: tuple[tuple[str, Slot], ...] = (
    ("count", ANY),
    ("sum", NUMBER),
    ("avg", NUMBER),
    ("min", NUMBER),
    ("max", NUMBER),
)
for _name, _slot in _MEASURES:
    CATEGORIES.aggregate(
        f"{_name}_cate",
        f"{_name}_cate(v, key)",
        signature(_slot, _CATEGORY, result=STRING),
        f"{_name} per key as key:value pairs, keys ascending.",
        nulls=_SKIPPED,
        empty="an empty string",
    )
    CATEGORIES.aggregate(
        f"{_name}_cate_where",
        f"{_name}_cate_where(v, c, key)",
        signature(_slot, CONDITION, _CATEGORY, result=STRING),
        f"{_name}_cate of the rows with c true.",
        nulls=_SKIPPED,
        empty="an empty string",
    )
for _ranking, _words in (("key", "n largest keys"), ("value", "n largest values")):
    for _name, _slot in _MEASURES:
        CATEGORIES.aggregate(
            f"top_n_{_ranking}_{_name}_cate_where",
            f"top_n_{_ranking}_{_name}_cate_where(v, c, key, n)",
            signature(_slot, CONDITION, _CATEGORY, CONSTANT_INTEGER, result=STRING),
            f"{_name}_cate_where of the {_words}, descending; a negative n is all.",
            nulls=_SKIPPED,
            empty="an empty string",
        )
    CATEGORIES.aggregate(
        f"top_n_{_ranking}_ratio_cate",
        f"top_n_{_ranking}_ratio_cate(v, c, key, n)",
        signature(ANY, CONDITION, _CATEGORY, CONSTANT_INTEGER, result=STRING),
        f"The share of rows with c true per key, of the {_words}, descending.",
        nulls=_SKIPPED,
        empty="an empty string",
    )

LISTS = Group("Lists over rows", "")
for _name, _usage, _count, _doc in (
    ("window_split", "window_split(s, d)", 2, "The parts of each row's string, the newest row first."),
    ("window_split_by_key", "window_split_by_key(s, d, kv)", 3, "Of each part what stands before the first kv."),
    ("window_split_by_value", "window_split_by_value(s, d, kv)", 3, "Of each part what stands after the first kv."),
):
    LISTS.aggregate(
        _name,
        _usage,
        signature(*[TEXT] * _count, result=STRING_LIST),
        _doc,
        nulls="NULL rows are skipped",
        empty="an empty list",
    )
