"""A model's scores of a split, by the dataset's own encoding or by the model's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.reporting import TrainingCancellation, TrainingProgress
from airflow_provider_mlfeat.training.splits import examples_of
from airflow_provider_mlfeat.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.folder import Dataset

_BATCH = 65_536


def rows_for(model: TrainedModel, dataset: Dataset, split: str, encoder: str) -> Examples:
    """The rows of a split as the model understands them; raises UserError where it does not.

    :param model: the model.
    :param dataset: the dataset.
    :param split: which of its splits.
    :param encoder: ``same`` demands that dataset and model share the encoder; ``model`` encodes the rows' raw features
        anew with the model's.
    """
    stored = examples_of(dataset, split)
    if not len(stored):
        raise UserError(f"split '{split}' of {dataset.folder} has no rows")
    known, ours = model.manifest.encoder_fingerprint, dataset.manifest.encoder_fingerprint
    if encoder == "same" and known != ours:
        raise UserError(
            f"the dataset's encoder is {ours[:12]} and the model's {known[:12]}: train on this dataset, or evaluate "
            "with encoder 'model', which encodes the raw features anew"
        )
    if known == ours:
        return stored
    features = dataset.features(split)
    lacking = [column for column in model.encoder.columns if column not in features.column_names]
    if lacking:
        raise UserError(f"the model reads feature '{lacking[0]}', which the dataset lacks")
    encoded = [model.encoder.encode(batch) for batch in features.to_batches(max_chunksize=_BATCH)]
    return Examples(
        np.concatenate([one.ids for one in encoded]), np.concatenate([one.values for one in encoded]), stored.labels
    )


def score(
    model: TrainedModel, examples: Examples, progress: TrainingProgress, cancellation: TrainingCancellation
) -> npt.NDArray[np.float32]:
    """Probabilities of all rows, each once, a part of them at a time."""
    return np.concatenate([*_scores(model, examples, progress, cancellation), np.zeros(0, dtype=np.float32)])


def _scores(
    model: TrainedModel, examples: Examples, progress: TrainingProgress, cancellation: TrainingCancellation
) -> Iterator[npt.NDArray[np.float32]]:
    for block in examples.blocks(_BATCH):
        cancellation.check()
        yield model.predict(block.ids, block.values)
        progress.advance(len(block))
