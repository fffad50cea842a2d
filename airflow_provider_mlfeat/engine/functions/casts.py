"""CAST: one conversion per pair of families of types, over whole columns."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import (
    Column,
    Dictionary,
    arrow_type,
    numpy_type,
    one_row_maker,
    string_column,
    validity,
)
from airflow_provider_mlfeat.engine.distinct import distinct_integers
from airflow_provider_mlfeat.engine.functions.calendar import (
    EARLIEST_DAY,
    LATEST_DAY,
    MILLISECONDS_PER_DAY,
    has_calendar,
    parse_local,
)
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.zones import Zone
from airflow_provider_mlfeat.sql.types import BIGINT, DOUBLE, FLOATING_KINDS, INTEGER_KINDS, STRING, DataType, Kind

_TRUE = frozenset({"y", "yes", "t", "true", "1"})
_FALSE = frozenset({"n", "no", "f", "false", "0"})
_WHOLE_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)", re.ASCII)
_NUMBER = re.compile(
    r"[ \t\n\v\f\r]*([+-]?(?:inf(?:inity)?|nan|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
    r"|(0x)(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?))",
    re.ASCII | re.IGNORECASE,
)
# Texts that Arrow reads exactly as the rules have it, and the type to read them as.
_PLAIN: dict[Kind, tuple[str, DataType]] = {
    **dict.fromkeys(INTEGER_KINDS, ("^-?[0-9]{1,18}$", BIGINT)),
    **dict.fromkeys(FLOATING_KINDS, (r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$", DOUBLE)),
}
_FEW = 64
_one_text = one_row_maker(STRING)
_EPOCH = datetime.date(1970, 1, 1)
_EPOCH_MIDNIGHT = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_QUIET = np.errstate(all="ignore")


def cast(context: CallContext, column: Column) -> Column:
    """The column as the result type; NULL stays NULL and so does what has no value there."""
    source, target = column.type, context.result
    if source == target:
        return column
    if source.kind is Kind.NULL:
        return Column.constant(None, target, len(column))
    if target.kind is Kind.STRING:
        return _with_validity(to_text(column, context.zone), column.valid)
    if source.kind is Kind.STRING:
        return _from_text(column, target, context.zone)
    values, valid = _convert(column, target, context.zone)
    if valid is not None and column.valid is not None:
        valid = valid & column.valid
    return Column(target, values, column.valid if valid is None else valid)


def _specialize(context: CallContext) -> Callable[[CallContext, Column], Column]:
    """The cast between two types, without looking at them again where numbers only change their width."""
    (source,), target = context.arguments, context.result
    if not (source.is_integer or source.kind in (Kind.BOOL, Kind.FLOAT)) or not target.is_numeric:
        return cast
    if source.is_floating and target.is_integer:
        return cast
    dtype = numpy_type(target)
    return lambda context, column: Column(target, column.values.astype(dtype), column.valid)


cast.specialize = _specialize  # type: ignore[attr-defined]


def cast_value(context: CallContext, value: Any) -> Any:
    """A list or map whose elements are cast one by one."""
    return _cast_nested(value, context.arguments[0], context.result, context.zone)


def _cast_nested(value: Any, source: DataType, target: DataType, zone: Zone) -> Any:
    if value is None or source == target:
        return value
    if source.kind is Kind.MAP:
        (key_from, value_from), (key_to, value_to) = source.parameters, target.parameters
        pairs = [
            (_cast_nested(key, key_from, key_to, zone), _cast_nested(item, value_from, value_to, zone))
            for key, item in value.items()
        ]
        return dict(reversed(pairs))
    if source.is_nested:
        return tuple(_cast_nested(item, source.element, target.element, zone) for item in value)
    context = CallContext(zone, (source,), target)
    return cast(context, Column.constant(value, source, 1)).value(0)


def _with_validity(column: Column, valid: NDArray[np.bool_] | None) -> Column:
    if valid is not None and column.valid is not None:
        valid = valid & column.valid
    return Column(column.type, column.values, column.valid if valid is None else valid, column.dictionary)


# ── between numbers, dates and timestamps ───────────────────────────────────────────────────────────────────────────

Converted = tuple[NDArray[Any], NDArray[np.bool_] | None]


@_QUIET
def _convert(column: Column, target: DataType, zone: Zone) -> Converted:
    source, values, dtype = column.type, column.values, numpy_type(target)
    if source.kind is Kind.DATE:
        return _from_date(values, target, zone)
    if target.kind is Kind.DATE:
        days = zone.to_local(values) // MILLISECONDS_PER_DAY
        valid = (days >= EARLIEST_DAY) & (days <= LATEST_DAY)
        return np.where(valid, days, 0).astype(dtype), valid
    if target.kind is Kind.BOOL:
        return values != 0, None
    if source.is_floating and not target.is_floating:
        return _truncated(values, target)
    is_time = target.kind is Kind.TIMESTAMP and source.kind is not Kind.BOOL
    return values.astype(dtype), values >= 0 if is_time else None


def _from_date(days: NDArray[Any], target: DataType, zone: Zone) -> Converted:
    """A date is a local midnight, and no number."""
    if target.kind is Kind.TIMESTAMP:
        return zone.to_instant(days.astype(np.int64) * MILLISECONDS_PER_DAY), None
    return np.zeros(len(days), numpy_type(target)), np.zeros(len(days), np.bool_)


def _truncated(values: NDArray[Any], target: DataType) -> Converted:
    """Whole numbers toward zero; NULL where there is none in the target's range."""
    dtype = numpy_type(target)
    low, high = np.iinfo(dtype).min, float(np.iinfo(dtype).max) + 1
    whole = np.trunc(values.astype(np.float64))
    valid = (whole >= (0 if target.kind is Kind.TIMESTAMP else low)) & (whole < high)
    return np.where(valid, whole, 0).astype(dtype), valid


# ── to text ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def to_text(column: Column, zone: Zone) -> Column:
    """The text of every value; the validity of the argument is left to the caller."""
    if len(column) == 1:
        valid = column.valid is None or column.valid[0]
        return _one_text(text_of(column.value(0), column.type, zone) if valid else None)
    kind, values = column.type.kind, column.values
    if kind is Kind.BOOL:
        return Column(STRING, values.astype(np.int32), None, Dictionary(("false", "true")))
    if column.type.is_floating:
        bits = values.view(f"i{values.dtype.itemsize}")
        codes, distinct = distinct_integers(bits)
        texts = string_column(pa.array([f"{value:g}" for value in distinct.view(values.dtype).tolist()], pa.string()))
        return Column(STRING, texts.values[codes], None, texts.dictionary)
    valid = None
    if kind is Kind.TIMESTAMP:
        local = zone.to_local(values)
        valid = has_calendar(local)
        values = np.where(valid, local, 0) // 1000
    codes, distinct = distinct_integers(values)
    array = pa.array(distinct)
    if kind is Kind.DATE:
        array = array.view(pa.date32())
    elif kind is Kind.TIMESTAMP:
        array = array.view(pa.timestamp("s"))
    return Column(STRING, codes, valid, Dictionary(array.cast(pa.string())))


def text_of(value: Any, data_type: DataType, zone: Zone) -> str | None:
    """The text of one value that is not NULL; None for a time outside the calendar."""
    if data_type.kind is Kind.BOOL:
        return "true" if value else "false"
    if data_type.is_floating:
        return f"{value:g}"
    if data_type.kind is Kind.TIMESTAMP:
        local = zone.to_local(np.int64(value))
        if not has_calendar(local):
            return None
        moment = _EPOCH_MIDNIGHT + datetime.timedelta(seconds=int(local) // 1000)
        return moment.replace(tzinfo=None).isoformat(" ")
    return str(value)


# ── from text ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_text(column: Column, target: DataType, zone: Zone) -> Column:
    """Each distinct string is read once."""
    assert column.dictionary is not None
    if len(column) == 1:
        valid = column.valid is None or column.valid[0]
        return Column.constant(_read(column.value(0), target, zone) if valid else None, target, 1)
    codes: NDArray[Any] = column.values
    strings = column.dictionary.arrow
    if len(strings) > len(codes):
        codes, used = distinct_integers(codes)
        strings = strings.take(pa.array(used))
    return _with_validity(_read_all(strings, target, zone).take(codes), column.valid)


def _read_all(strings: pa.StringArray, target: DataType, zone: Zone) -> Column:
    """Plain numbers by Arrow's parser, which reads a million in the time that Python reads ten thousand."""
    plain = _PLAIN.get(target.kind)
    if plain is None or len(strings) < _FEW:
        return Column.from_values([_read(text, target, zone) for text in strings.to_pylist()], target)
    pattern, wide = plain
    is_plain = pc.match_substring_regex(strings, pattern)
    numbers = Column.from_arrow(pc.if_else(is_plain, strings, None).cast(arrow_type(wide)), wide)
    if target.is_integer:
        limits = np.iinfo(numpy_type(target))
        values, valid = numbers.values, validity(numbers)
        valid = valid & (values >= limits.min) & (values <= limits.max)
    else:
        values, valid = numbers.values, validity(numbers).copy()
    values = _narrowed(values, target)
    for place in np.flatnonzero(~is_plain.to_numpy(zero_copy_only=False)).tolist():
        number = _read(strings[place].as_py(), target, zone)
        values[place], valid[place] = 0 if number is None else number, number is not None
    return Column(target, values, valid)


@_QUIET
def _narrowed(values: NDArray[Any], target: DataType) -> NDArray[Any]:
    return values.astype(numpy_type(target))


def _read(text: str, target: DataType, zone: Zone) -> Any:
    return _READERS[target.kind](text, target, zone)


def _read_bool(text: str, target: DataType, zone: Zone) -> bool | None:
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _read_integer(text: str, target: DataType, zone: Zone) -> int | None:
    match = _WHOLE_NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, digits = match.groups()
    if len(digits) > 4000:
        # Python refuses to read very long numbers, which are out of range unless they are all zeros.
        digits = digits.lstrip("0x") or "0"
        if len(digits) > 64:
            return None
    number = int(sign + digits, 16 if digits[:2] in ("0x", "0X") else 10)
    limits = np.iinfo(numpy_type(target))
    return number if limits.min <= number <= limits.max else None


def _read_floating(text: str, target: DataType, zone: Zone) -> float | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    number, is_hexadecimal = match.groups()
    if not is_hexadecimal:
        return float(number)
    try:
        return float.fromhex(number)
    except OverflowError:
        return float("-inf") if number.startswith("-") else float("inf")


def _read_timestamp(text: str, target: DataType, zone: Zone) -> int | None:
    local = parse_local(text)
    return None if local is None else int(zone.to_instant(np.array([local]))[0])


def _read_date(text: str, target: DataType, zone: Zone) -> datetime.date | None:
    local = parse_local(text)
    return None if local is None else _EPOCH + datetime.timedelta(days=local // MILLISECONDS_PER_DAY)


_READERS: dict[Kind, Callable[[str, DataType, Zone], Any]] = {
    Kind.BOOL: _read_bool,
    Kind.SMALLINT: _read_integer,
    Kind.INT: _read_integer,
    Kind.BIGINT: _read_integer,
    Kind.FLOAT: _read_floating,
    Kind.DOUBLE: _read_floating,
    Kind.TIMESTAMP: _read_timestamp,
    Kind.DATE: _read_date,
}
