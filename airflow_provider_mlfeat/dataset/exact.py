"""Mean and deviation of numbers, the same to the last bit however the numbers were grouped."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# A float64 is a whole number of 53 bits times a power of two; sums of its halves are exact in 64 bits.
_BITS, _HALF = 53, 27
_EXPONENTS, _ZERO = 2_200, 1_100
# Beyond this a square, or a part of one, is no number any more.
_LARGEST = 2.0**500
_AT_ONCE = 1 << 20


class ExactMoments:
    """Sums of numbers and of their squares, without any rounding."""

    def __init__(self) -> None:
        self.count = 0
        self._is_huge = False
        self._sums, self._squares = _ExactSum(), _ExactSum()

    def add(self, numbers: NDArray[np.float64]) -> None:
        """Take finite numbers in."""
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            self.count += len(part)
            self._sums.add(part)
            if np.abs(part).max(initial=0.0) > _LARGEST:
                self._is_huge = True
                continue
            # The square of a number of two halves, in three products that fit into a float64: the upper half is
            # rounded, so that the lower one, with its sign, has a bit less.
            rounded = part.view(np.uint64) + np.uint64(1 << (_HALF - 1))
            high = (rounded >> np.uint64(_HALF) << np.uint64(_HALF)).view(np.float64)
            low = part - high
            for product in (high * high, 2 * high * low, low * low):
                self._squares.add(product)

    def merge(self, other: ExactMoments) -> None:
        """Take in what another one has seen."""
        self.count += other.count
        self._is_huge |= other._is_huge
        self._sums.merge(other._sums)
        self._squares.merge(other._squares)

    def mean(self) -> float:
        """The mean; 0 of nothing."""
        return _rounded(self._sums.total() / self.count) if self.count else 0.0

    def deviation(self) -> float:
        """The root of the mean squared distance from the mean; infinite where squares are beyond all numbers."""
        if self._is_huge:
            return math.inf
        if not self.count:
            return 0.0
        # Squares of the smallest numbers vanish, so the difference may be a little below 0.
        exact = self._squares.total() / self.count - (self._sums.total() / self.count) ** 2
        return math.sqrt(max(0.0, _rounded(exact)))


class _ExactSum:
    """One sum for each exponent that numbers have."""

    def __init__(self) -> None:
        self._high = np.zeros(_EXPONENTS, np.int64)
        self._low = np.zeros(_EXPONENTS, np.int64)

    def add(self, numbers: NDArray[np.float64]) -> None:
        fractions, exponents = np.frexp(numbers)
        whole = np.ldexp(fractions, _BITS)
        high = np.floor(np.ldexp(whole, -_HALF))
        low = whole - np.ldexp(high, _HALF)
        places = exponents + _ZERO
        # Sums of at most 2²⁰ numbers below 2²⁷ are whole numbers that a float64 holds.
        self._high += np.bincount(places, high, _EXPONENTS).astype(np.int64)
        self._low += np.bincount(places, low, _EXPONENTS).astype(np.int64)

    def merge(self, other: _ExactSum) -> None:
        self._high += other._high
        self._low += other._low

    def total(self) -> Fraction:
        found = Fraction(0)
        for place in np.flatnonzero(self._high | self._low).tolist():
            whole = (int(self._high[place]) << _HALF) + int(self._low[place])
            found += Fraction(whole) * Fraction(2) ** (place - _ZERO - _BITS)
        return found


def _rounded(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf
