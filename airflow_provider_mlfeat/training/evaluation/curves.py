"""Curves of scored rows, in few enough points to draw and to keep in a document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_provider_mlfeat.training.evaluation.counts import ScoreCounts, coarsen
from airflow_provider_mlfeat.training.evaluation.metrics import log_odds

Points = tuple[tuple[float, float], ...]

_POINTS = 300
_CALIBRATION_GROUPS = 12
_BINS = 40


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """How many rows of each class have which log odds.

    :param edges: of the bins, in log odds.
    :param positives: rows with label 1 per bin.
    :param negatives: rows with label 0 per bin.
    """

    edges: tuple[float, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """All curves of scored rows.

    :param roc: false positive rate, true positive rate.
    :param precision_recall: recall, precision.
    :param calibration: mean score, positive rate; one point per group of about as many rows.
    :param calibration_rows: rows of each of these groups.
    :param histogram: of the scores.
    """

    roc: Points
    precision_recall: Points
    calibration: Points
    calibration_rows: tuple[int, ...]
    histogram: ScoreHistogram


def curves_of(counts: ScoreCounts) -> Curves:
    """The curves of counted rows."""
    calibration = coarsen(counts, _CALIBRATION_GROUPS)
    rows = calibration.positives + calibration.negatives
    return Curves(
        roc=_roc(counts),
        precision_recall=_precision_recall(counts),
        calibration=_pairs(calibration.scores[::-1], (calibration.positives / rows)[::-1]),
        calibration_rows=tuple(int(count) for count in rows[::-1]),
        histogram=_histogram(counts),
    )


def _roc(counts: ScoreCounts) -> Points:
    if not counts.has_both_classes:
        return ()
    true = np.r_[0, np.cumsum(counts.positives)] / counts.total_positives
    false = np.r_[0, np.cumsum(counts.negatives)] / counts.total_negatives
    # The points that matter lie evenly along the curve, not along the rows.
    return _thinned(false, true, false + true)


def _precision_recall(counts: ScoreCounts) -> Points:
    if not counts.total_positives:
        return ()
    found = np.cumsum(counts.positives)
    recall = found / counts.total_positives
    return _thinned(recall, found / (found + np.cumsum(counts.negatives)), recall)


def _thinned(x: np.ndarray, y: np.ndarray, along: np.ndarray) -> Points:
    """At most `_POINTS` of the points, evenly spread in `along`, which does not fall, from the first to where it ends."""
    chosen = np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], _POINTS)))
    return _pairs(x[chosen], y[chosen])


def _pairs(x: np.ndarray, y: np.ndarray) -> Points:
    return tuple((float(one), float(other)) for one, other in zip(x, y, strict=True))


def _histogram(counts: ScoreCounts) -> ScoreHistogram:
    odds = log_odds(counts.scores)
    low, high = (float(odds.min()), float(odds.max())) if len(odds) else (0.0, 0.0)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    positives, _ = np.histogram(odds, edges, weights=counts.positives)
    negatives, _ = np.histogram(odds, edges, weights=counts.negatives)
    return ScoreHistogram(
        tuple(float(edge) for edge in edges),
        tuple(int(count) for count in positives),
        tuple(int(count) for count in negatives),
    )
