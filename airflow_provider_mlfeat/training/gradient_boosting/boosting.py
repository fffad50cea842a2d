"""Training of gradient-boosted trees.

Columns of ids are numbers to a tree: it splits them by thresholds, as if ids had an order. That costs depth and no
accuracy worth naming where a vocabulary is small, and it keeps one encoder for all models.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.examples import CHECKED_AT_ONCE, Examples, TrainingData, check_examples
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.gradient_boosting.checkpoint import TreeCheckpoints
from airflow_provider_mlfeat.training.gradient_boosting.failures import check_device, explained
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
    :param seconds: how long boosting took, that of earlier tries included.
    :param resumed_from: how many trees the checkpoint had that this try began with; None for a try from the start.
    """

    booster: xgb.Booster
    epochs: tuple[dict[str, float], ...]
    best: int
    seconds: float
    resumed_from: int | None = None

    def scores(self, examples: Examples) -> npt.NDArray[np.float32]:
        """Probabilities as XGBoost computes them: what the exported graph is compared with."""
        scores = self.booster.inplace_predict(columns_of(examples), missing=np.nan)
        return np.asarray(scores, dtype=np.float32)


def boost(
    data: TrainingData,
    settings: BoostingSettings,
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
    checkpoints: Path | None = None,
) -> BoostedTrees:
    """Boost trees on the training rows until the validation rows are no better for it.

    :param data: what is learned from and judged by.
    :param settings: how.
    :param progress: told of each tree.
    :param cancellation: asked after each tree whether to go on.
    :param checkpoints: a folder of this run alone; a run that finds its own checkpoint there goes on from it, and ends
        with the same trees.
    """
    _check(data)
    progress.stage("boost", total=settings.trees, unit="trees")
    with explained(settings):
        run = _Run(data, settings, checkpoints)
        progress.advance(len(run.epochs))
        while not run.is_over:
            found = run.grow()
            progress.advance(1)
            progress.metric(auc=found["valid_auc"], logloss=found["valid_logloss"])
            cancellation.check()
    best = run.best if settings.patience else len(run.epochs)
    return BoostedTrees(run.booster[:best], tuple(run.epochs), best, run.seconds, run.resumed_from)


class _Run:
    """Grows trees one after the other.

    :param data: what is learned from and judged by.
    :param settings: how.
    :param directory: of checkpoints, or None.
    """

    def __init__(self, data: TrainingData, settings: BoostingSettings, directory: Path | None) -> None:
        names = [*data.layout.names, *data.layout.value_names]
        self._settings, self._rows = settings, len(data.train)
        self._train = xgb.QuantileDMatrix(
            columns_of(data.train), label=data.train.labels, feature_names=names, max_bin=settings.bins
        )
        valid = xgb.QuantileDMatrix(
            columns_of(data.valid), label=data.valid.labels, feature_names=names, ref=self._train
        )
        self._judged = [(self._train, "train"), (valid, "valid")]
        self._checkpoints = None if directory is None else TreeCheckpoints(directory, _identity(data, settings))
        found = self._checkpoints.newest() if self._checkpoints is not None else None
        self.epochs: list[dict[str, float]] = [] if found is None else [dict(one) for one in found.epochs]
        self.booster = self._booster(None if found is None else found.trees.read_bytes())
        self.resumed_from = None if found is None else len(self.epochs)
        self._earlier = 0.0 if found is None else found.seconds
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the run began, that of earlier tries included."""
        return self._earlier + time.perf_counter() - self._began

    @property
    def best(self) -> int:
        """The first tree with the lowest validation logloss, from 1."""
        return int(np.argmin([epoch["valid_logloss"] for epoch in self.epochs])) + 1

    @property
    def is_over(self) -> bool:
        """Whether there are trees enough, or the last ones were of no use."""
        done, patience = len(self.epochs), self._settings.patience
        return done >= self._settings.trees or bool(patience and done and done - self.best >= patience)

    def grow(self) -> dict[str, float]:
        """One more tree; its metrics."""
        number = len(self.epochs)
        self.booster.update(self._train, number)
        if self._settings.device == "cuda" and not number:
            check_device(self.booster)
        judged = str(self.booster.eval_set(self._judged, number)).split()[1:]
        found = {name.replace("-", "_"): float(value) for name, _, value in (one.partition(":") for one in judged)}
        # The curves of all models have the same names.
        found["train_loss"] = found.pop("train_logloss")
        seconds = max(self.seconds, 1e-9)
        rate = self._rows * (number + 1) / seconds
        self.epochs.append({"epoch": number + 1, **found, "rows_per_second": round(rate, 1), "seconds": seconds})
        every = self._settings.checkpoint_trees
        if every and (number + 1) % every == 0:
            if self._checkpoints is not None:
                self._checkpoints.save(self.booster, self.epochs, self.seconds)
            if self._settings.column_share < 1:
                # XGBoost's sampler of columns remembers the trees that it has served, and no file holds that: it begins
                # anew here, whether the run is broken or not.
                self.booster = self._booster(bytes(self.booster.save_raw("ubj")))
        return found

    def _booster(self, trees: bytes | None) -> xgb.Booster:
        cached = [examples for examples, _ in self._judged]
        return xgb.Booster(_parameters(self._settings), cached, None if trees is None else bytearray(trees))


def _identity(data: TrainingData, settings: BoostingSettings) -> dict[str, Any]:
    """What has to be equal for a run to go on from another's checkpoint."""
    chosen = settings.model_dump(mode="json", exclude={"trees", "patience", "device", "threads"})
    return {**chosen, "fields": data.layout.to_document(), "dataset": data.fingerprint}


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
        # Which rows and columns a tree sees depends on its number alone, not on the trees that this process has grown.
        "seed_per_iteration": True,
    }
