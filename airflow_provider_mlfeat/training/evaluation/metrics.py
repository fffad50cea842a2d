"""Metrics of scores for a 0/1 label.

Where a metric has no value (one class only, scores all alike), it is None and never a made-up number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.training.evaluation.counts import (
    SMALLEST_PROBABILITY,
    Floats,
    ScoreCounts,
    count_scores,
)

Metrics = dict[str, float | None]

# Name → (what it says, whether more is better; None where the best value is 1).
METRICS: dict[str, tuple[str, bool | None]] = {
    "auc": ("area under the ROC curve, ties counted half", True),
    "pr_auc": ("average precision: area under the precision-recall curve, without interpolation", True),
    "logloss": ("mean negative log likelihood", False),
    "normalised_entropy": ("logloss as a share of that of the rows' own positive rate", False),
    "calibration_slope": (
        "log odds of the label per log odds of the score; 1 is calibrated, less is too bold",
        None,
    ),
    "calibration_ratio": ("mean score as a share of the positive rate; 1 is calibrated", None),
    "brier": ("mean squared difference of score and label", False),
    "accuracy": ("share of rows on the right side of 0.5", True),
    "positive_rate": ("share of rows with label 1", None),
    "mean_score": ("mean of the scores", None),
}
_NEWTON_STEPS = 50
_STEEPEST = 1e3


def compute_metrics(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> Metrics:
    """All metrics of scored rows."""
    return metrics_of(count_scores(labels, scores))


def metrics_of(counts: ScoreCounts) -> Metrics:
    """All metrics of counted rows."""
    rows = counts.total_positives + counts.total_negatives
    if not rows:
        return dict.fromkeys(METRICS)
    positive_rate = counts.total_positives / rows
    loss = logloss(counts)
    entropy = _entropy(positive_rate)
    mean_score = float((counts.scores * (counts.positives + counts.negatives)).sum() / rows)
    return {
        "auc": auc(counts),
        "pr_auc": average_precision(counts),
        "logloss": loss,
        "normalised_entropy": loss / entropy if entropy else None,
        "calibration_slope": calibration_line(counts)[1] if counts.has_both_classes else None,
        "calibration_ratio": mean_score / positive_rate if positive_rate else None,
        "brier": brier(counts),
        "accuracy": accuracy(counts),
        "positive_rate": positive_rate,
        "mean_score": mean_score,
    }


def auc(counts: ScoreCounts) -> float | None:
    """The share of pairs of a positive and a negative row in which the positive one has the higher score."""
    if not counts.has_both_classes:
        return None
    negatives_below = counts.total_negatives - np.cumsum(counts.negatives)
    won = float((counts.positives * (negatives_below + counts.negatives / 2)).sum())
    return won / (counts.total_positives * counts.total_negatives)


def average_precision(counts: ScoreCounts) -> float | None:
    """The mean precision at the rank of each positive row."""
    if not counts.total_positives:
        return None
    found = np.cumsum(counts.positives)
    precision = found / np.maximum(found + np.cumsum(counts.negatives), 1e-300)
    return float((precision * counts.positives).sum() / counts.total_positives)


def logloss(counts: ScoreCounts) -> float:
    """Mean negative log likelihood; scores of 0 and 1 stand for the nearest probability that float32 can tell."""
    scores = np.clip(counts.scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    lost = counts.positives * np.log(scores) + counts.negatives * np.log1p(-scores)
    return float(-lost.sum() / (counts.total_positives + counts.total_negatives))


def brier(counts: ScoreCounts) -> float:
    """Mean squared difference of score and label."""
    lost = counts.positives * (1 - counts.scores) ** 2 + counts.negatives * counts.scores**2
    return float(lost.sum() / (counts.total_positives + counts.total_negatives))


def accuracy(counts: ScoreCounts) -> float:
    """The share of rows on the right side of one half."""
    right = np.where(counts.scores >= 0.5, counts.positives, counts.negatives)
    return float(right.sum() / (counts.total_positives + counts.total_negatives))


def calibration_line(counts: ScoreCounts) -> tuple[float | None, float | None]:
    """Intercept and slope of a logistic regression of the label on the score's log odds.

    None where the regression has no finite answer: scores that are all alike, or that part the classes without a miss.
    """
    odds = log_odds(counts.scores)
    rows = counts.positives + counts.negatives
    spread = np.average(odds, weights=rows) if rows.sum() else 0.0
    if not np.ptp(odds) or not counts.has_both_classes:
        return None, None
    centred = odds - spread
    line = np.array([np.log(counts.total_positives / counts.total_negatives), 0.0])
    for _ in range(_NEWTON_STEPS):
        step = _newton_step(line, centred, counts.positives, rows)
        if step is None:
            return None, None
        line = line + step
        if abs(line[1]) > _STEEPEST:
            return None, None
        if np.abs(step).max() < 1e-10:
            return float(line[0] - line[1] * spread), float(line[1])
    return None, None


def _newton_step(line: Floats, odds: Floats, positives: Floats, rows: Floats) -> Floats | None:
    fitted = 1 / (1 + np.exp(-np.clip(line[0] + line[1] * odds, -700, 700)))
    left = positives - rows * fitted
    weight = rows * fitted * (1 - fitted)
    gradient = np.array([left.sum(), (left * odds).sum()])
    curvature = np.array([[weight.sum(), (weight * odds).sum()], [(weight * odds).sum(), (weight * odds**2).sum()]])
    if np.linalg.det(curvature) <= 1e-12 * curvature[0, 0] ** 2:
        return None
    # Far from the answer a full step may overshoot; steps are kept to a few units of log odds.
    step = np.linalg.solve(curvature, gradient)
    longest = np.abs(step).max()
    return np.asarray(step if longest <= 5 else step * (5 / longest))


def log_odds(scores: Floats) -> Floats:
    """log(p / (1 - p)), finite for 0 and 1."""
    clipped = np.clip(scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _entropy(rate: float) -> float:
    return 0.0 if rate in (0.0, 1.0) else float(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))
