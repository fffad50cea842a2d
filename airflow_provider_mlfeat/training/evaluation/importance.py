"""Which features a model uses: how much worse it gets when one field's values are shuffled among the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics
from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.reporting import TrainingCancellation, TrainingProgress

Predict = Callable[[npt.NDArray[np.int32], npt.NDArray[np.float32]], npt.NDArray[np.float32]]

# A model scores each row once per field, so wide tables get fewer rows. AUC does not mind that the sample holds more
# positives than the split.
_PREDICTIONS = 400_000
_MOST_ROWS, _FEWEST_ROWS = 20_000, 2_000


@dataclass(frozen=True, slots=True)
class Importance:
    """A field's importance.

    :param field: its name; all columns of a field that has several are shuffled together.
    :param auc_lost: AUC with the field minus AUC with its values shuffled.
    """

    field: str
    auc_lost: float


def permutation_importance(
    predict: Predict,
    examples: Examples,
    names: Sequence[str],
    value_names: Sequence[str],
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
    seed: int = 0,
) -> tuple[Importance, ...]:
    """The importance of every field, the greatest first; empty where the rows hold one class only.

    :param predict: the model.
    :param examples: rows that it was not trained on.
    :param names: field of each column of ids.
    :param value_names: field of each column of values.
    :param progress: told after each field.
    :param cancellation: asked after each field.
    :param seed: of the sample and the shuffles.
    """
    random = np.random.default_rng(seed)
    sample = examples.take(_sample(examples.labels, len(names) + len(value_names), random))
    whole = compute_metrics(sample.labels, predict(sample.ids, sample.values))["auc"]
    if whole is None:
        return ()
    fields = list(dict.fromkeys([*names, *value_names]))
    progress.stage("importance", total=len(fields), unit="fields")
    found = []
    for field in fields:
        cancellation.check()
        order = random.permutation(len(sample))
        ids, values = sample.ids.copy(), sample.values.copy()
        for columns, matrix in ((names, ids), (value_names, values)):
            for place in (place for place, name in enumerate(columns) if name == field):
                matrix[:, place] = matrix[order, place]
        lost = compute_metrics(sample.labels, predict(ids, values))["auc"]
        assert lost is not None
        found.append(Importance(field, whole - lost))
        progress.advance()
    return tuple(sorted(found, key=lambda one: -one.auc_lost))


def _sample(labels: npt.NDArray[np.float32], fields: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows of the split in order; up to half of them are positive."""
    wanted = min(_MOST_ROWS, max(_FEWEST_ROWS, _PREDICTIONS // max(fields, 1)))
    if len(labels) <= wanted:
        return np.arange(len(labels))
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels != 1)
    taken = min(len(positives), max(wanted // 2, wanted - len(negatives)))
    chosen = [random.choice(positives, taken, replace=False), random.choice(negatives, wanted - taken, replace=False)]
    return np.sort(np.concatenate(chosen))
