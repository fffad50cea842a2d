"""Metrics of parts of the rows: by the values of a feature column, so that a model that fails some rows is seen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics

# Values that a column is shown with; rarer ones are one slice together.
_MOST_VALUES = 10
_QUANTILES = (0.25, 0.5, 0.75)
_SHOWN = ("auc", "logloss", "calibration_ratio", "positive_rate", "mean_score")

Slice = dict[str, Any]


def compute_slices(
    features: pa.Table, columns: tuple[str, ...], labels: npt.NDArray[Any], scores: npt.NDArray[Any]
) -> dict[str, list[Slice]]:
    """Column → its slices, most rows first. Every row is in exactly one slice of each column."""
    unknown = [column for column in columns if column not in features.column_names]
    if unknown:
        raise UserError(
            f"slice column '{unknown[0]}' is none of the dataset's features: {', '.join(features.column_names)}"
        )
    return {column: _slices(features.column(column), labels, scores) for column in columns}


def _slices(column: pa.ChunkedArray, labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> list[Slice]:
    names, groups = _groups(column)
    found = []
    for number, name in enumerate(names):
        rows = np.flatnonzero(groups == number)
        if not rows.size:
            continue
        metrics = compute_metrics(labels[rows], scores[rows])
        found.append(
            {
                "value": name,
                "rows": int(rows.size),
                "positives": int((labels[rows] == 1).sum()),
                **{metric: metrics[metric] for metric in _SHOWN},
            }
        )
    return sorted(found, key=lambda one: -int(one["rows"]))


def _groups(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[Any]]:
    """Names of groups, and the group of each row."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = pc.strftime(column, format="%Y-%m-%d")
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    values = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    if len(values) > _MOST_VALUES and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return _quantile_groups(column)
    frequent = np.argsort(-np.bincount(codes, minlength=len(values)), kind="stable")[:_MOST_VALUES]
    place = np.full(len(values), len(frequent))
    place[frequent] = np.arange(len(frequent))
    return [*(_text(values[code]) for code in frequent), "(others)"], place[codes]


def _quantile_groups(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[Any]]:
    numbers = column.cast(pa.float64()).to_numpy()
    known = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(known, _QUANTILES))
    bounds = [known.min(), *edges, known.max()]
    names = [f"{low:.6g} to {high:.6g}" for low, high in pairwise(bounds)]
    groups = np.where(np.isnan(numbers), len(names), np.searchsorted(edges, numbers, side="left"))
    return [*names, "NULL"], groups


def _text(value: object) -> str:
    return "NULL" if value is None else str(value) if value != "" else "''"
