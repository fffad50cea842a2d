"""Rows that somebody sends, as values of the language; what does not fit is refused with row, column and reason."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import DataType, Kind

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_mlfeat.sql.catalog import TableDefinition

LONGEST_STRING = 2 * 1024 * 1024
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_FIRST_DATE = datetime.date(1900, 1, 1)
# The last millisecond of the year 9999: later points in time cannot be written as text.
LAST_TIMESTAMP = 253_402_300_799_999
_WIDTHS = {Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64}
# The largest double that rounds to a finite float.
_LARGEST_FLOAT = 3.4028235677973366e38


class _RefusedError(Exception):
    """Why a value does not fit."""


Read = Callable[[Any], Any]


class RowReader:
    """Reads rows: sequences in the order of the columns, or mappings from column to value.

    Values are those of JSON: a timestamp is milliseconds, a date ``yyyy-mm-dd``; whole numbers are accepted for floats.
    A mapping may hold more than the columns, and must hold all of them that have no default.

    :param schema: the columns.
    :param what: what is read, for messages.
    :param not_null: columns in which NULL is refused.
    :param defaults: values of columns that a mapping leaves out.
    """

    def __init__(
        self, schema: Schema, what: str, not_null: Iterable[str] = (), defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.schema = schema
        self._what, self._defaults = what, dict(defaults or {})
        required = set(not_null)
        self._columns = [(column.name, _reader(column.type), column.name in required) for column in schema]
        self._places = {column.name: place for place, column in enumerate(schema)}
        self._by_lower = {column.name.lower(): column.name for column in schema}

    @classmethod
    def of_table(cls, definition: TableDefinition) -> RowReader:
        """The reader of rows for a stored table."""
        from airflow_provider_mlfeat.sql.plan import Column

        schema = tuple(Column(column.name, column.type) for column in definition.columns)
        not_null = [column.name for column in definition.columns if column.not_null]
        defaults = {column.name: column.default for column in definition.columns if column.has_default}
        return cls(schema, f"table '{definition.qualified_name}'", not_null, defaults)

    def __call__(self, given: object, number: int = 0) -> tuple[Any, ...]:
        """The values of a row as the engine takes them.

        :param given: the row.
        :param number: which row of many it is, for messages.
        """
        values = self._in_order(given, number)
        row: list[Any] = []
        for value, (name, read, required) in zip(values, self._columns, strict=True):
            if value is None:
                if required:
                    raise UserError(f"{self._where(number, name)} is NOT NULL")
                row.append(None)
                continue
            try:
                row.append(read(value))
            except _RefusedError as reason:
                raise UserError(f"{self._where(number, name)} {reason}, not {_shown(value)}") from None
        return tuple(row)

    def table(self, rows: Sequence[object]) -> pa.Table:
        """Many rows as an Arrow table with the columns of the schema."""
        import pyarrow as pa

        from airflow_provider_mlfeat.engine.column import Column

        values = [self(row, number) for number, row in enumerate(rows)]
        columns = list(zip(*values, strict=True)) if values else [()] * len(self.schema)
        arrays = [
            Column.from_values(column, one.type).to_arrow() for column, one in zip(columns, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(arrays, [column.name for column in self.schema])

    def _in_order(self, given: object, number: int) -> Sequence[Any]:
        if isinstance(given, Mapping):
            if all(name in given for name in self._places):
                return [given[name] for name in self._places]
            named = {self._by_lower.get(str(name).lower(), name): value for name, value in given.items()}
            missing = [name for name in self._places if name not in named and name not in self._defaults]
            if missing:
                raise UserError(f"row {number} of {self._what} lacks {', '.join(repr(name) for name in missing)}")
            return [named[name] if name in named else self._defaults[name] for name in self._places]
        if isinstance(given, Sequence) and not isinstance(given, str | bytes):
            if len(given) != len(self._columns):
                names = ", ".join(self._places)
                message = f"row {number} of {self._what} has {len(given)} values, not {len(self._columns)}"
                raise UserError(f"{message} ({names})")
            return given
        raise UserError(f"row {number} of {self._what} is neither a list of values nor an object: {_shown(given)}")

    def _where(self, number: int, name: str) -> str:
        return f"row {number} of {self._what}: column '{name}'"


def _reader(data_type: DataType) -> Read:
    kind = data_type.kind
    if kind in _WIDTHS:
        return _whole(_WIDTHS[kind], str(data_type))
    readers: dict[Kind, Read] = {
        Kind.BOOL: _bool,
        Kind.FLOAT: _float,
        Kind.DOUBLE: _double,
        Kind.STRING: _string,
        Kind.DATE: _date,
        Kind.TIMESTAMP: _timestamp,
    }
    return readers[kind]


def _whole(width: int, name: str) -> Read:
    least, most = -(1 << (width - 1)), (1 << (width - 1)) - 1

    def read(value: Any) -> int:
        if type(value) is not int:
            raise _RefusedError(f"takes {name}")
        if not least <= value <= most:
            raise _RefusedError(f"takes {name} from {least} to {most}")
        return value

    return read


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _RefusedError("takes true or false")
    return value


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise _RefusedError("takes a number")
    try:
        return float(value)
    except OverflowError:
        raise _RefusedError("takes a number that a double can hold") from None


def _float(value: Any) -> float:
    number = _double(value)
    if abs(number) >= _LARGEST_FLOAT and number - number == 0.0:
        raise _RefusedError("takes a number that a float can hold")
    return number


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _RefusedError("takes a string")
    if len(value) > LONGEST_STRING // 4 and len(value.encode("utf-8", "surrogatepass")) > LONGEST_STRING:
        raise _RefusedError(f"takes at most {LONGEST_STRING} bytes of text")
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        raise _RefusedError("takes text that UTF-8 can hold") from None
    return value


def _date(value: Any) -> datetime.date:
    if type(value) is datetime.date:
        day = value
    else:
        match = _DATE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise _RefusedError("takes a date yyyy-mm-dd")
        try:
            day = datetime.date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            raise _RefusedError("takes a date that exists") from None
    if day < _FIRST_DATE:
        raise _RefusedError("takes a date from 1900-01-01 on")
    return day


def _timestamp(value: Any) -> int:
    if type(value) is not int:
        raise _RefusedError("takes a timestamp in whole milliseconds since 1970")
    if not 0 <= value <= LAST_TIMESTAMP:
        raise _RefusedError("takes a timestamp from 1970 to the year 9999")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
