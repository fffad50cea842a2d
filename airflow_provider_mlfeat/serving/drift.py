"""Drift: how far what is asked for has moved from what the model was trained on.

Each feature's requests are put into the same bins as its training rows. The population stability index says how far the
two distributions are apart; below 0.1 is usual, above 0.25 is another population.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.errors import UserError

_BINS = 10
_MOST_VALUES = 50
# A bin that one side lacks counts as this share of a row, so that the index stays a number.
_SMOOTHING = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on drift is a breach.

    :param stability_index: of a column.
    :param null_share: by how much the share of NULL may differ.
    :param score_shift: by how much the mean probability may differ, in standard deviations of training.
    :param rows: fewer requests than these decide nothing.
    """

    stability_index: float = 0.25
    null_share: float = 0.1
    score_shift: float = 0.5
    rows: int = 200


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far a column has moved.

    :param column: its name.
    :param stability_index: of the values that are not NULL; None where there are none on either side.
    :param null_share_trained: share of NULL in training.
    :param null_share_served: share of NULL in requests.
    :param breach: what is beyond its limit, in words; empty is fine.
    """

    column: str
    stability_index: float | None
    null_share_trained: float
    null_share_served: float
    breach: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """What a comparison found.

    :param requests: how many requests were looked at.
    :param columns: per feature.
    :param score_shift: of the mean probability, in standard deviations of training; None without probabilities.
    :param decided: whether there were enough requests to tell.
    :param breaches: all that is beyond its limit, in words.
    """

    requests: int
    columns: tuple[ColumnDrift, ...]
    score_shift: float | None = None
    decided: bool = True
    breaches: tuple[str, ...] = field(default=())

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def compare(
    trained: pa.Table,
    served: pa.Table,
    limits: Limits,
    *,
    scores: Mapping[str, np.ndarray] | None = None,
    ignore: tuple[str, ...] = (),
) -> Drift:
    """Compare the columns that both sides have.

    :param trained: rows of the training data.
    :param served: rows of the request log.
    :param limits: from where on drift is a breach.
    :param scores: probabilities of both sides, ``trained`` and ``served``.
    :param ignore: columns to leave out: ids and points in time differ by their nature.
    """
    names = [name for name in trained.column_names if name in set(served.column_names) and name not in ignore]
    if not names:
        raise UserError("training data and request log have no column in common")
    columns = tuple(_column(name, trained.column(name), served.column(name), limits) for name in names)
    breaches = [f"'{one.column}': {one.breach}" for one in columns if one.breach]
    shift = None
    if scores is not None and scores["served"].size and scores["trained"].size:
        spread = float(scores["trained"].std()) or 1e-9
        shift = float(abs(scores["served"].mean() - scores["trained"].mean()) / spread)
        if shift > limits.score_shift:
            breaches.append(f"the mean probability moved by {shift:.2f} standard deviations")
    decided = served.num_rows >= limits.rows
    return Drift(served.num_rows, columns, shift, decided, tuple(breaches) if decided else ())


def _column(name: str, trained: pa.ChunkedArray, served: pa.ChunkedArray, limits: Limits) -> ColumnDrift:
    shares = _null_share(trained), _null_share(served)
    index = stability_index(trained, served)
    breach = ""
    if index is not None and index > limits.stability_index:
        breach = f"stability index {index:.2f} is above {limits.stability_index:g}"
    elif abs(shares[0] - shares[1]) > limits.null_share:
        breach = f"{shares[1]:.1%} are NULL, {shares[0]:.1%} were in training"
    return ColumnDrift(name, index, shares[0], shares[1], breach)


def _null_share(column: pa.ChunkedArray) -> float:
    return float(column.null_count) / max(len(column), 1)


def stability_index(trained: pa.ChunkedArray, served: pa.ChunkedArray) -> float | None:
    """The population stability index of two columns; None where one of them has no value."""
    one, other = (_values(column) for column in (trained, served))
    if len(one) == 0 or len(other) == 0:
        return None
    if pa.types.is_floating(one.type) or pa.types.is_integer(one.type):
        counts = _numeric(one, other)
    else:
        counts = _categories(one, other)
    shares = [(side + _SMOOTHING) / (side + _SMOOTHING).sum() for side in counts]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _values(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks().drop_null()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("ms")).cast(pa.int64())
    return array


def _numeric(trained: pa.Array, served: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Counts in the bins that hold about the same number of training rows each."""
    one, other = (np.asarray(side.to_numpy(zero_copy_only=False), np.float64) for side in (trained, served))
    one, other = one[~np.isnan(one)], other[~np.isnan(other)]
    if np.unique(one).size <= _BINS:
        return _categories(pa.array(one), pa.array(other))
    edges = np.unique(np.quantile(one, np.arange(1, _BINS) / _BINS))
    counts = [
        np.bincount(np.searchsorted(edges, side, side="right"), minlength=edges.size + 1) for side in (one, other)
    ]
    return counts[0].astype(float), counts[1].astype(float)


def _categories(trained: pa.Array, served: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the commonest training values, and of all others together."""
    counted = pc.value_counts(trained)
    values, counts = counted.field("values"), np.asarray(counted.field("counts").to_numpy())
    commonest = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    known = values.take(pa.array(commonest))
    places = pc.index_in(served.cast(known.type, safe=False), value_set=known)
    found = places.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    one = np.append(counts[commonest], counts.sum() - counts[commonest].sum())
    other = np.append(np.bincount(found, minlength=commonest.size), len(served) - found.size)
    return one.astype(float), other.astype(float)
