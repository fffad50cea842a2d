"""Aggregates and positional functions over the rows of a frame, newest first (reference 1.7 and 1.8)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType, Kind
from tests.oracle.lists import keys_of, split_text, values_of
from tests.oracle.text import category_text
from tests.oracle.values import float32, identity_key, sort_key, wrap, zero_value


@dataclass(frozen=True)
class Frame:
    """What an aggregate sees.

    :param columns: per argument its values, newest row first.
    :param types: the argument types; of a list its elements' type.
    :param constants: per argument its value on the current row, for arguments that are settings.
    :param result: the type of the call.
    :param time_zone: the session's zone.
    :param size: the number of rows.
    """

    columns: tuple[Sequence[Any], ...]
    types: tuple[DataType, ...]
    constants: tuple[Any, ...]
    result: DataType
    time_zone: str
    size: int

    def text(self, value: Any, kind: DataType) -> str:
        """The value inside a category string."""
        return category_text(value, kind, self.time_zone)


AggregateFunction = Callable[[Frame], Any]
AGGREGATES: dict[str, AggregateFunction] = {}


def aggregate(*names: str) -> Callable[[AggregateFunction], AggregateFunction]:
    """Register an aggregate under its names."""

    def register(function: AggregateFunction) -> AggregateFunction:
        AGGREGATES.update(dict.fromkeys(names, function))
        return function

    return register


def present(values: Sequence[Any]) -> list[Any]:
    """The values that are not NULL."""
    return [value for value in values if value is not None]


def where(frame: Frame) -> list[Any]:
    """The values that are not NULL in rows whose condition (the second argument) is true."""
    return [value for value, condition in zip(*frame.columns[:2], strict=True) if value is not None and condition]


# ── sums and extremes ───────────────────────────────────────────────────────────────────────────────────────────────


def total(values: list[Any], kind: DataType) -> Any:
    """The sum in the type of the values, in order: ints wrap, floats are rounded at each step."""
    if not values:
        return None
    if not kind.is_floating:
        return wrap(sum(values), kind.kind)
    result = 0.0
    for value in values:
        result = result + value
        result = float32(result) if kind.kind is Kind.FLOAT else result
    return result


def mean(values: list[Any]) -> float | None:
    """The average, accumulated in double in order."""
    if not values:
        return None
    result = 0.0
    for value in values:
        result += float(value)
    return result / len(values)


def smallest(values: list[Any]) -> Any:
    """The smallest value, NaN being the largest."""
    return min(values, key=sort_key, default=None)


def largest(values: list[Any]) -> Any:
    """The largest value, NaN being the largest."""
    return max(values, key=sort_key, default=None)


@aggregate("sum")
def sum_(frame: Frame) -> Any:
    return total(present(frame.columns[0]), frame.types[0])


@aggregate("sum_where")
def sum_where(frame: Frame) -> Any:
    return total(where(frame), frame.types[0])


@aggregate("avg")
def avg(frame: Frame) -> Any:
    return mean(present(frame.columns[0]))


@aggregate("avg_where")
def avg_where(frame: Frame) -> Any:
    return mean(where(frame))


@aggregate("min")
def min_(frame: Frame) -> Any:
    return smallest(present(frame.columns[0]))


@aggregate("min_where")
def min_where(frame: Frame) -> Any:
    return smallest(where(frame))


@aggregate("max")
def max_(frame: Frame) -> Any:
    return largest(present(frame.columns[0]))


@aggregate("max_where")
def max_where(frame: Frame) -> Any:
    return largest(where(frame))


@aggregate("count")
def count(frame: Frame) -> int:
    return len(present(frame.columns[0])) if frame.columns else frame.size


@aggregate("count_where")
def count_where(frame: Frame) -> int:
    if len(frame.columns) == 1:
        return sum(bool(condition) for condition in frame.columns[0])
    return len(where(frame))


@aggregate("distinct_count")
def distinct_count(frame: Frame) -> int:
    zero = zero_value(frame.types[0].kind)
    return len({identity_key(zero if value is None else value) for value in frame.columns[0]})


# ── statistics ──────────────────────────────────────────────────────────────────────────────────────────────────────


@aggregate("median")
def median(frame: Frame) -> float | None:
    values = sorted(present(frame.columns[0]), key=sort_key)
    if not values:
        return None
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return float(low) if len(values) % 2 else (float(low) + float(high)) / 2


def variance(values: list[Any], lost: int) -> float | None:
    """The exact variance with n - lost in the denominator, rounded once."""
    if not values or len(values) <= lost:
        return None
    if not all(math.isfinite(value) for value in values):
        return math.nan
    exact = [Fraction(value) for value in values]
    middle = sum(exact) / len(exact)
    spread = sum((value - middle) ** 2 for value in exact) / (len(exact) - lost)
    try:
        return float(spread)
    except OverflowError:
        return math.inf


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


@aggregate("var_pop")
def var_pop(frame: Frame) -> float | None:
    return variance(present(frame.columns[0]), 0)


@aggregate("var_samp", "variance")
def var_samp(frame: Frame) -> float | None:
    return variance(present(frame.columns[0]), 1)


@aggregate("stddev_pop")
def stddev_pop(frame: Frame) -> float | None:
    return _root(var_pop(frame))


@aggregate("stddev_samp", "stddev", "std")
def stddev_samp(frame: Frame) -> float | None:
    return _root(var_samp(frame))


@aggregate("entropy")
def entropy(frame: Frame) -> float | None:
    counts = Counter(identity_key(value) for value in present(frame.columns[0]))
    shares = [number / counts.total() for number in counts.values()]
    return math.fsum(-share * math.log2(share) for share in shares) if shares else None


@aggregate("ew_avg")
def ew_avg(frame: Frame) -> float | None:
    values, alpha = present(frame.columns[0]), frame.constants[1]
    if not values or not alpha:
        return mean(values)
    weights = [(1 - alpha) ** k for k in range(len(values))]
    above = below = 0.0
    for weight, value in zip(weights, values, strict=True):
        above += weight * value
        below += weight
    return above / below if below else math.nan


@aggregate("drawdown")
def drawdown(frame: Frame) -> float | None:
    values = [float(value) for value in present(frame.columns[0]) if not value < 0]
    worst = 0.0 if values else None
    for position, value in enumerate(values):
        if position and value:
            worst = max(worst or 0.0, (value - min(values[:position])) / value)
    return worst


# ── most frequent and largest ───────────────────────────────────────────────────────────────────────────────────────


def _by_frequency(values: list[Any]) -> list[tuple[Any, int]]:
    """Distinct values with their counts: most frequent first, equal counts by the value."""
    counts = Counter(identity_key(value) for value in values)
    spelled = {identity_key(value): value for value in values}
    return sorted(
        ((spelled[key], number) for key, number in counts.items()), key=lambda pair: (-pair[1], sort_key(pair[0]))
    )


@aggregate("top1_ratio")
def top1_ratio(frame: Frame) -> float:
    values = present(frame.columns[0])
    return _by_frequency(values)[0][1] / len(values) if values else 0.0


@aggregate("topn_frequency")
def topn_frequency(frame: Frame) -> str:
    wanted = frame.constants[1]
    if frame.size == 0 or wanted is None:
        return ""
    wanted = wanted if 0 <= wanted <= 1024 else 1024
    keys = [frame.text(value, frame.types[0]) for value, _ in _by_frequency(present(frame.columns[0]))][:wanted]
    return ",".join(keys + ["NULL"] * (wanted - len(keys)))


@aggregate("top")
def top(frame: Frame) -> str:
    values = sorted(present(frame.columns[0]), key=sort_key, reverse=True)
    return ",".join(frame.text(value, frame.types[0]) for value in values[: max(0, frame.constants[1] or 0)])


# ── positions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@aggregate("at", "lag")
def at(frame: Frame) -> Any:
    position = frame.constants[1]
    return frame.columns[0][position] if position is not None and 0 <= position < frame.size else None


def _kept(frame: Frame) -> list[Any]:
    ignore_null = len(frame.constants) > 1 and frame.constants[1]
    return present(frame.columns[0]) if ignore_null else list(frame.columns[0])


@aggregate("first_value")
def first_value(frame: Frame) -> Any:
    values = _kept(frame)
    return values[-1] if values else None


@aggregate("last_value")
def last_value(frame: Frame) -> Any:
    values = _kept(frame)
    return values[0] if values else None


@aggregate("nth_value_where")
def nth_value_where(frame: Frame) -> Any:
    nth = frame.constants[1]
    matching = [value for value, condition in zip(frame.columns[0], frame.columns[2], strict=True) if condition]
    if not nth or abs(nth) > len(matching):
        return None
    return matching[-nth] if nth > 0 else matching[-nth - 1]


# ── lists ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _segments(frame: Frame) -> list[tuple[str, ...]]:
    return [split_text(text, delimiter) for text, delimiter in zip(*frame.columns[:2], strict=True)]


@aggregate("window_split")
def window_split(frame: Frame) -> tuple[str, ...]:
    return tuple(part for parts in _segments(frame) for part in parts)


@aggregate("window_split_by_key")
def window_split_by_key(frame: Frame) -> tuple[str, ...]:
    return tuple(part for parts in _segments(frame) for part in keys_of(parts, frame.constants[2]))


@aggregate("window_split_by_value")
def window_split_by_value(frame: Frame) -> tuple[str, ...]:
    return tuple(part for parts in _segments(frame) for part in values_of(parts, frame.constants[2]))
