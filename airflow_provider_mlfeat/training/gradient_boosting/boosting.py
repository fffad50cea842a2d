"""Training of gradient-boosted trees.

Columns of ids are numbers to a tree: it splits them by thresholds, as if ids had an order. That costs depth and no
accuracy worth naming where a vocabulary is small, and it keeps one encoder for all models.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.examples import CHECKED_AT_ONCE, Examples, TrainingData, check_examples
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.gradient_boosting.settings import BoostingSettings
from airflow_provider_mlfeat.training.reporting import TrainingCancellation, TrainingProgress

# float32 holds every integer up to here.
_MOST_IDS = 1 << 24


@dataclass(frozen=True)
class BoostedTrees:
    """What boosting gave.

    :param booster: the trees up to the best one.
    :param epochs: metrics after each tree: the curves of the report.
    :param best: which tree was the last that lowered the validation logloss, from 1.
    :param seconds: how long boosting took.
    """

    booster: xgb.Booster
    epochs: tuple[dict[str, float], ...]
    best: int
    seconds: float

    def scores(self, examples: Examples) -> npt.NDArray[np.float32]:
        """Probabilities as XGBoost computes them: what the exported graph is compared with."""
        scores = self.booster.inplace_predict(columns_of(examples), missing=np.nan)
        return np.asarray(scores, dtype=np.float32)


def boost(
    data: TrainingData, settings: BoostingSettings, progress: TrainingProgress, cancellation: TrainingCancellation
) -> BoostedTrees:
    """Boost trees on the training rows until the validation rows are no better for it."""
    _check(data)
    names = [*data.layout.names, *data.layout.value_names]
    progress.stage("boost", total=settings.trees, unit="trees")
    watch = _Watch(progress, cancellation, len(data.train))
    train = xgb.QuantileDMatrix(
        columns_of(data.train), label=data.train.labels, feature_names=names, max_bin=settings.bins
    )
    valid = xgb.QuantileDMatrix(columns_of(data.valid), label=data.valid.labels, feature_names=names, ref=train)
    callbacks: list[Any] = [watch]
    if settings.patience:
        callbacks.append(xgb.callback.EarlyStopping(rounds=settings.patience, metric_name="logloss", data_name="valid"))
    booster = xgb.train(
        _parameters(settings),
        train,
        num_boost_round=settings.trees,
        evals=[(train, "train"), (valid, "valid")],
        verbose_eval=False,
        callbacks=callbacks,
    )
    losses = [epoch["valid_logloss"] for epoch in watch.epochs]
    best = int(np.argmin(losses)) + 1 if settings.patience else len(losses)
    return BoostedTrees(booster[:best], tuple(watch.epochs), best, time.perf_counter() - watch.began)


def _check(data: TrainingData) -> None:
    """Refuse what trees cannot learn from. NaN is no problem: a tree knows where to go without a value."""
    for name, size in zip(data.layout.names, data.layout.sizes, strict=True):
        if size > _MOST_IDS:
            raise UserError(f"field '{name}' has {size} ids, and trees tell {_MOST_IDS} apart: choose another model")
    ids_alone = FieldLayout(data.layout.names, data.layout.sizes)
    for split, examples in (("train", data.train), ("valid", data.valid)):
        check_examples(split, Examples(examples.ids, examples.values[:, :0], examples.labels), ids_alone)
        for start, block in zip(count(0, CHECKED_AT_ONCE), examples.blocks(CHECKED_AT_ONCE), strict=False):
            infinite = np.argwhere(np.isinf(block.values))
            if len(infinite):
                row, column = infinite[0]
                name = data.layout.value_names[column]
                raise UserError(
                    f"split '{split}', row {start + row}: field '{name}' is infinite: it has to be a number"
                )


def columns_of(examples: Examples) -> npt.NDArray[np.float32]:
    """Ids, then values, as one matrix."""
    fields = examples.ids.shape[1]
    matrix = np.empty((len(examples), fields + examples.values.shape[1]), dtype=np.float32)
    matrix[:, :fields], matrix[:, fields:] = examples.ids, examples.values
    return matrix


def _parameters(settings: BoostingSettings) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "eval_metric": ["auc", "logloss"],
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.learning_rate,
        "subsample": settings.row_share,
        "colsample_bytree": settings.column_share,
        "alpha": settings.l1,
        "lambda": settings.l2,
        "min_child_weight": settings.min_child_weight,
        "scale_pos_weight": settings.positive_weight,
        "max_bin": settings.bins,
        "seed": settings.seed,
        "device": settings.device,
        "nthread": settings.threads,
    }


class _Watch(xgb.callback.TrainingCallback):
    """Reports after each tree, and stops where the work was asked to."""

    def __init__(self, progress: TrainingProgress, cancellation: TrainingCancellation, rows: int) -> None:
        super().__init__()
        self._progress = progress
        self._cancellation = cancellation
        self._rows = rows
        self.began = time.perf_counter()
        self.epochs: list[dict[str, float]] = []

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Keep the tree's metrics and show them."""
        found = {
            f"{split}_{metric}": float(values[-1])
            for split, metrics in evals_log.items()
            for metric, values in metrics.items()
        }
        spent = max(time.perf_counter() - self.began, 1e-9)
        rate = self._rows * (epoch + 1) / spent
        # The curves of all models have the same names.
        found["train_loss"] = found.pop("train_logloss")
        self.epochs.append({"epoch": epoch + 1, **found, "rows_per_second": round(rate, 1), "seconds": spent})
        self._progress.advance(1)
        self._progress.metric(auc=found["valid_auc"], logloss=found["valid_logloss"])
        self._cancellation.check()
        return False
