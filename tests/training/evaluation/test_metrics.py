"""Metrics against scikit-learn and against definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.evaluation.counts import coarsen, count_scores
from airflow_provider_mlfeat.training.evaluation.intervals import confidence_intervals
from airflow_provider_mlfeat.training.evaluation.metrics import METRICS, calibration_line, compute_metrics


def scored(rows: int = 5_000, seed: int = 1, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from calibrated scores; with few decimals most scores are ties."""
    random = np.random.default_rng(seed)
    odds = random.normal(-2, 1.5, rows)
    scores = (1 / (1 + np.exp(-odds))).astype(np.float32)
    labels = (random.random(rows) < scores).astype(np.float32)
    return labels, scores if decimals is None else np.round(scores, decimals)


@pytest.mark.parametrize("decimals", [None, 2])
def test_the_metrics_are_those_of_scikit_learn(decimals: int | None) -> None:
    labels, scores = scored(decimals=decimals)
    found = compute_metrics(labels, scores)
    exact = scores.astype(np.float64)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(labels, exact), abs=1e-12)
    assert found["pr_auc"] == pytest.approx(sk.average_precision_score(labels, exact), abs=1e-12)
    clipped = np.clip(exact, np.finfo(np.float32).eps, 1 - np.finfo(np.float32).eps)
    assert found["logloss"] == pytest.approx(sk.log_loss(labels, clipped), abs=1e-12)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(labels, exact), abs=1e-12)
    assert found["accuracy"] == pytest.approx(np.mean((exact >= 0.5) == labels), abs=1e-12)
    rate = labels.mean(dtype=np.float64)
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert found["normalised_entropy"] == pytest.approx(found["logloss"] / entropy)
    assert set(found) == set(METRICS)


def test_a_calibrated_score_has_slope_one_and_an_overconfident_one_less() -> None:
    labels, scores = scored(rows=60_000)
    assert compute_metrics(labels, scores)["calibration_slope"] == pytest.approx(1, abs=0.04)
    odds = 2 * np.log(scores / (1 - scores))
    bold = 1 / (1 + np.exp(-odds))
    assert compute_metrics(labels, bold)["calibration_slope"] == pytest.approx(0.5, abs=0.02)
    assert compute_metrics(labels, scores)["calibration_ratio"] == pytest.approx(1, abs=0.04)


def test_the_calibration_line_is_that_of_an_unpenalised_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    labels, scores = scored(rows=4_000, seed=3)
    odds = np.log(scores.astype(np.float64) / (1 - scores.astype(np.float64)))
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(odds[:, None], labels)
    intercept, slope = calibration_line(count_scores(labels, scores))
    assert intercept == pytest.approx(reference.intercept_[0], abs=1e-4)
    assert slope == pytest.approx(reference.coef_[0, 0], abs=1e-4)


def test_what_has_no_value_is_none() -> None:
    one_class = compute_metrics(np.zeros(4), np.array([0.1, 0.2, 0.3, 0.4]))
    assert one_class["auc"] is one_class["pr_auc"] is one_class["calibration_slope"] is None
    assert one_class["normalised_entropy"] is None
    assert one_class["logloss"] == pytest.approx(-np.log(1 - np.array([0.1, 0.2, 0.3, 0.4])).mean())
    assert compute_metrics(np.array([0, 1]), np.array([0.5, 0.5]))["calibration_slope"] is None
    parted = compute_metrics(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    assert parted["auc"] == 1
    assert parted["calibration_slope"] is None
    assert set(compute_metrics(np.zeros(0), np.zeros(0)).values()) == {None}


def test_certain_scores_cost_what_float32_can_tell() -> None:
    found = compute_metrics(np.array([0, 1]), np.array([1.0, 0.0]))
    assert found["logloss"] == pytest.approx(-np.log(np.finfo(np.float32).eps))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 2], [0.1, 0.2], "label of row 1 is 2: labels are 0 or 1"),
        ([0, np.nan], [0.1, 0.2], "label of row 1 is nan"),
        ([0, 1], [0.1, 1.5], "score of row 1 is 1.5: scores are probabilities"),
        ([0, 1], [np.nan, 0.5], "score of row 0 is nan"),
        ([0, 1, 1], [0.1, 0.5], r"\(3,\) labels and \(2,\) scores"),
    ],
)
def test_bad_input_is_refused(labels: list[float], scores: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compute_metrics(np.array(labels), np.array(scores))


def test_coarse_counts_keep_every_row() -> None:
    labels, scores = scored(rows=20_000)
    counts = count_scores(labels, scores)
    coarse = coarsen(counts, 64)
    assert len(coarse.scores) <= 64
    assert coarse.total_positives == labels.sum()
    assert coarse.total_negatives == (1 - labels).sum()
    assert np.all(np.diff(coarse.scores) < 0)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """The AUC of the population lies inside about 95 of 100 intervals of samples."""
    truth = compute_metrics(*scored(rows=400_000, seed=99))
    inside = {"auc": 0, "logloss": 0, "pr_auc": 0, "calibration_slope": 0}
    for seed in range(60):
        intervals = confidence_intervals(count_scores(*scored(rows=1_500, seed=seed)), resamples=150)
        for name in inside:
            low, high = intervals[name]
            inside[name] += low <= truth[name] <= high
    for name, hits in inside.items():
        assert 51 <= hits <= 60, (name, hits)


def test_intervals_of_coarse_groups_surround_the_exact_metric() -> None:
    labels, scores = scored(rows=50_000)
    exact = compute_metrics(labels, scores)
    intervals = confidence_intervals(count_scores(labels, scores), resamples=100)
    for name, (low, high) in intervals.items():
        assert low <= exact[name] <= high, name
    assert intervals == confidence_intervals(count_scores(labels, scores), resamples=100)
