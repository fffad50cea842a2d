"""Reading a file of cases, one JSON object a line, into typed values."""

from __future__ import annotations

import datetime
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType, Kind, parse_type

Row = tuple[Any, ...]
Columns = tuple[tuple[str, DataType], ...]

# Cases whose text values were written for an INSERT statement, which takes a backslash away.
ESCAPED = {
    ("cases/function/expression/test_like.yaml", "8"),
    ("cases/function/function/test_like_match.yaml", "8"),
    ("cases/integration_test/expression/test_like.yaml", "8"),
}

# These cases are deployments; the file of cases keeps their query and leaves out the option, which is w1:… everywhere
# but in the one about a window that does not exist.
LONG_WINDOWS_FOLDER = "cases/integration_test/long_window/"
LONG_WINDOWS = "w1:1d"
OTHER_LONG_WINDOWS = {("cases/integration_test/long_window/test_long_window.yaml", "9"): "w2:1d"}


@dataclass(frozen=True)
class Table:
    """A table of a case.

    :param database: '' is the default database.
    :param name: the table.
    :param columns: names and types.
    :param rows: typed rows in arrival order.
    :param indexes: (name, key columns, time column or None) as declared.
    """

    database: str
    name: str
    columns: Columns
    rows: tuple[Row, ...]
    indexes: tuple[tuple[str, tuple[str, ...], str | None], ...]


@dataclass(frozen=True)
class Expectation:
    """The answer that a case expects.

    :param columns: names and types.
    :param rows: typed rows.
    :param order: the column that both sides are sorted by before they are compared.
    """

    columns: Columns
    rows: tuple[Row, ...]
    order: str | None


@dataclass(frozen=True)
class Case:
    """One case.

    :param key: unique in its file.
    :param file: where it comes from.
    :param id: its number there.
    :param description: what it is about.
    :param sql: one statement.
    :param tables: the tables it needs.
    :param modes: words that say where it cannot run.
    :param kind: ``result`` or ``must_fail``.
    :param expectation: of a ``result`` case.
    :param request_rows: rows to ask for in request mode, instead of replaying the request table.
    :param parameters: types and values of ``?``.
    :param offline: whether the case is meant for Spark.
    :param request: whether the case is meant for request mode.
    """

    key: str
    file: str
    id: str
    description: str
    sql: str
    tables: tuple[Table, ...]
    modes: frozenset[str]
    kind: str
    expectation: Expectation | None
    request_rows: tuple[Row, ...] | None
    parameters: tuple[tuple[DataType, Any], ...]
    offline: bool
    request: bool

    @property
    def long_windows(self) -> str:
        """LONG_WINDOWS of the deployment that the case is; '' when it is a plain query."""
        if not self.file.startswith(LONG_WINDOWS_FOLDER):
            return ""
        return OTHER_LONG_WINDOWS.get((self.file, self.id), LONG_WINDOWS)

    @property
    def name(self) -> str:
        """``folder/file id``, the short name that the reference uses."""
        return f"{self.file.removeprefix('cases/').removesuffix('.yaml').removesuffix('.yml')} {self.id}"


def load_cases(path: Path) -> list[Case]:
    """The cases of a file."""
    with path.open(encoding="utf-8") as lines:
        return [_case(json.loads(line)) for line in lines if line.strip()]


def _case(raw: dict[str, Any]) -> Case:
    escaped = (raw["file"], str(raw["id"])) in ESCAPED
    expect, request, parameters = raw.get("expect"), raw.get("batch_request"), raw.get("parameters")
    return Case(
        key=raw["key"],
        file=raw["file"],
        id=str(raw["id"]),
        description=str(raw.get("desc") or ""),
        sql=raw["sql"].strip().removesuffix(";"),
        tables=tuple(_table(table, escaped) for table in raw["tables"]),
        modes=frozenset(raw.get("mode") or ()),
        kind=raw["kind"],
        expectation=_expectation(expect) if expect and raw["kind"] == "result" else None,
        request_rows=_rows(_columns(request["columns"]), request["rows"]) if request else None,
        parameters=tuple(_parameters(parameters)) if parameters else (),
        offline=raw["run_offline"],
        request=raw["run_request"],
    )


def _columns(pairs: list[list[str]]) -> Columns:
    return tuple((name, parse_type(kind)) for name, kind in pairs)


def _rows(columns: Columns, rows: list[list[Any]]) -> tuple[Row, ...]:
    return tuple(tuple(typed(value, kind) for value, (_, kind) in zip(row, columns, strict=True)) for row in rows)


def _expectation(raw: dict[str, Any]) -> Expectation:
    columns = _columns(raw["columns"])
    return Expectation(columns, _rows(columns, raw["rows"]), raw.get("order"))


def _table(raw: dict[str, Any], escaped: bool) -> Table:
    columns = _columns(raw["columns"])
    rows = _rows(columns, raw["rows"])
    if escaped:
        rows = tuple(
            tuple(re.sub(r"\\(.)", r"\1", value) if isinstance(value, str) else value for value in row) for row in rows
        )
    indexes = [_index(text) for joined in raw.get("index") or () for text in joined.split(",")]
    return Table(raw.get("db") or "", raw["name"], columns, rows, tuple(indexes))


def _index(text: str) -> tuple[str, tuple[str, ...], str | None]:
    name, keys, time, *_ = [*text.split(":"), "", ""]
    return name, tuple(keys.split("|")), time or None


def _parameters(raw: dict[str, Any]) -> Iterator[tuple[DataType, Any]]:
    for declaration, text in zip(raw["columns"], raw["rows"][0], strict=True):
        kind = parse_type(declaration.split()[-1])
        yield kind, typed(_from_text(text, kind), kind)


def _from_text(text: Any, kind: DataType) -> Any:
    if not isinstance(text, str) or kind.kind in (Kind.STRING, Kind.DATE):
        return text
    return float(text) if kind.is_floating else int(text)


def typed(value: Any, kind: DataType) -> Any:
    """A JSON value as a value of its type: dates become dates, floats are rounded to 32 bits."""
    if value is None:
        return None
    if kind.kind is Kind.DATE:
        return datetime.date(*(int(part) for part in value.split("-")))
    if kind.is_floating:
        number = float(value)
        return struct.unpack("<f", struct.pack("<f", number))[0] if kind.kind is Kind.FLOAT else number
    return value
