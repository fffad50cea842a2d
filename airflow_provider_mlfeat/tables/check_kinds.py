"""What each kind of check measures, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.errors import nearest_name
from airflow_provider_mlfeat.tables.drift import Drift
from airflow_provider_mlfeat.tables.statistics import ColumnStatistics, shown
from airflow_provider_mlfeat.tables.value_counts import hash_values, mix

if TYPE_CHECKING:
    from airflow_provider_mlfeat.tables.checks import Check

Outcome = tuple[bool, str, str]
_EXAMPLES = 3


class Measure(Protocol):
    """A check at work: it sees all blocks, then says whether it holds, what it found, and what was expected."""

    def add(self, block: pa.RecordBatch) -> None: ...

    def finish(self, rows: int) -> Outcome: ...


class _RowCount:
    def __init__(self, check: Check) -> None:
        self._check = check

    def add(self, block: pa.RecordBatch) -> None:
        """Rows are counted by the caller."""

    def finish(self, rows: int) -> Outcome:
        low, high = self._check.minimum, self._check.maximum
        passed = (low is None or rows >= float(low)) and (high is None or rows <= float(high))
        return passed, f"{rows} rows", _interval(low, high, "rows")


class _Nulls:
    def __init__(self, check: Check) -> None:
        self._check, self._nulls = check, 0

    def add(self, block: pa.RecordBatch) -> None:
        self._nulls += int(block.column(self._check.columns[0]).null_count)

    def finish(self, rows: int) -> Outcome:
        share, most = self._check.maximum_share, self._check.maximum
        if share is None and most is None:
            most = 0
        found = f"{self._nulls} NULLs" + (f" ({self._nulls / rows:.2%})" if rows else "")
        limits = [] if most is None else [f"at most {most} NULLs"]
        limits += [] if share is None else [f"at most {share:.2%} NULLs"]
        passed = (most is None or self._nulls <= float(most)) and (share is None or self._nulls <= share * rows)
        return passed, found, ", ".join(limits)


class _Range:
    def __init__(self, check: Check, schema: pa.Schema) -> None:
        self._check, self._type = check, schema.field(check.columns[0]).type
        self._low, self._high = (_as_type(bound, self._type, check) for bound in (check.minimum, check.maximum))
        self._outside = 0
        self._examples: list[Any] = []

    def add(self, block: pa.RecordBatch) -> None:
        values = block.column(self._check.columns[0])
        outside = pa.scalar(False)
        if self._low is not None:
            outside = pc.or_(outside, pc.less(values, self._low))
        if self._high is not None:
            outside = pc.or_(outside, pc.greater(values, self._high))
        if pa.types.is_floating(self._type):
            # NaN is in no range.
            outside = pc.or_(outside, pc.is_nan(values))
        wrong = values.filter(pc.fill_null(outside, False))
        self._outside += len(wrong)
        self._examples += wrong.slice(0, max(0, _EXAMPLES - len(self._examples))).to_pylist()

    def finish(self, rows: int) -> Outcome:
        expected = _interval(self._check.minimum, self._check.maximum, "")
        return not self._outside, _wrong(self._outside, self._examples, "outside"), expected


class _AllowedValues:
    def __init__(self, check: Check, schema: pa.Schema) -> None:
        self._check = check
        type_ = schema.field(check.columns[0]).type
        self._type = type_.value_type if pa.types.is_dictionary(type_) else type_
        values = [_as_type(value, self._type, check) for value in check.values]
        self._allowed = pa.array([value.as_py() for value in values if value is not None], self._type)
        self._wrong = 0
        self._examples: list[Any] = []

    def add(self, block: pa.RecordBatch) -> None:
        values = block.column(self._check.columns[0]).cast(self._type).drop_null()
        wrong = values.filter(pc.invert(pc.is_in(values, self._allowed)))
        self._wrong += len(wrong)
        if len(self._examples) < _EXAMPLES:
            new = wrong.unique().slice(0, 2 * _EXAMPLES).to_pylist()
            self._examples += [value for value in new if value not in self._examples][: _EXAMPLES - len(self._examples)]

    def finish(self, rows: int) -> Outcome:
        values = [repr(value) for value in self._check.values]
        more = f" and {len(values) - 5} more" if len(values) > 5 else ""
        expected = f"one of {', '.join(values[:5])}{more}"
        return not self._wrong, _wrong(self._wrong, self._examples, "not allowed"), expected


class _Unique:
    """Rows whose 64-bit hashes are equal count as equal: at a hundred million rows a false alarm has odds of 1:3700."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._hashes: list[NDArray[np.uint64]] = []

    def add(self, block: pa.RecordBatch) -> None:
        hashes = np.zeros(block.num_rows, np.uint64)
        for name in self._check.columns:
            column = block.column(name)
            plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            hashes = mix(hashes * np.uint64(31) + hash_values(plain))
        self._hashes.append(hashes)

    def finish(self, rows: int) -> Outcome:
        hashes = np.sort(np.concatenate(self._hashes)) if self._hashes else np.zeros(0, np.uint64)
        repeated = int((hashes[1:] == hashes[:-1]).sum())
        found = f"{repeated} of {rows} rows repeat an earlier one" if repeated else f"{rows} rows, all different"
        return not repeated, found, "no row twice"


class _Freshness:
    def __init__(self, check: Check, schema: pa.Schema, committed_at: datetime | None, now: datetime) -> None:
        self._check, self._now, self._newest = check, now, None if check.columns else committed_at
        self._future = 0
        if check.columns:
            type_ = schema.field(check.columns[0]).type
            if not (pa.types.is_timestamp(type_) or pa.types.is_date(type_)):
                raise UserError(f"check '{check.name}': '{check.columns[0]}' is {type_} and no point in time")
        elif committed_at is None:
            raise UserError(f"check '{check.name}' needs a column: it is not known when the table was last changed")

    def add(self, block: pa.RecordBatch) -> None:
        if self._check.columns:
            newest = _moment(pc.max(block.column(self._check.columns[0])).as_py())
            if newest is not None:
                self._newest = newest if self._newest is None else max(self._newest, newest)

    def finish(self, rows: int) -> Outcome:
        limit = self._check.maximum_age or timedelta(0)
        expected = f"at most {_age(limit)} old"
        if self._newest is None:
            return False, "no point in time", expected
        age = self._now - self._newest
        ahead = age < timedelta(0)
        found = f"newest {shown(self._newest.astimezone(UTC))}, {_age(abs(age))} {'ahead' if ahead else 'old'}"
        return age <= limit, found, expected


class _DriftMeasure:
    def __init__(self, check: Check, schema: pa.Schema, baseline: Sequence[ColumnStatistics]) -> None:
        name = check.columns[0]
        known = {column.name: column for column in baseline}
        if not known:
            raise UserError(f"check '{check.name}' needs a baseline: statistics of an earlier version")
        if name not in known:
            near = nearest_name(name, known)
            message = f"check '{check.name}': the baseline has no column '{name}'."
            raise UserError(" ".join(filter(None, (message, near))))
        self._check, self._drift = check, Drift(known[name], schema.field(name).type)

    def add(self, block: pa.RecordBatch) -> None:
        self._drift.add(block.column(self._check.columns[0]))

    def finish(self, rows: int) -> Outcome:
        limit = self._check.maximum_psi
        expected = f"PSI at most {limit:g}"
        if not rows:
            return False, "no rows", expected
        index = self._drift.index()
        return index <= limit, f"PSI {index:.4f}", expected


Maker = Callable[..., Measure]
MEASURES: Mapping[str, Maker] = {
    "row_count": lambda check, *_: _RowCount(check),
    "nulls": lambda check, *_: _Nulls(check),
    "range": lambda check, schema, *_: _Range(check, schema),
    "allowed_values": lambda check, schema, *_: _AllowedValues(check, schema),
    "unique": lambda check, *_: _Unique(check),
    "freshness": lambda check, schema, _, committed_at, now: _Freshness(check, schema, committed_at, now),
    "drift": lambda check, schema, baseline, *_: _DriftMeasure(check, schema, baseline),
}


def _as_type(value: Any, type_: pa.DataType, check: Check) -> pa.Scalar | None:
    """A value of a document in a column's type."""
    if value is None:
        return None
    try:
        if pa.types.is_temporal(type_) and isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if pa.types.is_timestamp(type_):
                utc = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
                return pa.scalar(utc if type_.tz else utc.replace(tzinfo=None), type_)
            return pa.scalar(moment.date(), type_)
        if pa.types.is_timestamp(type_):
            return pa.scalar(int(value), pa.timestamp("ms")).cast(type_)
        # A bound that the column cannot hold, for instance 0.5 for whole numbers, is compared as a double.
        if pa.types.is_integer(type_) and isinstance(value, float) and check.kind == "range":
            return pa.scalar(value, pa.float64())
        if pa.types.is_integer(type_) and check.kind == "range":
            return pa.scalar(value, pa.int64())
        if pa.types.is_string(type_) != isinstance(value, str):
            raise TypeError
        return pa.scalar(value, type_)
    except (TypeError, ValueError, OverflowError, pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        column = check.columns[0]
        raise UserError(
            f"check '{check.name}': {value!r} cannot be compared with '{column}', which is {type_}"
        ) from None


def _interval(low: Any, high: Any, unit: str) -> str:
    if low is None:
        text = f"at most {high} {unit}"
    elif high is None:
        text = f"at least {low} {unit}"
    else:
        text = f"{low} to {high} {unit}"
    return text.rstrip()


def _wrong(number: int, examples: Sequence[Any], word: str) -> str:
    if not number:
        return f"none {word}"
    return f"{number} {word}, for instance {', '.join(repr(shown(value)) for value in examples)}"


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


def _age(age: timedelta) -> str:
    seconds = age.total_seconds()
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{round(seconds / size, 1):,g} {unit}"
    return f"{round(seconds, 1):,g} seconds"
