"""AUC and logloss where the scores are: on the GPU when they were made there, one sort and no copy to the host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Judgement:
    """How well scores order and price the rows.

    :param auc: area under the ROC curve.
    :param logloss: mean negative log likelihood.
    """

    auc: float
    logloss: float

    @property
    def score(self) -> float:
        """What chooses the best epoch."""
        return self.auc - self.logloss


def judge(logits: Tensor, labels: Tensor) -> Judgement:
    """AUC and logloss of logits [rows] against labels [rows]."""
    return Judgement(auc(logits, labels).item(), logloss(logits, labels).item())


def auc(scores: Tensor, labels: Tensor) -> Tensor:
    """Area under the ROC curve, equal scores counted half, as a float64 scalar on the scores' device.

    It is the rank sum of the positives: with ranks from 1 and the mean rank for equal scores,
    (sum of ranks − p (p + 1) / 2) / (p n).
    """
    ordered, order = torch.sort(scores)
    positive = labels[order].to(torch.float64)
    count = len(ordered)
    # The mean rank of a run of equal scores is the mean of the ranks of its first and its last row.
    starts = torch.ones(count, dtype=torch.bool, device=scores.device)
    starts[1:] = ordered[1:] != ordered[:-1]
    index = torch.arange(count, device=scores.device)
    first = torch.cummax(torch.where(starts, index, 0), 0).values
    ends = torch.ones_like(starts)
    ends[:-1] = starts[1:]
    last = torch.cummin(torch.where(ends, index, count).flip(0), 0).values.flip(0)
    ranks = (first + last).to(torch.float64) / 2 + 1
    positives = positive.sum()
    negatives = count - positives
    return ((ranks * positive).sum() - positives * (positives + 1) / 2) / (positives * negatives)


def logloss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log likelihood in float64, from logits, so that no probability is rounded to 0 or 1."""
    exact = logits.to(torch.float64)
    return (torch.nn.functional.softplus(exact) - exact * labels.to(torch.float64)).mean()
