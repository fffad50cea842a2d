"""Rules and evidence in, a decision out."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.registry.gate.bootstrap import Improvement, compare
from airflow_provider_mlfeat.registry.gate.decision import (
    FAILED,
    PASSED,
    SKIPPED,
    UNDECIDABLE,
    Decision,
    Outcome,
    decide,
)
from airflow_provider_mlfeat.registry.gate.evidence import Evidence
from airflow_provider_mlfeat.registry.gate.rules import (
    BeatsBaseline,
    BeatsChampion,
    Comparison,
    Latency,
    Positives,
    Rows,
    Rule,
    Size,
    Slices,
    Threshold,
)

Check = Callable[[], None]
# State, what was found, what was expected, the number behind it.
Judged = tuple[str, str, str, float | None]
_LATENCY_ROWS = 300
_SERVED = ("model.onnx", "model.onnx.data")


def judge(
    rules: Sequence[Rule],
    evidence: Evidence,
    *,
    model_name: str = "",
    champion_compared: bool = False,
    stage: Callable[[str], None] = lambda _: None,
    check: Check = lambda: None,
) -> Decision:
    """Judge a candidate by rules.

    :param rules: what is asked.
    :param evidence: what is known.
    :param model_name: the registered model's.
    :param champion_compared: whether a champion was looked for.
    :param stage: told which rule is judged.
    :param check: called in long loops, to stop when cancelled.
    """
    outcomes = []
    for rule in rules:
        stage(rule.title())
        state, found, expected, value = _judge(rule, evidence, check)
        outcomes.append(Outcome(rule.title(), rule.kind, rule.severity, state, found, expected, value))
    decision, reason = decide(outcomes)
    return Decision(
        decision=decision,
        reason=reason,
        model_fingerprint=evidence.model.manifest.fingerprint,
        dataset_fingerprint=str(evidence.evaluation["dataset_fingerprint"]),
        split=str(evidence.evaluation["split"]),
        model_name=model_name,
        champion_version=str(evidence.champion.version.number) if evidence.champion else "",
        champion_compared=champion_compared,
        outcomes=tuple(outcomes),
        made_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _judge(rule: Rule, evidence: Evidence, check: Check) -> Judged:
    if isinstance(rule, Threshold):
        return _threshold(rule, evidence)
    if isinstance(rule, Rows):
        return _enough("rows", len(evidence.labels), rule.minimum)
    if isinstance(rule, Positives):
        return _enough("positives", int((evidence.labels == 1).sum()), rule.minimum)
    if isinstance(rule, BeatsBaseline):
        return _beats_baseline(rule, evidence, check)
    if isinstance(rule, BeatsChampion):
        return _beats_champion(rule, evidence, check)
    if isinstance(rule, Slices):
        return _slices(rule, evidence)
    if isinstance(rule, Latency):
        return _latency(rule, evidence, check)
    assert isinstance(rule, Size)
    return _size(rule, evidence)


def _threshold(rule: Threshold, evidence: Evidence) -> Judged:
    value = evidence.metrics[rule.metric]
    expected = _bounds(rule.minimum, rule.maximum)
    if value is None:
        return UNDECIDABLE, f"{rule.metric} has no value on these rows", expected, None
    low = high = value
    found = _number(value)
    if rule.use == "interval":
        if rule.metric not in evidence.intervals:
            return UNDECIDABLE, f"{rule.metric} has no interval on these rows", expected, value
        low, high = evidence.intervals[rule.metric]
        found += f" ({_number(low)} to {_number(high)})"
    return _within(low, high, rule.minimum, rule.maximum), found, expected, value


def _enough(what: str, found: int, minimum: int) -> Judged:
    state = PASSED if found >= minimum else UNDECIDABLE
    return state, f"{found} {what}", f"{minimum} or more", float(found)


def _beats_baseline(rule: BeatsBaseline, evidence: Evidence, check: Check) -> Judged:
    expected = _margin(rule, rule.baseline)
    scores = evidence.baselines.get(rule.baseline)
    if scores is not None:
        return _improvement(rule, compare_scores(rule, evidence, scores, check), rule.baseline)
    said = (evidence.evaluation.get("baselines") or {}).get(rule.baseline)
    if not said:
        return UNDECIDABLE, f"the evaluation has no {rule.baseline} baseline", expected, None
    # The baseline's scores were not kept: its number stands against the model's interval.
    theirs, interval = said.get("metrics", said).get(rule.metric), evidence.intervals.get(rule.metric)
    mine = evidence.metrics[rule.metric]
    if theirs is None or interval is None or mine is None:
        return UNDECIDABLE, f"{rule.metric} has no value on these rows", expected, None
    better = rule.metric not in ("logloss", "brier")
    improvement = mine - theirs if better else theirs - mine
    surely = interval[0] - theirs if better else theirs - interval[1]
    found = f"{_number(mine)} against {_number(theirs)}, better by {_signed(improvement)} ({_signed(surely)} at least)"
    return PASSED if surely > rule.margin else FAILED, found, expected, improvement


def _beats_champion(rule: BeatsChampion, evidence: Evidence, check: Check) -> Judged:
    champion = evidence.champion
    expected = _margin(rule, "the champion")
    if champion is None:
        return SKIPPED, "there is no champion yet", expected, None
    named = f"version {champion.version.number}"
    if champion.model.manifest.fingerprint == evidence.model.manifest.fingerprint:
        return PASSED, f"the model is the champion, {named}", expected, None
    try:
        scores = evidence.champion_scores
    except UserError as error:
        if evidence.dataset is None:
            raise
        state = SKIPPED if rule.incomparable == "pass" else UNDECIDABLE
        return state, str(error), expected, None
    return _improvement(rule, compare_scores(rule, evidence, scores, check), named)


def compare_scores(rule: Comparison, evidence: Evidence, scores: Any, check: Check) -> Improvement | None:
    """The candidate against other scores of the same rows."""
    return compare(
        evidence.labels,
        evidence.scores,
        scores,
        rule.metric,
        confidence=rule.confidence,
        resamples=rule.resamples,
        check=check,
    )


def _improvement(rule: Comparison, found: Improvement | None, other: str) -> Judged:
    expected = _margin(rule, other)
    if found is None:
        return UNDECIDABLE, f"{rule.metric} has no value on these rows", expected, None
    text = (
        f"{_number(found.first)} against {_number(found.second)}, better by {_signed(found.value)} "
        f"({_signed(found.low)} to {_signed(found.high)})"
    )
    return PASSED if found.low > rule.margin else FAILED, text, expected, found.value


def _slices(rule: Slices, evidence: Evidence) -> Judged:
    from airflow_provider_mlfeat.training.evaluation.slices import compute_slices

    expected = _bounds(rule.minimum, rule.maximum)
    if rule.maximum_drop is not None:
        drop = f"at most {_number(rule.maximum_drop)} worse than the champion"
        expected = f"{expected}, {drop}" if expected else drop
    mine = compute_slices(evidence.features, (rule.column,), evidence.labels, evidence.scores)[rule.column]
    large = [one for one in mine if one["rows"] >= rule.minimum_rows and one["positives"] >= rule.minimum_positives]
    judged = [one for one in large if one[rule.metric] is not None]
    if not judged:
        rows = f"{rule.minimum_rows} rows and {rule.minimum_positives} positives"
        return UNDECIDABLE, f"no slice of '{rule.column}' has {rows}", expected, None
    theirs: dict[str, Any] = {}
    if rule.maximum_drop is not None and evidence.champion is not None:
        slices = compute_slices(evidence.features, (rule.column,), evidence.labels, evidence.champion_scores)
        theirs = {one["value"]: one[rule.metric] for one in slices[rule.column]}
    wrong = [text for one in judged if (text := _wrong_slice(rule, one, theirs.get(one["value"])))]
    worst = _worst(rule, judged)
    if wrong:
        return FAILED, "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""), expected, worst
    left_out = f", {len(mine) - len(judged)} too small" if len(judged) < len(mine) else ""
    return PASSED, f"{len(judged)} slices, the worst {_number(worst)}{left_out}", expected, worst


def _wrong_slice(rule: Slices, one: dict[str, Any], champion: float | None) -> str:
    """What is wrong with one slice; empty when nothing is."""
    value = one[rule.metric]
    named = f"{rule.column}={one['value']} ({one['rows']} rows): {_number(value)}"
    if _within(value, value, rule.minimum, rule.maximum) == FAILED:
        return named
    if rule.maximum_drop is None or champion is None:
        return ""
    drop = champion - value if rule.metric == "auc" else value - champion
    return f"{named}, the champion {_number(champion)}" if drop > rule.maximum_drop else ""


def _worst(rule: Slices, slices: list[dict[str, Any]]) -> float:
    values = [float(one[rule.metric]) for one in slices]
    if rule.metric == "calibration_ratio":
        return max(values, key=lambda value: abs(value - 1))
    return min(values) if rule.metric == "auc" else max(values)


def _latency(rule: Latency, evidence: Evidence, check: Check) -> Judged:
    """Raw features to score, row by row, as a server does it."""
    import pyarrow.parquet as pq

    from airflow_provider_mlfeat.training.model_folder import GOLDEN_FEATURES
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

    model = TrainedModel.open(evidence.model.folder, threads=1)
    rows = pq.read_table(model.folder / GOLDEN_FEATURES).to_pylist()
    spent = []
    for number in range(_LATENCY_ROWS + 20):
        check()
        began = time.perf_counter()
        encoded = model.encoder.encode_row(rows[number % len(rows)])
        model.predict(encoded.ids[None, :], encoded.values[None, :])
        spent.append(time.perf_counter() - began)
    # The first rows pay for what is loaded once.
    value = float(np.percentile(spent[20:], rule.percentile)) * 1e3
    return PASSED if value <= rule.maximum_ms else FAILED, f"{value:.3g} ms", f"{rule.maximum_ms:g} ms or less", value


def _size(rule: Size, evidence: Evidence) -> Judged:
    names = (*_SERVED, evidence.model.manifest.encoder)
    paths = [evidence.model.folder / name for name in names]
    value = sum(path.stat().st_size for path in paths if path.exists()) / 1e6
    return PASSED if value <= rule.maximum_mb else FAILED, f"{value:.3g} MB", f"{rule.maximum_mb:g} MB or less", value


def _within(low: float, high: float, minimum: float | None, maximum: float | None) -> str:
    too_low = minimum is not None and low < minimum
    too_high = maximum is not None and high > maximum
    return FAILED if too_low or too_high else PASSED


def _bounds(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f"{_number(minimum)} to {_number(maximum)}"
    if minimum is not None:
        return f"{_number(minimum)} or more"
    return "" if maximum is None else f"{_number(maximum)} or less"


def _margin(rule: Comparison, other: str) -> str:
    sure = f"with {rule.confidence:.0%} confidence"
    if rule.margin >= 0:
        by = f" by more than {_number(rule.margin)}" if rule.margin else ""
        return f"better than {other}{by} {sure}"
    return f"at most {_number(-rule.margin)} worse than {other} {sure}"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _signed(value: float) -> str:
    return f"{value:+.3g}"
