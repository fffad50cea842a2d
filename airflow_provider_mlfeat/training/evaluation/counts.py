"""Scored rows, sorted and counted once; every metric is a sum over them.

Rows with the same score are one group, so ties are treated as what they are: rows that the model cannot tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.errors import UserError

Floats = npt.NDArray[np.float64]

# Scores are float32; a score of 0 or 1 stands for the nearest number that it can tell from it.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """Groups of rows by descending score.

    :param scores: the score of each group.
    :param positives: rows with label 1 in each group.
    :param negatives: rows with label 0 in each group.
    """

    scores: Floats
    positives: Floats
    negatives: Floats

    @property
    def total_positives(self) -> float:
        """All rows with label 1."""
        return float(self.positives.sum())

    @property
    def total_negatives(self) -> float:
        """All rows with label 0."""
        return float(self.negatives.sum())

    @property
    def has_both_classes(self) -> bool:
        """Whether there is anything to tell apart."""
        return self.total_positives > 0 and self.total_negatives > 0


def count_scores(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> ScoreCounts:
    """Count rows by score; raises UserError for labels other than 0 and 1 and for scores that are no probabilities."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise UserError(f"{labels.shape} labels and {scores.shape} scores do not belong together")
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if wrong.size:
        raise UserError(f"label of row {wrong[0]} is {labels[wrong[0]]}: labels are 0 or 1")
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if wrong.size:
        raise UserError(f"score of row {wrong[0]} is {scores[wrong[0]]}: scores are probabilities from 0 to 1")
    order = np.argsort(-scores, kind="stable")
    ordered, is_positive = scores[order], labels[order] == 1
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if ordered.size else np.zeros(0, dtype=np.int64)
    positives = np.add.reduceat(is_positive, starts, dtype=np.float64) if ordered.size else np.zeros(0)
    sizes = np.diff(np.r_[starts, ordered.size]).astype(np.float64)
    return ScoreCounts(ordered[starts], positives, sizes - positives)


def coarsen(counts: ScoreCounts, groups: int) -> ScoreCounts:
    """At most `groups` groups of neighbours with about as many rows each; a group's score is the mean of its rows'."""
    if len(counts.scores) <= groups:
        return counts
    rows = counts.positives + counts.negatives
    place = np.minimum((np.cumsum(rows) - rows) / rows.sum() * groups, groups - 1).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
    sizes = np.add.reduceat(rows, starts)
    means = np.add.reduceat(counts.scores * rows, starts) / sizes
    return ScoreCounts(means, np.add.reduceat(counts.positives, starts), np.add.reduceat(counts.negatives, starts))
