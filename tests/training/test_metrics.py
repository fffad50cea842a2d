"""AUC and logloss equal scikit-learn's, ties and all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from airflow_provider_mlfeat.training.metrics import auc, judge, logloss


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=60))
def test_auc_with_ties(rows: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([row[0] for row in rows], np.float32), np.array([row[1] for row in rows], np.float32)
    if labels.min() == labels.max():
        assert torch.isnan(auc(torch.from_numpy(scores), torch.from_numpy(labels)))
    else:
        ours = auc(torch.from_numpy(scores), torch.from_numpy(labels)).item()
        assert ours == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("distinct", [3, 100, 10**9])
def test_many_rows(distinct: int) -> None:
    random = np.random.default_rng(1)
    scores = (random.integers(0, distinct, 20_000) / distinct * 8 - 4).astype(np.float32)
    labels = (random.random(20_000) < 1 / (1 + np.exp(-scores))).astype(np.float32)
    judgement = judge(torch.from_numpy(scores), torch.from_numpy(labels))
    assert judgement.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
    assert judgement.logloss == pytest.approx(log_loss(labels, probabilities), abs=1e-9)
    assert judgement.score == judgement.auc - judgement.logloss


def test_a_sure_and_wrong_score_costs_what_it_should() -> None:
    assert logloss(torch.tensor([200.0]), torch.tensor([0.0])).item() == 200.0
