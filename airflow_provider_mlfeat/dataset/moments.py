"""Exact places in the order of a time column, without ordering it: counts in ranges that get narrower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.splits import Moments, moments_of

_RANGES = 1 << 16


@dataclass
class _Extremes:
    """The earliest and the latest moment; 0 rows have none."""

    rows: int = 0
    first: int = 0
    last: int = 0

    def merge(self, other: _Extremes) -> None:
        if not other.rows:
            return
        self.first = min(self.first, other.first) if self.rows else other.first
        self.last = max(self.last, other.last) if self.rows else other.last
        self.rows += other.rows


@dataclass
class _Search:
    """One place that is looked for, between two moments.

    :param place: the number of the row in order of time.
    :param first: the earliest moment that it may have.
    :param last: the latest.
    :param before: rows that are earlier than `first`.
    :param counts: rows in each of the ranges between.
    """

    place: int
    first: int
    last: int
    before: int
    counts: NDArray[np.int64]

    @property
    def width(self) -> int:
        return -(-(self.last - self.first + 1) // _RANGES)

    def add(self, moments: NDArray[np.int64]) -> None:
        inside = moments[(moments >= self.first) & (moments <= self.last)]
        # Differences of any two moments fit into 64 bits without a sign.
        apart = inside.view(np.uint64) - np.array([self.first], np.int64).view(np.uint64)
        self.counts += np.bincount((apart // np.uint64(self.width)).astype(np.int64), minlength=_RANGES)

    def merge(self, other: _Search) -> None:
        self.counts += other.counts

    def narrow(self) -> None:
        """Go on in the range that holds the place."""
        stops = self.before + np.cumsum(self.counts)
        here = int(np.searchsorted(stops, self.place, side="right"))
        self.before = int(stops[here - 1]) if here else self.before
        first = self.first + here * self.width
        self.first, self.last = first, min(self.last, first + self.width - 1)
        self.counts = np.zeros(_RANGES, np.int64)


class MomentsPass:
    """Looks for the moments at some places of the ordered time column, in several passes.

    :param column: the time column.
    :param places: numbers of rows in order of time.
    """

    def __init__(self, column: str, places: Sequence[int]) -> None:
        self._column, self._places = column, tuple(places)
        self._extremes = _Extremes()
        self._searches: list[_Search] = []

    def add(self, batch: pa.RecordBatch, first: int) -> None:
        """Look at a block of rows; raises UserError for a NULL, and for a column that is no time."""
        moments = np.ascontiguousarray(moments_of(batch, self._column))
        if not self._searches:
            self._extremes.merge(_Extremes(len(moments), int(moments.min()), int(moments.max())))
        for search in self._searches:
            search.add(moments)

    def pieces(self) -> Sequence[_Extremes | _Search]:
        """At first the earliest and the latest moment, then counts for each place."""
        return self._searches or [self._extremes]

    @property
    def is_done(self) -> bool:
        """Whether each place is found."""
        return bool(self._searches) and all(search.first == search.last for search in self._searches)

    def narrow(self) -> None:
        """After a pass over all rows: look closer in the next."""
        for search in self._searches:
            search.narrow()
        first, last = self._extremes.first, self._extremes.last
        self._searches = self._searches or [
            _Search(place, first, last, 0, np.zeros(_RANGES, np.int64)) for place in self._places
        ]

    def finish(self) -> Moments:
        """What was found."""
        return Moments(self._extremes.first, tuple(search.first for search in self._searches))
