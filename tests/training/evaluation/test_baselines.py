"""What a model has to beat."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_mlfeat.training.evaluation import baselines
from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels that depend on one id, one value, and nothing else."""
    random = np.random.default_rng(seed)
    ids = np.stack([random.integers(0, 5, count), random.integers(0, 300, count)], axis=1).astype(np.int32)
    values = random.normal(50, 20, (count, 1)).astype(np.float32)
    odds = -2 + np.array([0.0, 3.0, 0.0, -2.0, 1.0])[ids[:, 0]] + (values[:, 0] - 50) / 20
    return ids, values, (random.random(count) < 1 / (1 + np.exp(-odds))).astype(np.float32)


def test_the_logistic_baseline_learns_what_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, values, labels = rows(8_000, 1)
    test_ids, test_values, test_labels = rows(4_000, 2)
    scores = baselines.logistic_scores((ids, values), labels, (5, 300), (test_ids, test_values))
    found = compute_metrics(test_labels, scores)
    constant = compute_metrics(test_labels, baselines.constant_scores(float(labels.mean()), len(test_labels)))
    assert found["auc"] > 0.85
    assert found["logloss"] < 0.8 * constant["logloss"]
    assert constant["auc"] == 0.5
    monkeypatch.setattr(baselines, "MOST_ROWS", 2_000)
    fewer = baselines.logistic_scores((ids, values), labels, (5, 300), (test_ids, test_values))
    assert compute_metrics(test_labels, fewer)["auc"] == pytest.approx(found["auc"], abs=0.03)


def test_ids_alone_and_values_alone() -> None:
    ids, values, labels = rows(3_000, 1)
    nothing = np.zeros((3_000, 0), dtype=np.float32)
    by_ids = baselines.logistic_scores((ids, nothing), labels, (5, 300), (ids, nothing))
    no_ids = np.zeros((3_000, 0), dtype=np.int32)
    by_values = baselines.logistic_scores((no_ids, values), labels, (), (no_ids, values))
    assert compute_metrics(labels, by_ids)["auc"] > 0.75
    assert compute_metrics(labels, by_values)["auc"] > 0.65
