"""Declared checks of a table's rows: what has to hold, and whether it does.

Checks are plain documents, ``{"check": "range", "column": "age", "minimum": 0}``, so that they can stand in a DAG or a
file. All of them look at the same single pass over the rows, in constant memory, except uniqueness, which keeps 8 bytes
per row. A check is ``blocking`` unless it says ``"severity": "warning"``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.errors import nearest_name
from airflow_provider_mlfeat.tables.blocks import blocks
from airflow_provider_mlfeat.tables.check_kinds import MEASURES, Measure
from airflow_provider_mlfeat.tables.export import Counter
from airflow_provider_mlfeat.tables.statistics import ColumnStatistics

BLOCKING, WARNING = "blocking", "warning"
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

# Fields of each kind: those that must be there, and those that may.
_FIELDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "row_count": ((), ("minimum", "maximum")),
    "nulls": (("column",), ("maximum", "maximum_share")),
    "range": (("column",), ("minimum", "maximum")),
    "allowed_values": (("column", "values"), ()),
    "unique": (("columns",), ()),
    "freshness": (("maximum_age",), ("column",)),
    "drift": (("column",), ("maximum_psi",)),
}
_ONE_OF = {"row_count": ("minimum", "maximum"), "range": ("minimum", "maximum")}
_EVERYWHERE = ("check", "severity", "name")


@dataclass(frozen=True, slots=True)
class Check:
    """One declared check.

    :param kind: ``row_count``, ``nulls``, ``range``, ``allowed_values``, ``unique``, ``freshness`` or ``drift``.
    :param severity: ``blocking`` or ``warning``.
    :param name: what results call it.
    :param columns: the columns that it looks at.
    :param minimum: the least number of rows, or the smallest value (a number, or ISO 8601 text).
    :param maximum: the largest number of rows, value, or number of NULLs.
    :param maximum_share: the largest share of NULLs.
    :param values: which values are allowed; NULL always is.
    :param maximum_age: of the newest value of a timestamp or date column, or of the table's last change.
    :param maximum_psi: the largest population stability index against the baseline.
    """

    kind: str
    severity: str = BLOCKING
    name: str = ""
    columns: tuple[str, ...] = ()
    minimum: float | str | None = None
    maximum: float | str | None = None
    maximum_share: float | None = None
    values: tuple[Any, ...] = ()
    maximum_age: timedelta | None = None
    maximum_psi: float = 0.2


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came out of one check.

    :param name: of the check.
    :param severity: of the check.
    :param passed: whether it holds.
    :param found: what was found, in words.
    :param expected: what was asked for, in words.
    """

    name: str
    severity: str
    passed: bool
    found: str
    expected: str

    @property
    def state(self) -> str:
        """``ok``, ``warning`` or ``FAILED``."""
        if self.passed:
            return "ok"
        return "FAILED" if self.severity == BLOCKING else "warning"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What came out of all checks.

    :param rows: how many rows were looked at.
    :param results: in the order in which the checks were declared.
    """

    rows: int
    results: tuple[CheckResult, ...]

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The blocking checks that do not hold."""
        return tuple(result for result in self.results if result.state == "FAILED")

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """The other checks that do not hold."""
        return tuple(result for result in self.results if result.state == "warning")

    @property
    def passed(self) -> bool:
        """Whether all blocking checks hold."""
        return not self.failures

    def raise_failures(self) -> None:
        """Raise UserError, with one sentence, when a blocking check does not hold."""
        if self.failures:
            count = f"{len(self.failures)} of {len(self.results)} checks failed"
            raise UserError(f"{count}: " + "; ".join(f"{one.name}: {one.found}" for one in self.failures))

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        results = [asdict(result) | {"state": result.state} for result in self.results]
        return {"rows": self.rows, "passed": self.passed, "results": results}

    def to_text(self) -> str:
        """A table for a log."""
        head = ("check", "state", "found", "expected")
        lines = [head, *((one.name, one.state, one.found, one.expected) for one in self.results)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
        texts = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:]])


def parse_checks(documents: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    """The checks of their documents; raises UserError for one that cannot be understood."""
    if not documents:
        raise UserError("no check is declared")
    return tuple(_parse(document, f"check {number}") for number, document in enumerate(documents, 1))


def run_checks(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    checks: Sequence[Check],
    baseline: Sequence[ColumnStatistics] = (),
    committed_at: datetime | None = None,
    now: datetime | None = None,
    progress: Counter | None = None,
) -> CheckReport:
    """Run all checks in one pass.

    :param batches: the rows.
    :param schema: of the batches.
    :param checks: from `parse_checks`.
    :param baseline: statistics of the version that drift is measured against.
    :param committed_at: when the table was last changed, for freshness without a column.
    :param now: the time that freshness is measured at; None is the present.
    :param progress: counts rows.
    """
    now = now or datetime.now(UTC)
    measures = [_measure(check, schema, baseline, committed_at, now) for check in checks]
    rows = 0
    for block in blocks(batches):
        rows += block.num_rows
        for measure in measures:
            measure.add(block)
        if progress is not None:
            progress.advance(block.num_rows)
    results = []
    for check, measure in zip(checks, measures, strict=True):
        passed, found, expected = measure.finish(rows)
        results.append(CheckResult(check.name, check.severity, passed, found, expected))
    return CheckReport(rows, tuple(results))


def _measure(
    check: Check,
    schema: pa.Schema,
    baseline: Sequence[ColumnStatistics],
    committed_at: datetime | None,
    now: datetime,
) -> Measure:
    for column in check.columns:
        if schema.get_field_index(column) < 0:
            near = nearest_name(column, schema.names)
            raise UserError(" ".join(filter(None, (f"check '{check.name}': there is no column '{column}'.", near))))
    return MEASURES[check.kind](check, schema, baseline, committed_at, now)


# ── documents ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _parse(document: Mapping[str, Any], place: str) -> Check:
    kind = str(document.get("check"))
    if kind not in _FIELDS:
        near = nearest_name(kind, _FIELDS)
        raise UserError(
            " ".join(filter(None, (f"{place}: 'check' is one of {', '.join(_FIELDS)}, not '{kind}'.", near)))
        )
    needed, optional = _FIELDS[kind]
    allowed = (*needed, *optional, *_EVERYWHERE)
    for field in document:
        if field not in allowed:
            near = nearest_name(field, allowed)
            raise UserError(" ".join(filter(None, (f"{place} ({kind}): unknown field '{field}'.", near))))
    for field in needed:
        if field not in document:
            raise UserError(f"{place} ({kind}): field '{field}' is missing")
    if kind in _ONE_OF and not any(field in document for field in _ONE_OF[kind]):
        raise UserError(f"{place} ({kind}): give {' or '.join(_ONE_OF[kind])}")
    severity = document.get("severity", BLOCKING)
    if severity not in (BLOCKING, WARNING):
        raise UserError(f"{place} ({kind}): 'severity' is 'blocking' or 'warning', not '{severity}'")
    columns = _columns(document, place)
    return Check(
        kind=kind,
        severity=severity,
        name=str(document.get("name") or f"{kind}({', '.join(columns)})".replace("()", "")),
        columns=columns,
        minimum=_bound(document, "minimum", place, kind),
        maximum=_bound(document, "maximum", place, kind),
        maximum_share=_number(document, "maximum_share", place, None, 1.0),
        values=_values(document, place),
        maximum_age=_age(document, place),
        maximum_psi=_number(document, "maximum_psi", place, 0.2, math.inf) or 0.0,
    )


def _columns(document: Mapping[str, Any], place: str) -> tuple[str, ...]:
    given = document.get("columns", document.get("column", ()))
    columns = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(column, str) and column for column in columns) or ("columns" in document and not columns):
        raise UserError(f"{place}: columns are named by texts, not {given!r}")
    return columns


def _bound(document: Mapping[str, Any], field: str, place: str, kind: str) -> float | str | None:
    value = document.get(field)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    text_allowed = kind == "range" and isinstance(value, str)
    if value is None or text_allowed or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise UserError(f"{place} ({kind}): '{field}' takes a number{' or a text' * (kind == 'range')}, not {value!r}")


def _number(document: Mapping[str, Any], field: str, place: str, default: float | None, most: float) -> float | None:
    value = document.get(field, default)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most):
        return value
    limit = "a number of at least 0" if math.isinf(most) else f"a number from 0 to {most:g}"
    raise UserError(f"{place}: '{field}' takes {limit}, not {value!r}")


def _values(document: Mapping[str, Any], place: str) -> tuple[Any, ...]:
    values = document.get("values", ())
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or ("values" in document and not values):
        raise UserError(f"{place}: 'values' takes a list of values, not {values!r}")
    return tuple(values)


def _age(document: Mapping[str, Any], place: str) -> timedelta | None:
    value = document.get("maximum_age")
    if value is None or isinstance(value, timedelta):
        return value
    found = _TIME.fullmatch(str(value).strip())
    if found is None:
        raise UserError(f"{place}: 'maximum_age' takes a time like '90m', '36h' or '2d', not {value!r}")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})
