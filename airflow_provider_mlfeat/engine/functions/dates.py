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
    first_of_year,
    months,
    parse_local,
    years,
)
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.sql.types import STRING, Kind

Part = Callable[[CallContext, Column], Column]
Numbers = NDArray[Any]

_EPOCH = datetime.datetime(1970, 1, 1)
_LAST_LOCAL = np.int64((LATEST_DAY + 1) * MILLISECONDS_PER_DAY - 1)
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def _local(context: CallContext, column: Column) -> tuple[Numbers, NDArray[np.bool_] | None]:
    """Local milliseconds of timestamps, and which are of 1970 or later and in the calendar (None: all)."""
    local = context.zone.to_local(column.values)
    # As unsigned numbers the negative ones are the largest, which saves a comparison.
    valid = (column.values.view(np.uint64) <= _LAST_LOCAL) & (local <= _LAST_LOCAL)
    if valid.all():
        return local, None
    return np.where(valid, local, 0), valid


def _days(context: CallContext, column: Column) -> tuple[Numbers, NDArray[np.bool_] | None]:
    if column.type.kind is Kind.DATE:
        return column.values, None
    local, valid = _local(context, column)
    return local // MILLISECONDS_PER_DAY, valid


def _of_day(name: str, part: Callable[[Numbers], Numbers]) -> Part:
    def date_part(context: CallContext, column: Column) -> Column:
        days, valid = _days(context, column)
        return Column(context.result, part(days).astype(np.int32), valid)

    date_part.__name__ = name
    return date_part


def _of_clock(name: str, unit: int, count: int) -> Part:
    def clock_part(context: CallContext, column: Column) -> Column:
        local, valid = _local(context, column)
        return Column(context.result, (local // unit % count).astype(np.int32), valid)

    clock_part.__name__ = name
    return clock_part


def _iso_week(days: Numbers) -> Numbers:
    """The week of a day is that of its Thursday, counted from the year's first Thursday."""
    thursday = days - (days + 3) % 7 + 3
    return (thursday - first_of_year(thursday)) // 7 + 1


def _last_of_month(days: Numbers) -> Numbers:
    return first_of_month(months(days) + 1) - 1


year = _of_day("year", years)
month = _of_day("month", lambda days: months(days) % 12 + 1)
day = _of_day("day", lambda days: days - first_of_month(months(days)) + 1)
dayofweek = _of_day("dayofweek", lambda days: (days + 4) % 7 + 1)
dayofyear = _of_day("dayofyear", lambda days: days - first_of_year(days) + 1)
weekofyear = _of_day("weekofyear", _iso_week)
last_day = _of_day("last_day", _last_of_month)
hour = _of_clock("hour", 3_600_000, 24)
minute = _of_clock("minute", 60_000, 60)
second = _of_clock("second", 1_000, 60)


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
    texts = [
        (_EPOCH + datetime.timedelta(seconds=int(distinct[pair // len(forms)]))).strftime(forms[pair % len(forms)])
        for pair in pairs.tolist()
    ]
    result = Column.from_values(texts, STRING).take(keys)
    return Column(STRING, result.values, valid, result.dictionary)


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
        epoch = _EPOCH.replace(tzinfo=datetime.UTC)
        milliseconds = (moment - epoch) // datetime.timedelta(milliseconds=1)
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
