"""The rows that a model learns from and is judged by, and the checks before any work is done on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.fields import FieldLayout

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
CHECKED_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Examples:
    """Rows of one split, in memory or mapped from files.

    :param ids: int32 [rows, id fields], dense per field.
    :param values: float32 [rows, value fields].
    :param labels: float32 [rows], 0 or 1.
    """

    ids: Ids
    values: Floats
    labels: Floats

    def __len__(self) -> int:
        return len(self.labels)

    def blocks(self, rows: int) -> Iterator[Examples]:
        """The rows in order, so many at a time."""
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            yield Examples(self.ids[part], self.values[part], self.labels[part])

    def take(self, index: npt.NDArray[np.int64]) -> Examples:
        """Copies of the rows at `index`."""
        return Examples(self.ids[index], self.values[index], self.labels[index])


@dataclass(frozen=True)
class TrainingData:
    """What training needs of a dataset.

    :param layout: its fields.
    :param train: the rows that the model learns from.
    :param valid: the rows that choose the epoch.
    :param fingerprint: of the dataset.
    :param folder: of the dataset, which processes that train together open for themselves.
    """

    layout: FieldLayout
    train: Examples
    valid: Examples
    fingerprint: str = ""
    folder: Path | None = None

    def check(self) -> None:
        """Refuse rows that no model can learn from, before any work is lost."""
        for name, examples in (("train", self.train), ("valid", self.valid)):
            check_examples(name, examples, self.layout)


@dataclass(frozen=True)
class Counts:
    """Exact counts of a split.

    :param rows: all of them.
    :param positives: those with label 1.
    """

    rows: int
    positives: int


def check_examples(name: str, examples: Examples, layout: FieldLayout) -> Counts:
    """Count a split's rows and positives; refuse what cannot be trained on or judged by."""
    rows = len(examples)
    if rows == 0:
        raise UserError(f"split '{name}' has no rows: choose other boundaries of the split")
    if examples.ids.shape != (rows, len(layout.names)):
        raise UserError(
            f"split '{name}' has ids of shape {examples.ids.shape}, not {(rows, len(layout.names))}: build it anew"
        )
    if examples.values.shape != (rows, len(layout.value_names)):
        raise UserError(
            f"split '{name}' has values of shape {examples.values.shape},"
            f" not {(rows, len(layout.value_names))}: build it anew"
        )
    positives, start = 0, 0
    sizes = np.asarray(layout.sizes)
    for block in examples.blocks(CHECKED_AT_ONCE):
        _check_block(name, block, layout, sizes, start)
        positives += int(np.count_nonzero(block.labels))
        start += len(block)
    if positives in (0, rows):
        label = 1 if positives else 0
        raise UserError(
            f"split '{name}' has only rows with label {label} ({rows} of {rows}):"
            " a classifier needs both classes; check the label column or the split"
        )
    return Counts(rows, positives)


def _check_block(name: str, block: Examples, layout: FieldLayout, sizes: npt.NDArray[Any], start: int) -> None:
    """One block's labels, values and ids."""
    wrong = np.flatnonzero((block.labels != 0) & (block.labels != 1))
    if len(wrong):
        row, label = int(wrong[0]), block.labels[wrong[0]]
        said = "null" if np.isnan(label) else f"{label:g}"
        raise UserError(
            f"split '{name}', row {start + row}: label is {said}, not 0 or 1: clean the label before building"
        )
    if block.values.size and not np.isfinite(block.values).all():
        row, column = map(int, np.argwhere(~np.isfinite(block.values))[0])
        raise UserError(
            f"split '{name}', row {start + row}: field '{layout.value_names[column]}' is"
            f" {block.values[row, column]}: give the field a rule for missing values"
        )
    if len(sizes):
        low, high = block.ids.min(axis=0), block.ids.max(axis=0)
        outside = np.flatnonzero((low < 0) | (high >= sizes))
        if len(outside):
            field = int(outside[0])
            raise UserError(
                f"split '{name}': field '{layout.names[field]}' has ids from {low[field]} to {high[field]}, but"
                f" its encoder knows {sizes[field]}: the dataset does not belong to the encoder, build it anew"
            )


def concatenate(parts: Sequence[Examples]) -> Examples:
    """The rows of several parts as one, copied only where there are several."""
    if len(parts) == 1:
        return parts[0]
    return Examples(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
