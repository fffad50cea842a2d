"""Time zones over whole arrays: a fixed offset, or the transitions of an IANA zone."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)
_SECOND = datetime.timedelta(seconds=1)
# Probes this far apart see every transition: no zone ever changed its clock twice within so short a time.
_PROBE = datetime.timedelta(days=3)
_FIRST, _LAST = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (1899, 2101))


class Zone:
    """A time zone; instants and local times are milliseconds since 1970.

    A local time that a zone skipped or had twice is read with the offset before the change. After the year 2100 a
    zone keeps its last offset.

    :param changes: when the offset changes, ascending.
    :param offsets: the offset before the first change and after each.
    """

    __slots__ = ("_fixed", "_local_changes", "changes", "offsets")

    def __init__(self, changes: list[int], offsets: list[int]) -> None:
        self._fixed = None if changes else offsets[0]
        self.changes = np.array(changes, np.int64)
        self.offsets = np.array(offsets, np.int64)
        # In local time the new offset holds from where neither the old nor the new clock shows an earlier time.
        self._local_changes = self.changes + np.maximum(self.offsets[:-1], self.offsets[1:])

    def to_local(self, milliseconds: Any) -> Any:
        """Local times of instants, of an array of them or of one."""
        if self._fixed is not None:
            return milliseconds + self._fixed
        return milliseconds + self.offsets[np.searchsorted(self.changes, milliseconds, "right")]

    def to_instant(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        """Instants of local times."""
        if self._fixed is not None:
            return local - self._fixed
        return local - self.offsets[np.searchsorted(self._local_changes, local, "right")]


@lru_cache(maxsize=32)
def zone_of(name: str) -> Zone:
    """The zone of an offset such as ``+08:00`` or of an IANA name; raises ``ValueError`` for an unknown one."""
    match = _OFFSET.fullmatch(name)
    if match is not None:
        sign, hours, minutes = match.groups()
        offset = (int(hours) * 60 + int(minutes)) * 60_000
        return Zone([], [-offset if sign == "-" else offset])
    try:
        return _transitions(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone '{name}'; write an IANA name or an offset such as +08:00") from None


def _transitions(info: ZoneInfo) -> Zone:
    """Find the changes of offset by bisection between probes."""
    probes = [_FIRST + number * _PROBE for number in range((_LAST - _FIRST) // _PROBE)]
    changes: list[int] = []
    offsets = [_offset(info, probes[0])]
    for probe, next_probe in pairwise(probes):
        if _offset(info, next_probe) == offsets[-1]:
            continue
        before, after = probe, next_probe
        while after - before > _SECOND:
            middle = before + (after - before) // 2 // _SECOND * _SECOND
            before, after = (middle, after) if _offset(info, middle) == offsets[-1] else (before, middle)
        changes.append((after - _EPOCH) // _MILLISECOND)
        offsets.append(_offset(info, after))
    return Zone(changes, offsets)


def _offset(info: ZoneInfo, moment: datetime.datetime) -> int:
    shift: Any = moment.astimezone(info).utcoffset()
    return int(shift // _MILLISECOND)
