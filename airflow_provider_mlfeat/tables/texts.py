"""Text as values of the language's types, value by value, with a reason for each that is none."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.types import Kind

TRUE = ("1", "t", "T", "true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES")
FALSE = ("0", "f", "F", "false", "False", "FALSE", "n", "N", "no", "No", "NO")
_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})")
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?((\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|inf(inity)?|nan)", re.ASCII | re.IGNORECASE)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_BITS = {Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64}


class Texts:
    """Reads text.

    :param time_zone: of points in time that name none: a name or an offset such as ``+08:00``.
    """

    def __init__(self, time_zone: str) -> None:
        self._zone: datetime.tzinfo
        self._offset: datetime.timedelta | None = None
        if match := _OFFSET.fullmatch("+00:00" if time_zone.upper() in ("UTC", "Z") else time_zone):
            sign = -1 if match[1] == "-" else 1
            self._offset = sign * datetime.timedelta(hours=int(match[2]), minutes=int(match[3]))
            self._zone = datetime.timezone(self._offset)
        else:
            try:
                self._zone = ZoneInfo(time_zone)
            except (ZoneInfoNotFoundError, ValueError):
                raise UserError(f"unknown time zone '{time_zone}'") from None
        self._name = time_zone

    def to_utc(self, local: Any) -> Any:
        """Local times (microseconds without a zone) as points in time."""
        utc = pa.timestamp("us", "UTC")
        if self._offset is not None:
            if not self._offset:
                return local.cast(utc)
            shift = pa.scalar(self._offset // _MICROSECOND, pa.int64())
            return pc.subtract(local.cast(pa.int64()), shift).cast(utc)
        points = pc.assume_timezone(local, self._name, ambiguous="earliest", nonexistent="earliest").cast(utc)
        again = pc.local_timestamp(points.cast(pa.timestamp("us", self._name)))
        if pc.all(pc.equal(again, local)).as_py() is not False:
            return points
        # A local time that a zone skips is read with the offset before the change.
        return pa.array([value and self._point(value) for value in local.to_pylist()], pa.int64()).cast(utc)

    def parse(self, given: Any, kind: Kind, target: pa.DataType) -> tuple[Any, NDArray[np.bool_] | None, str]:
        """Values of texts, which of them are wrong, and why.

        :param given: text, or bytes that may be text.
        :param kind: the type's kind.
        :param target: how it is stored.
        """
        try:
            if kind is Kind.TIMESTAMP and not pa.types.is_binary(given.type):
                return self.to_utc(given.cast(pa.timestamp("us"))), None, ""
            if kind is Kind.DATE and not pa.types.is_binary(given.type):
                return given.cast(target), None, ""
        except pa.ArrowInvalid:
            pass  # Some value is wrong, or written in another way.
        read, reason = self._readers()[kind]
        values: list[Any] = []
        wrong = np.zeros(len(given), np.bool_)
        for place, text in enumerate(given.to_pylist()):
            value = None
            if text is not None:
                try:
                    value = read(text.decode() if isinstance(text, bytes) else text)
                except (ValueError, OverflowError):
                    wrong[place] = True
            values.append(value)
        moments = kind is Kind.TIMESTAMP
        array = pa.array(values, pa.int64()).cast(target) if moments else pa.array(values, target)
        return array, wrong if wrong.any() else None, reason

    def _readers(self) -> dict[Kind, tuple[Callable[[str], Any], str]]:
        whole = {kind: (_whole(bits), f"is no {kind}") for kind, bits in _BITS.items()}
        number = (_number, "is no number")
        return {
            **whole,
            Kind.FLOAT: number,
            Kind.DOUBLE: number,
            Kind.BOOL: (_bool, "is no bool"),
            Kind.STRING: (str, "is not UTF-8"),
            Kind.DATE: (_date, "is no date (yyyy-mm-dd)"),
            Kind.TIMESTAMP: (self._moment, "is no timestamp (milliseconds or yyyy-mm-dd hh:mm:ss)"),
        }

    def _moment(self, text: str) -> int:
        text = text.strip()
        # Digits are always milliseconds, in whatever other way a day might be written.
        if _WHOLE.fullmatch(text):
            milliseconds = int(text)
            if abs(milliseconds) > (2**63 - 1) // 1000:
                raise ValueError(text)
            return milliseconds * 1000
        return self._point(datetime.datetime.fromisoformat(text))

    def _point(self, local: datetime.datetime) -> int:
        return (local.replace(tzinfo=local.tzinfo or self._zone) - _EPOCH) // _MICROSECOND


def _whole(bits: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text.strip()) or len(text) > 40:
            raise ValueError(text)
        number = int(text)
        if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
            raise ValueError(text)
        return number

    return read


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(text)
    return float(text)


def _bool(text: str) -> bool:
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(text)


def _date(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text.strip())
