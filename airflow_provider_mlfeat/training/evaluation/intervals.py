"""Confidence intervals by resampling.

Each resample draws every row a Poisson(1) number of times, which is what drawing rows with replacement comes to when
there are many. Rows with (nearly) the same score need not be drawn one by one: the number of drawn rows of a group is
Poisson distributed with the group's size, so a resample costs the same for a thousand rows as for a billion.
"""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.training.evaluation.counts import ScoreCounts, coarsen
from airflow_provider_mlfeat.training.evaluation.metrics import Metrics, metrics_of

Intervals = dict[str, tuple[float, float]]

_GROUPS = 4096
RESAMPLES = 400


def confidence_intervals(
    counts: ScoreCounts, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Intervals:
    """The interval of each metric that has a value; of scores in groups, moved to where the exact metric is."""
    exact = metrics_of(counts)
    coarse = coarsen(counts, _GROUPS)
    middle = metrics_of(coarse)
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name, value in exact.items() if value is not None}
    for _ in range(resamples):
        sample = metrics_of(_resample(coarse, random))
        for name, values in drawn.items():
            if (value := sample[name]) is not None:
                values.append(value)
    outside = (1 - level) / 2
    return {
        name: _interval(values, outside, _shift(exact, middle, name))
        for name, values in drawn.items()
        # A metric that most resamples do not have has no interval to speak of.
        if len(values) >= 0.9 * resamples
    }


def _resample(counts: ScoreCounts, random: np.random.Generator) -> ScoreCounts:
    positives = random.poisson(counts.positives).astype(np.float64)
    negatives = random.poisson(counts.negatives).astype(np.float64)
    return ScoreCounts(counts.scores, positives, negatives)


def _shift(exact: Metrics, coarse: Metrics, name: str) -> float:
    one, other = exact[name], coarse[name]
    return 0.0 if one is None or other is None else one - other


def _interval(values: list[float], outside: float, shift: float) -> tuple[float, float]:
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low) + shift, float(high) + shift
