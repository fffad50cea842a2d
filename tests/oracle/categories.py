"""The families ``*_cate``, ``*_cate_where`` and ``top_n_*``: one value per category, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_mlfeat.sql.types import BIGINT, DOUBLE, DataType
from tests.oracle.aggregates import AGGREGATES, Frame, largest, mean, smallest, total
from tests.oracle.values import sort_key

Row = tuple[Any, bool, Any]
Groups = list[tuple[Any, list[tuple[Any, bool]]]]


def _groups(rows: Iterable[Row]) -> Groups:
    """(key, [(value, condition), …]) per key, keys ascending; rows without a value or key are left out."""
    groups: dict[Any, list[tuple[Any, bool]]] = {}
    for value, condition, key in rows:
        if value is not None and key is not None:
            groups.setdefault(key, []).append((value, bool(condition)))
    return sorted(groups.items(), key=lambda group: sort_key(group[0]))


_SUMMARIES: dict[str, Callable[[list[Any], DataType], Any]] = {
    "count": lambda values, kind: len(values),
    "sum": total,
    "avg": lambda values, kind: mean(values),
    "min": lambda values, kind: smallest(values),
    "max": lambda values, kind: largest(values),
}


def _summary_type(summary: str, value_type: DataType) -> DataType:
    return {"count": BIGINT, "avg": DOUBLE}.get(summary, value_type)


def _limit(pairs: list[tuple[Any, Any]], count: int) -> list[tuple[Any, Any]]:
    return pairs if count < 0 else pairs[:count]


def _write(frame: Frame, pairs: list[tuple[Any, Any]], key_type: DataType, value_type: DataType) -> str:
    return ",".join(f"{frame.text(key, key_type)}:{frame.text(value, value_type)}" for key, value in pairs)


def _by_key(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return sorted(pairs, key=lambda pair: sort_key(pair[0]), reverse=True)


def _by_value(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return sorted(pairs, key=lambda pair: (sort_key(pair[1]), sort_key(pair[0])), reverse=True)


def _register(summary: str) -> None:
    summarize = _SUMMARIES[summary]

    def pairs(frame: Frame, rows: Iterable[Row]) -> list[tuple[Any, Any]]:
        matching = _groups(row for row in rows if row[1])
        return [(key, summarize([value for value, _ in group], frame.types[0])) for key, group in matching]

    def cate(frame: Frame) -> str:
        values, keys = frame.columns
        found = pairs(frame, [(value, True, key) for value, key in zip(values, keys, strict=True)])
        return _write(frame, found, frame.types[1], _summary_type(summary, frame.types[0]))

    def cate_where(frame: Frame) -> str:
        found = pairs(frame, zip(*frame.columns[:3], strict=True))
        return _write(frame, found, frame.types[2], _summary_type(summary, frame.types[0]))

    def top_n_key(frame: Frame) -> str:
        found = _limit(_by_key(pairs(frame, zip(*frame.columns[:3], strict=True))), frame.constants[3])
        return _write(frame, found, frame.types[2], _summary_type(summary, frame.types[0]))

    def top_n_value(frame: Frame) -> str:
        found = _limit(_by_value(pairs(frame, zip(*frame.columns[:3], strict=True))), frame.constants[3])
        return _write(frame, found, frame.types[2], _summary_type(summary, frame.types[0]))

    AGGREGATES[f"{summary}_cate"] = cate
    AGGREGATES[f"{summary}_cate_where"] = cate_where
    AGGREGATES[f"top_n_key_{summary}_cate_where"] = top_n_key
    AGGREGATES[f"top_n_value_{summary}_cate_where"] = top_n_value


for _summary in _SUMMARIES:
    _register(_summary)


def _register_ratio(name: str, order: Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]) -> None:
    def ratio(frame: Frame) -> str:
        groups = _groups(zip(*frame.columns[:3], strict=True))
        shares = [(key, sum(matches for _, matches in group) / len(group)) for key, group in groups]
        return _write(frame, _limit(order(shares), frame.constants[3]), frame.types[2], DOUBLE)

    AGGREGATES[name] = ratio


_register_ratio("top_n_key_ratio_cate", _by_key)
_register_ratio("top_n_value_ratio_cate", _by_value)
