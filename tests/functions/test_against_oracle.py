"""Every scalar function, over every combination of argument types it takes, against the slow evaluator."""

from __future__ import annotations

import datetime
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, compile_expression
from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.registry import Argument, SignatureError
from airflow_provider_mlfeat.sql.plan import Call, ColumnReference
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    STRING_LIST,
    TIMESTAMP,
    TYPE_NAMES,
    DataType,
    array_of,
    map_of,
)
from tests.functions.calls import call
from tests.oracle.expressions import Session
from tests.oracle.expressions import evaluate as evaluate_slowly
from tests.oracle.scalars import known_functions

TEXTS = (
    *("", "a", "b", "Ab", "aab", "é", "\U0001f600", "a b", "ä%", "%", "a%", "_", "a_", "\\", "a\\%", "\\%", "%\\"),
    *("1", "-5", " 12", "12 ", "+7", "0x1F", "1.5", "1e3", ".5", "nan", "-inf", "0x1p3", "99999999999999999999"),
    *("true", "No", "y", "32768", "2020-05-20", "2020-02-30", "2020-05-20 10:43:40", "20200520", "1899-12-31"),
    *("1900-01-01", "2020-5-2", "2020-05-20T23:30:00Z", "2020-05-20T10:00:00+02:00", "a,b,c", "k:v,k2:v2", ",", ":"),
    *("[1,2]", '{"a":[1,"x",{"b":null}]}', "/a/1", "/a/2", "/a/01", "", "i", "c", "im", "[", "(", "a*", ".*", "a|b"),
    *("[[:alpha:]]+", "4A6f", "zz", "%Y-%m-%d %H:%M:%S", "\u00ff"),
)
VALUES: dict[DataType, tuple[Any, ...]] = {
    BOOL: (True, False),
    SMALLINT: (0, 1, -1, 2, 3, 7, -10, 100, 32767, -32768),
    INT: (0, 1, -1, 2, 3, -10, 90, 86_400, 2**31 - 1, -(2**31)),
    BIGINT: (0, 1, -1, 2, 5, -7, 12345, 1590115420000, 2**63 - 1, -(2**63)),
    FLOAT: (0.0, -0.0, 1.0, 1.5, -2.5, float(np.float32(0.1)), 100.25, 1e10, math.inf, -math.inf, math.nan),
    DOUBLE: (0.0, -0.0, 1.0, 0.5, -1.5, 2.5, -2.5, 45.0, -73.25, 1234567.0, 1e300, math.inf, -math.inf, math.nan),
    STRING: TEXTS,
    DATE: tuple(
        map(datetime.date.fromisoformat, ("1900-01-01", "1969-12-31", "2020-02-29", "2021-01-03", "2024-12-30"))
    ),
    TIMESTAMP: (0, 1, 999, 86_399_999, 1590115420000, 1709136000000, 541_600_000_000, 4_102_444_799_000),
    STRING_LIST: ((), ("a",), ("a:1", "b:2", "c"), ("", "k:v")),
    array_of(INT): ((), (1, None, 2), (-10,)),
    array_of(STRING): ((), ("a", None, "b"), ("1",)),
    array_of(DOUBLE): ((math.nan, 1.0), (None, 0.5)),
    map_of(INT, STRING): ({}, {1: "a", 2: None}),
    map_of(STRING, DOUBLE): ({"a": 1.5, "": math.nan},),
}
# The functions that only wrap lists and features have no values of their own to draw.
FORMATTERS = {"csv", "libsvm", "gcformat"}
SCALARS = sorted({function.name for function in CATALOGUE.scalars.values()} - FORMATTERS)


def combinations(name: str) -> Iterator[tuple[DataType, ...]]:
    """Argument types that the function takes: all of one and two arguments, some of more."""
    chance = random.Random(name)
    for count in range(5):
        candidates = list(itertools.product(VALUES, repeat=count)) if count < 3 else []
        if count >= 3:
            pool = list(VALUES)[: 9 if count == 4 else None]
            candidates = [tuple(chance.choices(pool, k=count)) for _ in range(4000)]
        accepted = [types for types in dict.fromkeys(candidates) if takes(name, types)]
        yield from accepted if len(accepted) <= 40 else chance.sample(accepted, 40)


def takes(name: str, types: tuple[DataType, ...]) -> bool:
    try:
        CATALOGUE.scalars[name].resolve([Argument(data_type) for data_type in types])
    except SignatureError:
        return False
    return True


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or left == right or math.isclose(left, right, rel_tol=1e-6)
    if isinstance(left, tuple) and isinstance(right, tuple) and type(left) is type(right) is tuple:
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return sorted(map(repr, left.items())) == sorted(map(repr, right.items()))
    return type(left) is type(right) and bool(left == right)


def rows_of(name: str, types: tuple[DataType, ...], chance: random.Random) -> list[tuple[Any, ...]]:
    pools = [(*VALUES[data_type], None) for data_type in types]
    if name == "round":
        # The slow evaluator raises 10 to the number of digits, exactly.
        pools[1:] = [(-25, -19, -10, -3, -2, -1, 0, 1, 2, 7, None)] * (len(types) - 1)
    if name in ("minimum", "maximum"):
        # NaN is above every number, whichever side it is on; Python's min and max take sides.
        pools = [tuple(value for value in pool if value is None or value == value) for pool in pools]
    if name == "hex":
        pools = [tuple(value for value in pool if not isinstance(value, float)) or (None,) for pool in pools]
    return [*(tuple(map(chance.choice, pools)) for _ in range(25)), tuple(pool[0] for pool in pools)]


def differences(bound: Call, rows: list[tuple[Any, ...]], time_zone: str) -> Iterator[str]:
    types = tuple(argument.type for argument in _references(bound))
    evaluator = compile_expression(bound, EvaluationContext(time_zone))
    columns = [Column.from_values([row[place] for row in rows], data_type) for place, data_type in enumerate(types)]
    result = evaluator(columns, len(rows))
    assert result.type == bound.type
    # Plans know conversions as casts.
    slow = replace(bound, function="cast") if bound.function in TYPE_NAMES else bound
    for row, together in zip(rows, result.to_values(), strict=True):
        expected = evaluate_slowly(slow, row, Session(time_zone))
        alone = evaluator([Column.from_values([value], kind) for value, kind in zip(row, types, strict=True)], 1)
        if not same(together, expected) or not same(alone.value(0), together):
            yield f"{bound.function}{row}: {together!r} (alone {alone.value(0)!r}), slow evaluator {expected!r}"


def _references(call_or_column: Any) -> list[ColumnReference]:
    if isinstance(call_or_column, ColumnReference):
        return [call_or_column]
    return [found for argument in call_or_column.arguments for found in _references(argument)]


# Conversions are compared under the names of their types, keys of maps and signatures through those that take them.
ELSEWHERE = {"cast", "map_keys", "continuous", "discrete", "gcformat_index"}
ELSEWHERE |= {"binary_label", "multiclass_label", "regression_label"}


def test_the_slow_evaluator_knows_every_function() -> None:
    assert {name for name in SCALARS if name not in known_functions()} <= set(TYPE_NAMES)


@pytest.mark.parametrize("name", [name for name in SCALARS if name not in ELSEWHERE])
def test_function(name: str) -> None:
    chance = random.Random(name)
    found: list[str] = []
    checked = 0
    for types in combinations(name):
        bound = call(name, *[ColumnReference(place, data_type) for place, data_type in enumerate(types)])
        if not types:
            continue
        checked += 1
        zone = chance.choice(("+08:00", "America/New_York", "Asia/Kolkata"))
        found.extend(differences(bound, rows_of(name, types, chance), zone))
    assert checked
    assert not found, "\n".join(found[:12])
