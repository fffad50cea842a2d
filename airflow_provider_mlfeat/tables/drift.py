"""How far a column's values have moved since a baseline: the population stability index.

PSI = Σ (now - then) · ln(now / then) over bins of values, where `now` and `then` are shares of rows. A number's bins
are cut at the baseline's deciles, a text's are the baseline's most frequent values and one for all others; NULL is a
bin, and NaN too. The usual reading: below 0.1 nothing, to 0.2 something, above it another population. A share of 0 is
taken as one half of a row's, so that a new bin weighs much and not infinitely.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.statistics import ColumnStatistics, numbers_of, shown, type_words

_DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Drift:
    """The index of one column, fed in blocks.

    :param baseline: what the column held before.
    :param type_: the column's type now.
    """

    def __init__(self, baseline: ColumnStatistics, type_: pa.DataType) -> None:
        words = type_words(type_)
        numeric = pa.types.is_integer(type_) or pa.types.is_floating(type_)
        kinds = ("smallint", "int", "bigint", "float", "double")
        if words != baseline.type and not (numeric and baseline.type in kinds):
            raise UserError(f"'{baseline.name}' was {baseline.type} in the baseline and is {words} now")
        if not baseline.rows:
            raise UserError(f"the baseline of '{baseline.name}' has no rows to compare with")
        self._type = type_.value_type if pa.types.is_dictionary(type_) else type_
        self._baseline = baseline
        self._is_number = numeric or pa.types.is_temporal(type_)
        valid = baseline.rows - baseline.nulls - baseline.nans
        if self._is_number:
            by_share = dict(zip(dict(baseline.quantiles), baseline.sample, strict=True))
            cuts = {dict(baseline.quantiles)[share]: by_share[share] for share in _DECILES} if by_share else {}
            self._edges = np.array(list(cuts))
            below = np.array([0.0, *cuts.values(), 1.0])
            self._then = np.diff(below) * valid
        else:
            self._values = [value for value, _ in baseline.top]
            counts = [count for _, count in baseline.top]
            self._then = np.array([*counts, max(0, valid - sum(counts))], np.float64)
        self._then = np.concatenate([self._then, [baseline.nulls, baseline.nans]])
        self._now: NDArray[np.float64] = np.zeros(len(self._then))

    def add(self, array: pa.Array) -> None:
        """Count a block."""
        array = array.cast(self._type)
        self._now[-2] += array.null_count
        array = array.drop_null()
        if self._is_number:
            values = numbers_of(array)
            nans = np.isnan(values)
            self._now[-1] += int(nans.sum())
            places = np.searchsorted(self._edges, values[~nans], side="left")
            self._now[:-2] += np.bincount(places, minlength=len(self._now) - 2)
            return
        counted = pc.value_counts(array)
        places_of = {value: place for place, value in enumerate(self._values)}
        for value, count in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
            self._now[places_of.get(shown(value), len(self._values))] += count

    def index(self) -> float:
        """The population stability index."""
        rows_then, rows_now = self._baseline.rows, self._now.sum()
        used = (self._then > 0) | (self._now > 0)
        then = np.maximum(self._then[used], 0.5) / rows_then
        now = np.maximum(self._now[used], 0.5) / rows_now
        return math.fsum((now - then) * np.log(now / then))
