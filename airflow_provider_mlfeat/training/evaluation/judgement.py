"""All that is said about the scores of one split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from airflow_provider_mlfeat.training.evaluation.counts import count_scores
from airflow_provider_mlfeat.training.evaluation.curves import Curves, curves_of
from airflow_provider_mlfeat.training.evaluation.intervals import Intervals, confidence_intervals
from airflow_provider_mlfeat.training.evaluation.metrics import Metrics, metrics_of


@dataclass(frozen=True, slots=True)
class SplitJudgement:
    """Metrics and curves of one split.

    :param rows: how many, each counted once.
    :param positives: how many of them have label 1.
    :param metrics: name → value.
    :param intervals: name → 95 % confidence interval; empty where none was asked for.
    :param curves: to draw.
    """

    rows: int
    positives: int
    metrics: Metrics
    curves: Curves
    intervals: Intervals = field(default_factory=dict)


def judge_split(
    labels: npt.NDArray[Any], scores: npt.NDArray[Any], *, intervals: bool = False, seed: int = 0
) -> SplitJudgement:
    """Judge scores of a split's rows."""
    counts = count_scores(labels, scores)
    return SplitJudgement(
        rows=len(labels),
        positives=int(counts.total_positives),
        metrics=metrics_of(counts),
        curves=curves_of(counts),
        intervals=confidence_intervals(counts, seed=seed) if intervals else {},
    )
