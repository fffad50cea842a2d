"""From a dataset's folder to the rows that models are trained on and judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mlfeat.training.examples import Examples, TrainingData
from airflow_provider_mlfeat.training.fields import FieldLayout

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.folder import Dataset

# Splits that a model is judged by, the one that nothing was chosen by first.
JUDGED_SPLITS = ("test", "valid")


def layout_of(dataset: Dataset) -> FieldLayout:
    """The fields of a dataset."""
    manifest = dataset.manifest
    return FieldLayout(
        names=tuple(str(field["name"]) for field in manifest.fields),
        sizes=tuple(int(field["size"]) for field in manifest.fields),
        value_names=tuple(str(value["name"]) for value in manifest.values),
    )


def examples_of(dataset: Dataset, split: str) -> Examples:
    """The rows of a split, mapped into memory."""
    rows = dataset.split(split)
    return Examples(rows.ids, rows.values, rows.labels)


def training_data(dataset: Dataset) -> TrainingData:
    """What training needs of a dataset."""
    return TrainingData(
        layout=layout_of(dataset),
        train=examples_of(dataset, "train"),
        valid=examples_of(dataset, "valid"),
        fingerprint=dataset.manifest.fingerprint,
        folder=dataset.folder,
    )


def judged_splits(dataset: Dataset) -> dict[str, Examples]:
    """The splits with rows that a model can be judged by."""
    return {name: examples_of(dataset, name) for name in JUDGED_SPLITS if dataset.manifest.rows.get(name)}
