"""What a model must fulfil: rules as documents, checked when they are read."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_mlfeat.errors import UserError

BLOCKING, WARNING = "blocking", "warning"
# Metrics that a paired resampling can compare; whether more is better.
COMPARABLE = {"auc": True, "pr_auc": True, "accuracy": True, "logloss": False, "brier": False}
MINIMUM_POSITIVES = 30


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What all rules share.

    :param name: in tables and messages; the default says what the rule asks.
    :param severity: ``blocking``, or ``warning`` for a rule that is only told.
    """

    kind: ClassVar[str]
    name: str = ""
    severity: str = BLOCKING

    def problem(self) -> str:
        """What is wrong with the rule's options; empty when nothing is."""
        return ""

    def title(self) -> str:
        """What the rule asks, in a few words."""
        return self.name or self.kind


@dataclass(frozen=True, kw_only=True)
class Threshold(Rule):
    """A metric of the evaluation lies within bounds.

    :param metric: which.
    :param minimum: the least value.
    :param maximum: the largest value.
    :param use: ``value``, or ``interval`` to ask it of the whole 95 % confidence interval.
    """

    kind: ClassVar[str] = "threshold"
    metric: str
    minimum: float | None = None
    maximum: float | None = None
    use: str = "value"

    def problem(self) -> str:
        """Bounds are needed, and known metrics."""
        from airflow_provider_mlfeat.training.evaluation.metrics import METRICS

        if self.metric not in METRICS:
            return f"there is no metric '{self.metric}'; there are {', '.join(METRICS)}"
        if self.use not in ("value", "interval"):
            return f"use is 'value' or 'interval', not '{self.use}'"
        return "" if self.minimum is not None or self.maximum is not None else "give a minimum or a maximum"

    def title(self) -> str:
        """The metric."""
        return self.name or self.metric


@dataclass(frozen=True, kw_only=True)
class Rows(Rule):
    """The evaluation has rows enough; with fewer there is no decision.

    :param minimum: how many.
    """

    kind: ClassVar[str] = "rows"
    minimum: int


@dataclass(frozen=True, kw_only=True)
class Positives(Rule):
    """The evaluation has positive rows enough; with fewer there is no decision.

    :param minimum: how many.
    """

    kind: ClassVar[str] = "positives"
    minimum: int = MINIMUM_POSITIVES


@dataclass(frozen=True, kw_only=True)
class Comparison(Rule):
    """What rules share that compare with other scores of the same rows.

    :param metric: ``auc``, ``pr_auc``, ``accuracy``, ``logloss`` or ``brier``.
    :param margin: by how much the model must be better; a negative margin says how much worse it may be.
    :param confidence: how sure the improvement must be, by a paired bootstrap.
    :param resamples: of the bootstrap; fewer are drawn where there are very many rows.
    """

    metric: str = "logloss"
    margin: float = 0.0
    confidence: float = 0.95
    resamples: int = 1000

    def problem(self) -> str:
        """A metric that can be compared, and a sensible bootstrap."""
        if self.metric not in COMPARABLE:
            return f"'{self.metric}' cannot be compared; there are {', '.join(COMPARABLE)}"
        if not 0.5 <= self.confidence < 1:
            return f"confidence lies from 0.5 to below 1, and is {self.confidence}"
        return "" if self.resamples >= 100 else "a bootstrap needs 100 resamples at least"


@dataclass(frozen=True, kw_only=True)
class BeatsBaseline(Comparison):
    """The model is better than a baseline of the evaluation.

    :param baseline: ``constant`` or ``logistic``.
    """

    kind: ClassVar[str] = "beats_baseline"
    baseline: str = "constant"

    def problem(self) -> str:
        """A baseline that there is."""
        if self.baseline not in ("constant", "logistic"):
            return f"there is no baseline '{self.baseline}'; there are constant, logistic"
        return super().problem()

    def title(self) -> str:
        """Baseline and metric."""
        return self.name or f"{self.metric} against {self.baseline}"


@dataclass(frozen=True, kw_only=True)
class BeatsChampion(Comparison):
    """The model is better than the present champion on the same rows. Without a champion the rule holds.

    :param incomparable: what it means that the champion cannot score these rows: ``undecidable`` or ``pass``.
    """

    kind: ClassVar[str] = "beats_champion"
    incomparable: str = "undecidable"

    def problem(self) -> str:
        """A known word for champions that cannot be compared."""
        if self.incomparable not in ("undecidable", "pass"):
            return f"incomparable is 'undecidable' or 'pass', not '{self.incomparable}'"
        return super().problem()

    def title(self) -> str:
        """The metric."""
        return self.name or f"{self.metric} against champion"


@dataclass(frozen=True, kw_only=True)
class Slices(Rule):
    """No group of rows is served badly: by the values of a feature column.

    :param column: the feature.
    :param metric: ``auc``, ``logloss`` or ``calibration_ratio``.
    :param minimum: the least value in every slice.
    :param maximum: the largest value in every slice.
    :param maximum_drop: how much worse than the champion a slice may be.
    :param minimum_rows: slices with fewer rows are not judged.
    :param minimum_positives: slices with fewer positive rows are not judged.
    """

    kind: ClassVar[str] = "slices"
    column: str
    metric: str = "auc"
    minimum: float | None = None
    maximum: float | None = None
    maximum_drop: float | None = None
    minimum_rows: int = 100
    minimum_positives: int = 10

    def problem(self) -> str:
        """A bound of some kind, of a metric that slices have."""
        if self.metric not in ("auc", "logloss", "calibration_ratio"):
            return f"slices have no metric '{self.metric}'; there are auc, logloss, calibration_ratio"
        if self.maximum_drop is not None and self.metric == "calibration_ratio":
            return "maximum_drop needs auc or logloss, of which one knows what is worse"
        bounds = (self.minimum, self.maximum, self.maximum_drop)
        return "" if any(bound is not None for bound in bounds) else "give a minimum, a maximum or a maximum_drop"

    def title(self) -> str:
        """Metric and column."""
        return self.name or f"{self.metric} by {self.column}"


@dataclass(frozen=True, kw_only=True)
class Latency(Rule):
    """One row is encoded and scored fast enough, in this process on one thread.

    :param maximum_ms: milliseconds.
    :param percentile: of many single rows.
    """

    kind: ClassVar[str] = "latency"
    maximum_ms: float
    percentile: float = 99.0

    def title(self) -> str:
        """The percentile."""
        return self.name or f"latency p{self.percentile:g}"


@dataclass(frozen=True, kw_only=True)
class Size(Rule):
    """The model is small enough.

    :param maximum_mb: megabytes of what a server loads: graph, weights and encoder.
    """

    kind: ClassVar[str] = "size"
    maximum_mb: float


_KINDS: dict[str, type[Rule]] = {
    one.kind: one for one in (Threshold, Rows, Positives, BeatsBaseline, BeatsChampion, Slices, Latency, Size)
}
DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {"rule": "beats_baseline", "baseline": "constant", "metric": "logloss"},
    {"rule": "beats_champion", "metric": "logloss"},
)


def parse_rules(documents: Sequence[Mapping[str, Any]] | None) -> tuple[Rule, ...]:
    """Rules from their documents, each with a ``rule`` and its options; raises UserError that says which is wrong.

    A number of positive rows is always asked for: with `MINIMUM_POSITIVES` where no rule says another.

    :param documents: the rules; None takes the default ones.
    """
    rules = [
        _parse(number, document) for number, document in enumerate(DEFAULT_RULES if documents is None else documents)
    ]
    if not rules:
        raise UserError("a gate without rules decides nothing: give at least one rule")
    if not any(isinstance(rule, Positives) for rule in rules):
        rules.insert(0, Positives())
    return tuple(rules)


def _parse(number: int, document: Mapping[str, Any]) -> Rule:
    kind = document.get("rule") if isinstance(document, Mapping) else None
    where = f"rule {number + 1}"
    if kind not in _KINDS:
        raise UserError(f"{where}: 'rule' is one of {', '.join(_KINDS)}, not {kind!r}")
    rule_type = _KINDS[kind]
    known = {one.name: one for one in dataclasses.fields(rule_type)}
    options = {name: value for name, value in document.items() if name != "rule"}
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; it takes {', '.join(known)}"
            raise UserError(f"{where} ({kind}): unknown option '{name}'{hint}")
        options[name] = _convert(value, str(known[name].type), f"{where} ({kind}): option '{name}'")
    missing = [name for name, one in known.items() if name not in options and one.default is dataclasses.MISSING]
    if missing:
        raise UserError(f"{where} ({kind}): option '{missing[0]}' is missing")
    rule = rule_type(**options)
    problem = rule.problem()
    if not problem and rule.severity not in (BLOCKING, WARNING):
        problem = f"severity is '{BLOCKING}' or '{WARNING}', not '{rule.severity}'"
    if problem:
        raise UserError(f"{where} ({kind}): {problem}")
    return rule


def _convert(value: Any, wanted: str, what: str) -> Any:
    """A value of a document, which a template may have made a text of, as the option's type."""
    if value is None and "None" in wanted:
        return None
    if wanted.startswith("str"):
        if isinstance(value, str):
            return value
        raise UserError(f"{what} takes a text, not {value!r}")
    try:
        if isinstance(value, bool):
            raise ValueError
        return int(value) if wanted.startswith("int") else float(value)
    except (TypeError, ValueError):
        raise UserError(f"{what} takes a number, not {value!r}") from None
