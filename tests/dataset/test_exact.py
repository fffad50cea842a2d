"""Mean and deviation without rounding: what fractions say, however the numbers were grouped."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.exact import ExactMoments

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize(
    "numbers",
    [
        # Nearly equal and far from 0: a last bit of a square decides the deviation's first digits.
        RANDOM.normal(1e9, 1e-3, 600),
        RANDOM.normal(-7e12, 1.0, 600),
        RANDOM.normal(size=600) * 10.0 ** RANDOM.integers(-100, 140, 600),
        np.array([2.0**500, -(2.0**500)]),
        np.array([np.nextafter(2.0, 0), np.nextafter(2.0, 3)]),
        np.full(7, 0.1),
    ],
)
def test_they_are_those_of_fractions(numbers: NDArray[np.float64]) -> None:
    found = ExactMoments()
    for part in np.array_split(RANDOM.permutation(numbers), 3):
        other = ExactMoments()
        other.add(part)
        found.merge(other)
    exact = [Fraction(float(number)) for number in numbers]
    mean = sum(exact) / len(exact)
    deviation = math.sqrt(float(sum((number - mean) ** 2 for number in exact) / len(exact)))
    assert (found.mean(), found.deviation()) == (float(mean), deviation)


def test_beyond_all_numbers() -> None:
    found = ExactMoments()
    assert (found.mean(), found.deviation()) == (0.0, 0.0)
    found.add(np.array([1.7e308, 1.7e308]))
    assert (found.mean(), found.deviation()) == (1.7e308, math.inf)
