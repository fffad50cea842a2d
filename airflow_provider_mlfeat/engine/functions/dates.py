"""Parts of dates and times in the session's zone, and values computed from them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.distinct import distinct_integers, distinct_rows
from airflow_provider_mlfeat.engine.functions.calendar import (
    EARLIEST_DAY,
    LATEST_DAY,
    MILLISECONDS_PER_DAY,
    first_of_month,
    months,
    parse_local,
)
from airflow_provider_mlfeat.engine.functions.calendar_kernels import Part, parts_of_days, parts_of_instants
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.writing import writable
from airflow_provider_mlfeat.sql.types import STRING, Kind

DatePart = Callable[[CallContext, Column], Column]
Numbers = NDArray[Any]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LAST_LOCAL = (LATEST_DAY + 1) * MILLISECONDS_PER_DAY - 1
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def _part(part: Part) -> DatePart:
    number = int(part)

    def date_part(context: CallContext, column: Column) -> Column:
        if column.type.kind is Kind.DATE:
            return Column(context.result, parts_of_days(writable(column.values, np.int64), number))
        zone = context.zone
        parts, valid, complete = parts_of_instants(
            writable(column.values, np.int64), zone.changes, zone.offsets, number
        )
        return Column(context.result, parts, None if complete else valid)

    date_part.__name__ = part.name.lower()
    return date_part


year = _part(Part.YEAR)
month = _part(Part.MONTH)
day = _part(Part.DAY)
dayofweek = _part(Part.DAY_OF_WEEK)
dayofyear = _part(Part.DAY_OF_YEAR)
weekofyear = _part(Part.ISO_WEEK)
last_day = _part(Part.LAST_DAY)
hour = _part(Part.HOUR)
minute = _part(Part.MINUTE)
second = _part(Part.SECOND)


def _local(context: CallContext, column: Column) -> tuple[Numbers, NDArray[np.bool_]]:
    """Local milliseconds of timestamps, and which are of 1970 or later and in the calendar."""
    local = context.zone.to_local(column.values)
    valid = (column.values >= 0) & (column.values <= _LAST_LOCAL) & (local <= _LAST_LOCAL)
    return np.where(valid, local, 0), valid


def date_format(context: CallContext, column: Column, form: Column) -> Column:
    """The strftime text of a local time; a timestamp is cut to its second."""
    if column.type.kind is Kind.DATE:
        days = column.values if column.valid is None else np.where(column.valid, column.values, 0)
        seconds, valid = days.astype(np.int64) * 86_400, None
    else:
        local, valid = _local(context, column)
        seconds = local // 1000
    assert form.dictionary is not None
    forms = form.dictionary.strings
    moments, distinct = distinct_integers(seconds)
    # One key per pair of a moment and a format; both are few in a column, or one is.
    keys, pairs = distinct_integers(moments.astype(np.int64) * len(forms) + form.values)
    texts = [_formatted(int(distinct[pair // len(forms)]), forms[pair % len(forms)]) for pair in pairs.tolist()]
    result = Column.from_values(texts, STRING).take(keys)
    return Column(STRING, result.values, valid, result.dictionary)


def _formatted(local_seconds: int, form: str) -> str:
    """The text of a local time, whose zone has no name and no offset in it."""
    return (_EPOCH + datetime.timedelta(seconds=local_seconds)).replace(tzinfo=None).strftime(form)


def add_months(context: CallContext, days: Numbers, count: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """The same day `count` months later, or the month's last day."""
    # Anything farther than the calendar reaches is outside it, and must not wrap back into it.
    month_number = months(days) + np.clip(count, -200_000, 200_000)
    first = first_of_month(month_number)
    day_of_month = days - first_of_month(months(days))
    result = np.minimum(first + day_of_month, first_of_month(month_number + 1) - 1)
    valid = (result >= EARLIEST_DAY) & (result <= LATEST_DAY)
    return np.where(valid, result, 0).astype(np.int32), valid


def datediff(context: CallContext, left: Column, right: Column) -> Column:
    """Days between two dates, either of which may be text."""
    (left_days, left_valid), (right_days, right_valid) = _read_days(context, left), _read_days(context, right)
    valid = left_valid if right_valid is None else right_valid if left_valid is None else left_valid & right_valid
    return Column(context.result, left_days - right_days, valid)


def _read_days(context: CallContext, column: Column) -> tuple[Numbers, NDArray[np.bool_] | None]:
    if column.type.kind is Kind.DATE:
        return column.values, None
    codes, rows = distinct_rows([column])
    found = [None if text is None else _day_of_text(context, text) for (text,) in rows]
    days = np.array([0 if day is None else day for day in found], np.int32)
    valid = np.array([day is not None for day in found], np.bool_)
    return days[codes], valid[codes]


def _day_of_text(context: CallContext, text: str) -> int | None:
    """The local day of a date, of a local time or of an instant in RFC 3339."""
    local = parse_local(text)
    if local is None:
        if text < "1900" or not _RFC3339.fullmatch(text):
            return None
        try:
            moment = datetime.datetime.fromisoformat(text.upper())
        except ValueError:
            return None
        milliseconds = (moment - _EPOCH) // datetime.timedelta(milliseconds=1)
        local = int(context.zone.to_local(np.array([milliseconds]))[0])
    return local // MILLISECONDS_PER_DAY


def unix_timestamp(context: CallContext, column: Column) -> Column:
    """Seconds of a local midnight, or of a local time in text."""
    if column.type.kind is Kind.DATE:
        midnights = column.values.astype(np.int64) * MILLISECONDS_PER_DAY
        return Column(context.result, context.zone.to_instant(midnights) // 1000)
    codes, rows = distinct_rows([column])
    found = [None if text is None else parse_local(text) for (text,) in rows]
    local = np.array([0 if moment is None else moment for moment in found], np.int64)
    valid = np.array([moment is not None for moment in found], np.bool_)
    return Column(context.result, (context.zone.to_instant(local) // 1000)[codes], valid[codes])
