"""What the columns of a table hold: one pass over record batches, in constant memory.

Batches of any size are cut into blocks of one size, so the figures depend on the rows and their order alone, never
on how they came in batches. Exact: rows, nulls, NaN, minimum, maximum, mean, the histogram, and, up to
`value_counts.LIMIT` different values, distinct and top values; `value_counts` says how they are estimated beyond it.
Quantiles come from `SAMPLE` rows drawn at random with a fixed seed, so they are exact for smaller tables.

NaN is a value, not a null: it counts as one distinct value and takes no part in minimum, maximum, mean, quantiles and
histogram; infinities take no part in the mean and the histogram. A date or timestamp is written as ISO 8601 text, and
in numbers (quantiles, histogram) it is days or milliseconds since 1970.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.tables.blocks import blocks
from airflow_provider_mlfeat.tables.histograms import Histogram, HistogramBuilder
from airflow_provider_mlfeat.tables.value_counts import LIMIT, ValueCounts, as_integers

SAMPLE = 8_192
TOP = 20
QUANTILES = (0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95)
_LONGEST_TEXT = 200
_SEED = 20_240_229

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What one column holds.

    :param name: the column.
    :param type: its type, in the language's words where it has one.
    :param rows: rows of the table.
    :param nulls: how many are NULL.
    :param nans: how many are NaN.
    :param distinct: different values, without NULL.
    :param distinct_is_exact: whether that number and the counts of `top` are counted and not estimated.
    :param min: the smallest value; long texts are cut.
    :param max: the largest value; long texts are cut.
    :param mean: of numbers; the share of true for bools.
    :param top: the most frequent values and their counts (lower bounds when not exact), the most frequent first.
    :param quantiles: value by share of the values below it, of numbers, dates and timestamps.
    :param histogram: of numbers, dates and timestamps.
    :param sample: at most `SAMPLE` rows' share of values below or at each of `quantiles`, for drift.
    """

    name: str
    type: str
    rows: int
    nulls: int
    nans: int = 0
    distinct: int | None = None
    distinct_is_exact: bool = True
    min: Value | None = None
    max: Value | None = None
    mean: float | None = None
    top: tuple[tuple[Value, int], ...] = ()
    quantiles: tuple[tuple[float, float], ...] = ()
    histogram: Histogram | None = None
    sample: tuple[float, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """The JSON form, without anything that JSON has no word for."""
        document: dict[str, Any] = _plain(asdict(self))
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ColumnStatistics:
        """The statistics of a JSON form."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        known["top"] = tuple((_value(value), count) for value, count in known.get("top", ()))
        known["quantiles"] = tuple((share, _value(value)) for share, value in known.get("quantiles", ()))
        known["sample"] = tuple(known.get("sample", ()))
        known |= {name: _value(known.get(name)) for name in ("min", "max")} if known["type"] in _FLOATS else {}
        histogram = known.get("histogram")
        known["histogram"] = histogram and Histogram(histogram["low"], histogram["width"], tuple(histogram["counts"]))
        return cls(**known)


_FLOATS = ("float", "double")
_WORDS = {
    pa.bool_(): "bool",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.string_view(): "string",
    pa.date32(): "date",
}


def type_words(type_: pa.DataType) -> str:
    """A type in the language's words, or Arrow's where the language has none."""
    if pa.types.is_timestamp(type_):
        return "timestamp"
    if pa.types.is_dictionary(type_):
        return type_words(type_.value_type)
    return _WORDS.get(type_, str(type_))


def collect_statistics(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> tuple[ColumnStatistics, ...]:
    """Statistics of all columns, in one pass."""
    collector = StatisticsCollector(schema)
    for block in blocks(batches):
        collector.add(block)
    return collector.finish()


class StatisticsCollector:
    """Statistics under construction, for a pass over blocks that does something else too.

    :param schema: of the batches.
    :param limit: how many distinct values of a column are counted exactly.
    """

    def __init__(self, schema: pa.Schema, limit: int = LIMIT) -> None:
        self._columns = [_Column(field, limit) for field in schema]
        self._blocks = 0
        self._priorities: NDArray[np.float64] = np.zeros(0)
        self.rows = 0

    def add(self, block: pa.RecordBatch) -> None:
        """Take a block in; all but the last have `ROWS` rows (`blocks.blocks` cuts them so)."""
        self.rows += block.num_rows
        # A random number per row decides who is in the sample: the smallest ones, whatever comes later.
        drawn = np.random.Generator(np.random.Philox(key=_SEED + self._blocks)).random(block.num_rows)
        self._blocks += 1
        priorities = np.concatenate([self._priorities, drawn])
        kept = np.arange(len(priorities))
        if len(priorities) > SAMPLE:
            kept = np.sort(np.argpartition(priorities, SAMPLE)[:SAMPLE])
        before = len(self._priorities)
        old, new = kept[kept < before], kept[kept >= before] - before
        self._priorities = priorities[kept]
        for column, array in zip(self._columns, block.columns, strict=True):
            column.add(array, old, new)

    def finish(self) -> tuple[ColumnStatistics, ...]:
        """The statistics of all rows."""
        return tuple(column.finish(self.rows) for column in self._columns)


class _Column:
    """The statistics of one column under construction."""

    def __init__(self, field: pa.Field, limit: int) -> None:
        self._name, self._words = field.name, type_words(field.type)
        type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_decimal(type_):
            type_ = pa.float64()
        self._type = type_
        self._is_number = pa.types.is_integer(type_) or pa.types.is_floating(type_)
        self._is_temporal = pa.types.is_date32(type_) or pa.types.is_timestamp(type_)
        self._is_bool = pa.types.is_boolean(type_)
        is_text = self._words == "string"
        self._counts = (
            ValueCounts(type_, limit) if self._is_number or self._is_temporal or self._is_bool or is_text else None
        )
        self._histogram = HistogramBuilder(whole=not pa.types.is_floating(type_))
        self._sample: NDArray[np.float64] = np.zeros(0)
        self._sums: list[float] = []
        self._whole_sum = 0
        self._nulls = self._nans = self._infinite = 0
        self._min: Any = None
        self._max: Any = None

    def add(self, array: pa.Array, old: NDArray[np.int64], new: NDArray[np.int64]) -> None:
        """Take a block in; `old` and `new` are the sample's places among its rows so far and among the block's."""
        self._nulls += array.null_count
        if array.type != self._type:
            array = array.cast(self._type)
        if self._counts is None:
            return
        if self._is_number or self._is_temporal:
            values = numbers_of(array)
            self._sample = np.concatenate([self._sample[old], values[new]])
            valid = values if not array.null_count else values[array.is_valid().to_numpy(zero_copy_only=False)]
            array = array.drop_null()
            self._add_numbers(array, valid)
            if pa.types.is_floating(self._type) and len(array):
                # -0 and 0 are the same value.
                array = pc.add(array, pa.scalar(0.0, self._type))
        else:
            array = array.drop_null()
            self._whole_sum += array.true_count if self._is_bool else 0
        self._counts.add(array)
        self._add_range(array)

    def _add_numbers(self, array: pa.Array, values: NDArray[np.float64]) -> None:
        finite = values
        if pa.types.is_floating(self._type):
            self._nans += int(np.isnan(values).sum())
            finite = values[np.isfinite(values)]
            self._infinite += len(values) - len(finite)
            self._sums.append(float(finite.sum()))
        elif self._is_number and len(array):
            # Halves, because a sum of 64-bit numbers may need more bits.
            whole = as_integers(array)
            self._whole_sum += (int((whole >> 32).sum()) << 32) + int((whole & 0xFFFFFFFF).sum())
        self._histogram.add(finite)

    def _add_range(self, array: pa.Array) -> None:
        if pa.types.is_floating(self._type):
            array = array.filter(pc.invert(pc.is_nan(array)))
        if not len(array):
            return
        found = pc.min_max(array).as_py()
        self._min = found["min"] if self._min is None else min(self._min, found["min"])
        self._max = found["max"] if self._max is None else max(self._max, found["max"])

    def finish(self, rows: int) -> ColumnStatistics:
        """The statistics."""
        quantiles, sample = self._quantiles()
        counts = self._counts
        return ColumnStatistics(
            name=self._name,
            type=self._words,
            rows=rows,
            nulls=self._nulls,
            nans=self._nans,
            distinct=None if counts is None else counts.distinct(),
            distinct_is_exact=counts is None or counts.is_exact,
            min=shown(self._min),
            max=shown(self._max),
            mean=self._mean(rows - self._nulls),
            top=() if counts is None else tuple((shown(value), count) for value, count in counts.top(TOP)),
            quantiles=quantiles,
            histogram=self._histogram.finish(),
            sample=sample,
        )

    def _mean(self, values: int) -> float | None:
        if pa.types.is_floating(self._type):
            values -= self._infinite
            return math.fsum(self._sums) / values if values else None
        if (self._is_number or self._is_bool) and values:
            return self._whole_sum / values
        return None

    def _quantiles(self) -> tuple[tuple[tuple[float, float], ...], tuple[float, ...]]:
        values = np.sort(self._sample[~np.isnan(self._sample)])
        if not len(values):
            return (), ()
        cuts = np.quantile(values, QUANTILES, method="inverted_cdf")
        below = np.searchsorted(values, cuts, side="right") / len(values)
        return tuple(zip(QUANTILES, cuts.tolist(), strict=True)), tuple(below.tolist())


def numbers_of(array: pa.Array) -> NDArray[np.float64]:
    """Numbers, dates (days) and timestamps (milliseconds) as doubles; NULL is NaN."""
    if pa.types.is_floating(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False), np.float64)
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("ms", array.type.tz), safe=False)
    values = as_integers(array).astype(np.float64)
    if array.null_count:
        values[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return values


def shown(value: Any) -> Any:
    """A value as statistics keep it: ISO 8601 for points in time, long texts cut."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[:_LONGEST_TEXT] + "…"
    return value


def _plain(value: Any) -> Any:
    """Without the numbers that JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": repr(value)}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _value(value: Any) -> Any:
    return float(value["number"]) if isinstance(value, dict) else value
