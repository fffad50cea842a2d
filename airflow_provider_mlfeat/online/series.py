"""Series: the rows of a stored table by key, and how much of them is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TableName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Retention:
    """Which rows of a key stay; a row stays when any of these keeps it.

    :param everything: all of them.
    :param rows: that many of the newest.
    :param time: those whose order value is at most so far behind the newest one of the key; None keeps none for that.
    :param best: (column, descending): the last arrival among those with the largest, or smallest, value; NULL is worse
        than any value.
    """

    everything: bool = False
    rows: int = 0
    time: int | None = None
    best: tuple[tuple[str, bool], ...] = ()

    def __or__(self, other: Retention) -> Retention:
        """What keeps all that either keeps."""
        if self.everything or other.everything:
            return Retention(everything=True)
        times = [time for time in (self.time, other.time) if time is not None]
        best = tuple(sorted({*self.best, *other.best}))
        return Retention(False, max(self.rows, other.rows), max(times, default=None), best)

    def covers(self, other: Retention) -> bool:
        """Whether this keeps all that the other one keeps."""
        return (self | other) == self

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"everything": self.everything, "rows": self.rows, "time": self.time, "best": [*map(list, self.best)]}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Retention:
        """The retention of a JSON form."""
        best = tuple((str(column), bool(descending)) for column, descending in document["best"])
        return cls(document["everything"], document["rows"], document["time"], best)


EVERYTHING = Retention(everything=True)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Partial aggregates that a series keeps besides its rows, so that long windows need not read these.

    :param span: how long a bucket is, in units of the order column.
    :param parts: the canonical texts of aggregates over the table's columns.
    """

    span: int
    parts: tuple[str, ...]

    def __or__(self, other: Buckets) -> Buckets:
        """What serves both."""
        return Buckets(min(self.span, other.span), tuple(sorted({*self.parts, *other.parts})))

    def covers(self, other: Buckets) -> bool:
        """Whether this serves whom the other one serves."""
        return (self | other) == self

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"span": self.span, "parts": list(self.parts)}

    @classmethod
    def from_document(cls, document: dict[str, Any] | None) -> Buckets | None:
        """The buckets of a JSON form, if there are any."""
        return None if document is None else cls(document["span"], tuple(document["parts"]))


def wider(one: Buckets | None, other: Buckets | None) -> Buckets | None:
    """What serves both, either of which may want none."""
    return one | other if one is not None and other is not None else one or other


@dataclass(frozen=True, slots=True)
class Need:
    """What somebody needs to have stored.

    :param table: (database, table).
    :param keys: the key columns; none is the whole table, in order of arrival.
    :param order: the time column; None is the order of arrival.
    :param retention: which rows of a key.
    :param buckets: what is to be kept besides the rows.
    """

    table: TableName
    keys: tuple[str, ...] = ()
    order: str | None = None
    retention: Retention = EVERYTHING
    buckets: Buckets | None = None

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "table": list(self.table),
            "keys": list(self.keys),
            "order": self.order,
            "retention": self.retention.to_document(),
            "buckets": self.buckets and self.buckets.to_document(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Need:
        """The need of a JSON form."""
        database, table = document["table"]
        retention = Retention.from_document(document["retention"])
        buckets = Buckets.from_document(document.get("buckets"))
        return cls((database, table), tuple(document["keys"]), document["order"], retention, buckets)


def union(needs: Iterable[Need]) -> list[Need]:
    """The needs with one per series, each as wide as all that ask for that series."""
    found: dict[tuple[TableName, tuple[str, ...], str | None], Need] = {}
    for need in needs:
        key = (need.table, need.keys, need.order)
        known = found.get(key, need)
        found[key] = Need(*key, known.retention | need.retention, wider(known.buckets, need.buckets))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Series:
    """A stored series.

    :param number: its name within the store; a number is never used again.
    :param keys: the key columns.
    :param order: the time column; None is the order of arrival.
    :param retention: which rows of a key it keeps.
    :param filling: whether it is still being filled: it is written, and not read.
    :param buckets: what it keeps besides the rows.
    """

    number: int
    keys: tuple[str, ...]
    order: str | None
    retention: Retention
    filling: bool = False
    buckets: Buckets | None = None

    @property
    def is_log(self) -> bool:
        """Whether it holds the table as a whole."""
        return not self.keys and self.order is None

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "number": self.number,
            "keys": list(self.keys),
            "order": self.order,
            "retention": self.retention.to_document(),
            "filling": self.filling,
            "buckets": self.buckets and self.buckets.to_document(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Series:
        """The series of a JSON form."""
        retention = Retention.from_document(document["retention"])
        buckets = Buckets.from_document(document.get("buckets"))
        keys = tuple(document["keys"])
        return cls(document["number"], keys, document["order"], retention, document["filling"], buckets)
