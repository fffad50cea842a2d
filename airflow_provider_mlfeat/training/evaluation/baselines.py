"""What a model has to beat: a constant, and a logistic regression on the same encoded rows."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

log = logging.getLogger("mlfeat.job")

Rows = tuple[npt.NDArray[Any], npt.NDArray[Any]]

# More rows change the weights of a linear baseline little and cost minutes.
MOST_ROWS = 500_000
_SWEEPS = 100


def constant_scores(train_positive_rate: float, rows: int) -> npt.NDArray[np.float32]:
    """The training split's positive rate, for every row."""
    return np.full(rows, train_positive_rate, dtype=np.float32)


def logistic_scores(
    train: Rows, labels: npt.NDArray[Any], sizes: Sequence[int], scored: Rows, *, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Scores of a logistic regression: a weight per id of each field and per value, with an L2 penalty.

    :param train: ids and values of the training split.
    :param labels: its labels.
    :param sizes: how many ids each field has.
    :param scored: ids and values of the rows to score.
    :param seed: of the sample that is drawn when the training split has more than `MOST_ROWS` rows.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    ids, values = train
    if len(labels) > MOST_ROWS:
        log.info("the logistic baseline is fitted on %d of %d rows", MOST_ROWS, len(labels))
        chosen = np.sort(np.random.default_rng(seed).choice(len(labels), MOST_ROWS, replace=False))
        ids, values, labels = ids[chosen], values[chosen], labels[chosen]
    centre, scale = _scaling(values)
    model = LogisticRegression(C=1.0, max_iter=_SWEEPS, solver="lbfgs")
    with warnings.catch_warnings():
        # A baseline that is nearly there is a baseline.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_design(ids, (values - centre) / scale, sizes), np.asarray(labels) == 1)
    design = _design(scored[0], (scored[1] - centre) / scale, sizes)
    return np.asarray(model.predict_proba(design)[:, 1], dtype=np.float32)


def _scaling(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if not values.shape[1]:
        return np.zeros(0, dtype=np.float32), np.ones(0, dtype=np.float32)
    deviation = np.nanstd(values, axis=0)
    return np.nanmean(values, axis=0), np.where(deviation > 0, deviation, 1.0)


def _design(ids: npt.NDArray[Any], values: npt.NDArray[Any], sizes: Sequence[int]) -> csr_matrix:
    """One row per row: a 1 at each field's id, and the values behind them."""
    from scipy.sparse import csr_matrix

    rows, fields = ids.shape
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    width = int(first[-1]) + values.shape[1]
    columns = np.concatenate(
        [ids + first[:-1], np.broadcast_to(first[-1] + np.arange(values.shape[1]), values.shape)], axis=1
    )
    known = np.concatenate([np.ones(ids.shape, dtype=np.float32), np.nan_to_num(values)], axis=1)
    starts = np.arange(rows + 1) * (fields + values.shape[1])
    return csr_matrix((known.ravel(), columns.ravel(), starts), shape=(rows, width))
