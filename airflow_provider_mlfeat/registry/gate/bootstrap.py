"""Whether one set of scores is better than another on the same rows, by a paired bootstrap.

Each resample draws every row a Poisson(1) number of times, the same number for both: what both find hard or easy drops
out of the difference, so that far fewer rows show which is better than two separate intervals would need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.registry.gate.rules import COMPARABLE
from airflow_provider_mlfeat.training.evaluation import metrics
from airflow_provider_mlfeat.training.evaluation.counts import Floats, ScoreCounts, count_scores

# Resamples times rows: about a minute of work.
_MOST_DRAWS = 400_000_000
_FEWEST = 200
_FUNCTIONS: dict[str, Callable[[ScoreCounts], float | None]] = {
    "auc": metrics.auc,
    "pr_auc": metrics.average_precision,
    "accuracy": metrics.accuracy,
    "logloss": metrics.logloss,
    "brier": metrics.brier,
}


@dataclass(frozen=True, slots=True)
class Improvement:
    """How much better one set of scores is than another; above 0 is better, whatever the metric's direction.

    :param value: on the rows as they are.
    :param low: what it is at least, at the confidence that was asked for.
    :param high: what it is at most, at the same confidence.
    :param first: the metric of the one.
    :param second: the metric of the other.
    :param resamples: how many were drawn.
    """

    value: float
    low: float
    high: float
    first: float
    second: float
    resamples: int


class _Ranked:
    """Scores in order, ready to be counted again and again with other weights."""

    def __init__(self, labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> None:
        exact = np.asarray(scores, dtype=np.float64)
        self._order = np.argsort(-exact, kind="stable")
        ordered = exact[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._scores: Floats = ordered[self._starts]
        self._positive = np.asarray(labels)[self._order] == 1

    def counts(self, weights: npt.NDArray[Any]) -> ScoreCounts:
        drawn = weights[self._order]
        every = np.add.reduceat(drawn, self._starts, dtype=np.float64)
        positives = np.add.reduceat(np.where(self._positive, drawn, 0), self._starts, dtype=np.float64)
        return ScoreCounts(self._scores, positives, every - positives)


def compare(
    labels: npt.NDArray[Any],
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    metric: str,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Improvement | None:
    """By how much `first` is better than `second`; None where the metric has no value, as with one class only.

    :param labels: 0 or 1.
    :param first: scores.
    :param second: other scores of the same rows.
    :param metric: one of `rules.COMPARABLE`.
    :param confidence: of each bound.
    :param resamples: how many to draw.
    :param seed: of the draws.
    :param check: called between resamples, to stop when cancelled.
    """
    function, sign = _FUNCTIONS[metric], 1 if COMPARABLE[metric] else -1
    mine, theirs = function(count_scores(labels, first)), function(count_scores(labels, second))
    if mine is None or theirs is None:
        return None
    rows = len(labels)
    resamples = min(resamples, max(_FEWEST, _MOST_DRAWS // max(1, rows)))
    one, other = _Ranked(labels, first), _Ranked(labels, second)
    random = np.random.default_rng(seed)
    differences = []
    for _ in range(resamples):
        check()
        weights = random.poisson(1.0, rows).astype(np.int16)
        left, right = function(one.counts(weights)), function(other.counts(weights))
        if left is not None and right is not None:
            differences.append(sign * (left - right))
    # A resample without a positive row says nothing; when many are so, nothing can be said at all.
    if len(differences) < 0.9 * resamples:
        return None
    low, high = np.quantile(differences, [1 - confidence, confidence])
    return Improvement(sign * (mine - theirs), float(low), float(high), mine, theirs, resamples)
