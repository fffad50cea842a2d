"""Histograms in one pass over values whose range is not known before.

Bins are as wide as a power of two and begin at multiples of their width, so that two neighbours always make one bin of
the next width: a histogram that grows loses nothing, and its bins depend on the smallest and largest value alone, not
on how the rows came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 40
# Doubles hold whole numbers of 53 bits, and indices of bins are whole numbers.
_BITS = 52
_NARROWEST = -1022


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in bins of equal width.

    :param low: where the first bin begins.
    :param width: of each bin.
    :param counts: values per bin; a bin holds its lower edge and not its upper one.
    """

    low: float
    width: float
    counts: tuple[int, ...]

    @property
    def high(self) -> float:
        """Where the last bin ends."""
        return self.low + self.width * len(self.counts)


class HistogramBuilder:
    """A histogram under construction.

    :param whole: whether values are whole numbers, for which no bin is narrower than 1.
    :param bins: the largest number of bins.
    """

    def __init__(self, whole: bool, bins: int = BINS) -> None:
        self._whole, self._bins = whole, bins
        self._low, self._high = math.inf, -math.inf
        self._exponent: int | None = None
        self._first = 0
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        """Count finite values."""
        if not len(values):
            return
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        exponent = self._exponent_for(self._low, self._high)
        first, last = _index(self._low, exponent), _index(self._high, exponent)
        counts = np.zeros(last - first + 1, np.int64)
        if self._exponent is not None:
            old = (self._first + np.arange(len(self._counts))) >> (exponent - self._exponent)
            np.add.at(counts, old - first, self._counts)
        places = np.floor(np.ldexp(values, -exponent)).astype(np.int64) - first
        counts += np.bincount(places, minlength=len(counts))
        self._exponent, self._first, self._counts = exponent, first, counts

    def finish(self) -> Histogram | None:
        """The histogram, or None when there were no values."""
        if self._exponent is None:
            return None
        width = math.ldexp(1.0, self._exponent)
        return Histogram(self._first * width, width, tuple(self._counts.tolist()))

    def _exponent_for(self, low: float, high: float) -> int:
        """The narrowest bins that cover a range and whose indices are exact."""
        largest = max(abs(low), abs(high))
        exponent = max(math.frexp(largest)[1] - _BITS, _NARROWEST) if largest else _NARROWEST
        if self._whole:
            exponent = max(0, exponent)
        # Halves, because the difference of two doubles may be larger than a double.
        if (half := high / 2 - low / 2) > 0:
            exponent = max(exponent, math.frexp(half / self._bins)[1])
        while _index(high, exponent) - _index(low, exponent) >= self._bins:
            exponent += 1
        return min(exponent, 1023)


def _index(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))
