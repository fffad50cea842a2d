"""What a run found: per feature, per failing case, and in one line."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

from tests.conformance.cases import Case
from tests.conformance.features import features_of

KINDS = ("result", "must_fail")
PASSED, FAILED, DEVIATING = "passed", "failed", "deviates"


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    :param case: the case.
    :param status: passed, failed, or deviates when it fails for a documented reason.
    :param reason: what is wrong, or the documented reason.
    :param got: the answer or error as text, for a failing case.
    :param placed: whether a refusal names line and column.
    """

    case: Case
    status: str
    reason: str = ""
    got: str = ""
    placed: bool = False


@dataclass(frozen=True)
class Report:
    """All outcomes of one engine.

    :param engine: its name.
    :param outcomes: one per case that it runs.
    """

    engine: str
    outcomes: list[Outcome]

    def count(self, status: str, kind: str | None = None) -> int:
        """How many cases of a kind ended with a status."""
        return sum(o.status == status and kind in (None, o.case.kind) for o in self.outcomes)

    def total(self, kind: str | None = None) -> int:
        """How many cases of a kind were run."""
        return sum(kind in (None, o.case.kind) for o in self.outcomes)

    @property
    def failures(self) -> list[Outcome]:
        """Cases that fail without a documented reason."""
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]

    @property
    def summary(self) -> str:
        """``ENGINE passed/total``."""
        return f"{self.engine} {self.count(PASSED)}/{self.total()}"

    def lines(self) -> list[str]:
        """The whole report; its last line is the summary."""
        return [*self._features(), *self._failures(), *self._deviations(), *self._kinds(), self.summary]

    def _features(self) -> list[str]:
        total: Counter[str] = Counter()
        passed: Counter[str] = Counter()
        for outcome in self.outcomes:
            used = features_of(outcome.case)
            total.update(used)
            passed.update(used if outcome.status == PASSED else ())
        return [f"{name:<48} {passed[name]}/{total[name]}" for name in sorted(total)]

    def _failures(self) -> list[str]:
        return [line for outcome in self.failures for line in _failure(outcome)]

    def _deviations(self) -> list[str]:
        return [f"DEVIATES {o.case.name}: {o.reason}" for o in self.outcomes if o.status == DEVIATING]

    def _kinds(self) -> list[str]:
        placed = sum(outcome.placed for outcome in self.outcomes)
        return [
            f"results {self.count(PASSED, 'result')}/{self.total('result')}",
            f"refused {self.count(PASSED, 'must_fail')}/{self.total('must_fail')}, {placed} with line and column",
            f"documented deviations {self.count(DEVIATING)}",
        ]

    def to_json(self) -> dict[str, object]:
        """The report as plain data."""
        return {
            "engine": self.engine,
            "passed": self.count(PASSED),
            "total": self.total(),
            "kinds": {kind: {"passed": self.count(PASSED, kind), "total": self.total(kind)} for kind in KINDS},
            "placed": sum(outcome.placed for outcome in self.outcomes),
            "cases": [
                {"key": o.case.key, "name": o.case.name, "kind": o.case.kind}
                | {name: value for name, value in dataclasses.asdict(o).items() if name != "case"}
                for o in self.outcomes
            ],
        }


def _failure(outcome: Outcome) -> list[str]:
    case = outcome.case
    expected = "an error at compile time" if case.expectation is None else _rows(list(case.expectation.rows))
    return [
        f"FAIL {case.key} {case.name}: {outcome.reason}",
        *(f"    {line}" for line in case.sql.splitlines()),
        *(f"    table {table.name} {_rows(list(table.rows))}" for table in case.tables),
        f"  expected {expected}",
        f"  got      {outcome.got}",
    ]


def _rows(rows: list[tuple[object, ...]]) -> str:
    shown = ", ".join(map(repr, rows[:12]))
    return f"[{shown}]" if len(rows) <= 12 else f"[{shown}, … {len(rows)} rows]"
