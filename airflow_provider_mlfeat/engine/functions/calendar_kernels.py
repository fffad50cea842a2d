"""Parts of dates and times, row by row in compiled code: one request row costs as little as one of a million."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

_DAY = 86_400_000
# The last millisecond of the year 9999, after which there is no calendar.
_LAST = 253_402_300_799_999


class Part(IntEnum):
    """What a kernel takes out of a date or of a local time."""

    YEAR = 0
    MONTH = 1
    DAY = 2
    DAY_OF_WEEK = 3
    DAY_OF_YEAR = 4
    ISO_WEEK = 5
    LAST_DAY = 6
    HASH_CODE = 7
    HOUR = 8
    MINUTE = 9
    SECOND = 10


@kernel()
def _days_before_march(year):  # type: ignore[no-untyped-def]
    """Days from 1970 to the first of March of a year."""
    return year * 365 + year // 4 - year // 100 + year // 400 - 719_468


@kernel()
def _civil(days):  # type: ignore[no-untyped-def]
    """Year, month and day; years are counted from March, so that the leap day comes last."""
    shifted = days + 719_468
    era, of_era = shifted // 146_097, shifted % 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * of_year + 2) // 153
    month = from_march + 3 if from_march < 10 else from_march - 9
    return era * 400 + year_of_era + (month <= 2), month, of_year - (153 * from_march + 2) // 5 + 1


@kernel()
def _first_of_month(year, month):  # type: ignore[no-untyped-def]
    from_march = month - 3 if month > 2 else month + 9
    return _days_before_march(year - (month <= 2)) + (153 * from_march + 2) // 5


@kernel()
def _of_day(days, part):  # type: ignore[no-untyped-def]
    if part == Part.DAY_OF_WEEK:
        return (days + 4) % 7 + 1
    if part == Part.ISO_WEEK:
        # A week belongs to the year of its Thursday.
        days = days - (days + 3) % 7 + 3
    year, month, day = _civil(days)
    if part == Part.YEAR:
        result = year
    elif part == Part.MONTH:
        result = month
    elif part == Part.DAY:
        result = day
    elif part == Part.LAST_DAY:
        result = _first_of_month(year + month // 12, month % 12 + 1) - 1
    elif part == Part.HASH_CODE:
        result = (year - 1900) * 65_536 + (month - 1) * 256 + day
    else:
        of_year = days - _first_of_month(year, 1)
        result = of_year // 7 + 1 if part == Part.ISO_WEEK else of_year + 1
    return result


@kernel()
def _of_clock(local, part):  # type: ignore[no-untyped-def]
    if part == Part.HOUR:
        return local // 3_600_000 % 24
    if part == Part.MINUTE:
        return local // 60_000 % 60
    return local // 1_000 % 60


@kernel("int32[::1](int64[::1], int64)")
def parts_of_days(days, part):  # type: ignore[no-untyped-def]
    """One part of every date."""
    parts = np.empty(len(days), np.int32)
    for row in range(len(days)):
        parts[row] = _of_day(days[row], part)
    return parts


@kernel("Tuple((int32[::1], bool_[::1], bool_))(int64[::1], int64[::1], int64[::1], int64)")
def parts_of_instants(instants, changes, offsets, part):  # type: ignore[no-untyped-def]
    """One part of every instant's local time, which have one, and whether all have.

    There is none before 1970 and none after the year 9999. `offsets` holds the zone's offset before the first of its
    changes and after each.
    """
    parts = np.zeros(len(instants), np.int32)
    valid = np.zeros(len(instants), np.bool_)
    missing = 0
    for row in range(len(instants)):
        instant = instants[row]
        local = instant + offsets[np.searchsorted(changes, instant, "right") if len(changes) else 0]
        if instant < 0 or instant > _LAST or local > _LAST:
            missing += 1
            continue
        valid[row] = True
        parts[row] = _of_clock(local, part) if part >= Part.HOUR else _of_day(local // _DAY, part)
    return parts, valid, missing == 0
