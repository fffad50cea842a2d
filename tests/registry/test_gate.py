"""The gate: rules, the paired bootstrap, and decisions that can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.registry.gate.bootstrap import compare
from airflow_provider_mlfeat.registry.gate.decision import Decision, Outcome, decide
from airflow_provider_mlfeat.registry.gate.evidence import Champion, Evidence, read_evidence
from airflow_provider_mlfeat.registry.gate.judging import judge
from airflow_provider_mlfeat.registry.gate.rules import parse_rules
from airflow_provider_mlfeat.registry.versions import Version
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.registry.folders import make_dataset, make_encoder, make_evaluation, make_features, make_model

Rules = list[dict[str, Any]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and three models of it: a good one, a worse one, and one that cannot tell rows apart."""
    folder = tmp_path_factory.mktemp("gate")
    make_dataset(folder / "dataset")
    for name, options in {"good": {}, "worse": {"noise": 1.2}, "flat": {"flat": True}}.items():
        make_model(folder / name, **options)
        make_evaluation(folder / f"{name}-evaluation", folder / name, folder / "dataset")
    return folder


def evidence_of(place: Path, name: str, champion: str = "") -> Evidence:
    from airflow_provider_mlfeat.dataset.folder import Dataset

    in_use = None
    if champion:
        version = Version("shop", 4, "READY", "models:/m-1", "run", {}, ("champion",), 0)
        in_use = Champion(version, TrainedModel.open(place / champion))
    model = TrainedModel.open(place / name)
    return read_evidence(model, place / f"{name}-evaluation", Dataset.open(place / "dataset"), in_use)


def judge_by(rules: Rules, evidence: Evidence) -> Decision:
    return judge(parse_rules(rules), evidence)


def outcome(decision: Decision, rule: str) -> Outcome:
    (found,) = [one for one in decision.outcomes if one.rule == rule]
    return found


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"rule": "threshhold"}, "rule 1: 'rule' is one of threshold, rows, positives, beats_baseline, beats_champion"),
        ({"metric": "auc"}, "rule 1: 'rule' is one of"),
        ({"rule": "threshold", "metric": "auc"}, "rule 1 (threshold): give a minimum or a maximum"),
        ({"rule": "threshold", "minimum": 1}, "rule 1 (threshold): option 'metric' is missing"),
        ({"rule": "threshold", "metric": "acu", "minimum": 1}, "rule 1 (threshold): there is no metric 'acu'"),
        ({"rule": "threshold", "metric": "auc", "minimun": 1}, "unknown option 'minimun'; did you mean 'minimum'?"),
        ({"rule": "threshold", "metric": "auc", "minimum": "many"}, "option 'minimum' takes a number, not 'many'"),
        ({"rule": "threshold", "metric": "auc", "minimum": True}, "option 'minimum' takes a number, not True"),
        ({"rule": "threshold", "metric": 5, "minimum": 1}, "option 'metric' takes a text, not 5"),
        ({"rule": "threshold", "metric": "auc", "minimum": 1, "use": "mean"}, "use is 'value' or 'interval'"),
        ({"rule": "rows", "minimum": 1, "severity": "mild"}, "severity is 'blocking' or 'warning', not 'mild'"),
        ({"rule": "beats_baseline", "baseline": "random"}, "there is no baseline 'random'"),
        ({"rule": "beats_baseline", "metric": "brierr"}, "'brierr' cannot be compared"),
        ({"rule": "beats_champion", "confidence": 1}, "confidence lies from 0.5 to below 1"),
        ({"rule": "beats_champion", "resamples": 5}, "a bootstrap needs 100 resamples at least"),
        ({"rule": "beats_champion", "incomparable": "no"}, "incomparable is 'undecidable' or 'pass'"),
        ({"rule": "slices", "column": "city"}, "give a minimum, a maximum or a maximum_drop"),
        ({"rule": "slices", "column": "city", "metric": "f1", "minimum": 0}, "slices have no metric 'f1'"),
        (
            {"rule": "slices", "column": "city", "metric": "calibration_ratio", "maximum_drop": 0.1},
            "maximum_drop needs auc or logloss",
        ),
    ],
)
def test_a_wrong_rule_is_told_with_its_place(rule: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        parse_rules([rule])
    assert sentence in str(error.value)


def test_no_rules_decide_nothing() -> None:
    with pytest.raises(UserError, match="a gate without rules decides nothing"):
        parse_rules([])


def test_numbers_may_come_as_texts_from_templates() -> None:
    _, rule = parse_rules([{"rule": "threshold", "metric": "auc", "minimum": "0.75"}])
    assert rule.minimum == 0.75  # type: ignore[attr-defined]


def test_positives_are_always_asked_for() -> None:
    assert [rule.kind for rule in parse_rules(None)] == ["positives", "beats_baseline", "beats_champion"]
    assert [rule.kind for rule in parse_rules([{"rule": "positives", "minimum": 5}])] == ["positives"]


# ── decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_model_is_accepted_with_all_numbers(place: Path) -> None:
    rules: Rules = [
        {"rule": "rows", "minimum": 1000},
        {"rule": "threshold", "metric": "auc", "minimum": 0.7, "use": "interval"},
        {"rule": "threshold", "metric": "calibration_slope", "minimum": 0.8, "maximum": 1.2},
        {"rule": "beats_baseline", "baseline": "constant"},
        {"rule": "beats_baseline", "baseline": "logistic", "margin": -0.05},
        {"rule": "slices", "column": "city", "minimum": 0.6},
        {"rule": "latency", "maximum_ms": 1000},
        {"rule": "size", "maximum_mb": 5},
    ]
    decision = judge_by(rules, evidence_of(place, "good"))
    assert decision.accepted, decision.to_text()
    assert {one.state for one in decision.outcomes} == {"passed"}
    assert all(one.value is not None for one in decision.outcomes)
    assert decision.reason == "9 of 9 blocking rules hold, and none fails"


def test_a_model_that_cannot_tell_rows_apart_is_rejected(place: Path) -> None:
    rules: Rules = [{"rule": "threshold", "metric": "auc", "minimum": 0.6}, {"rule": "beats_baseline"}]
    decision = judge_by(rules, evidence_of(place, "flat"))
    assert decision.decision == "rejected"
    assert "auc: 0.5, expected 0.6 or more; logloss against constant: " in decision.reason


def test_high_accuracy_is_no_merit_where_positives_are_rare() -> None:
    """A model that says 'no' to everything is right 99.9 % of the time, and worse than a constant."""
    labels = np.zeros(50_000, np.float32)
    labels[:60] = 1
    zeros = np.zeros(50_000, np.float32)
    evidence = bare_evidence(labels, zeros, constant=0.0012)
    rules: Rules = [
        {"rule": "threshold", "metric": "accuracy", "minimum": 0.99},
        {"rule": "threshold", "metric": "auc", "minimum": 0.6},
        {"rule": "beats_baseline", "baseline": "constant"},
    ]
    decision = judge_by(rules, evidence)
    assert outcome(decision, "accuracy").state == "passed"
    assert outcome(decision, "auc").state == "failed"
    against = outcome(decision, "logloss against constant")
    assert against.state == "failed"
    assert against.value is not None
    assert against.value < 0
    assert decision.decision == "rejected"


def bare_evidence(labels: np.ndarray, scores: np.ndarray, constant: float) -> Evidence:
    class Folder:
        class manifest:
            fingerprint = "f" * 64

    document = {"dataset_fingerprint": "d", "split": "test", "baselines": {"constant": {}}}
    baselines = {"constant": np.full(len(labels), constant, np.float32)}
    return Evidence(Folder(), document, labels, scores, baselines)  # type: ignore[arg-type]


def test_three_positives_decide_nothing() -> None:
    labels = np.zeros(2500, np.float32)
    labels[:3] = 1
    scores = np.where(labels == 1, 0.9, 0.001).astype(np.float32)
    decision = judge_by([{"rule": "beats_baseline"}], bare_evidence(labels, scores, 0.0012))
    assert decision.decision == "undecidable"
    assert not decision.accepted
    assert decision.reason.startswith("positives: 3 positives, expected 30 or more")


def test_a_metric_without_a_value_decides_nothing() -> None:
    labels = np.ones(100, np.float32)
    evidence = bare_evidence(labels, np.full(100, 0.5, np.float32), 0.5)
    decision = judge_by([{"rule": "threshold", "metric": "auc", "minimum": 0.1}], evidence)
    assert outcome(decision, "auc").found == "auc has no value on these rows"
    assert decision.decision == "undecidable"


def test_a_warning_is_told_and_does_not_decide(place: Path) -> None:
    rules: Rules = [{"rule": "threshold", "metric": "auc", "minimum": 0.99, "severity": "warning"}]
    decision = judge_by(rules, evidence_of(place, "good"))
    assert decision.accepted
    assert "failed (warning)" in decision.to_text()


def test_the_first_model_has_no_champion_to_beat(place: Path) -> None:
    decision = judge_by([{"rule": "beats_champion"}], evidence_of(place, "good"))
    assert outcome(decision, "logloss against champion").found == "there is no champion yet"
    assert decision.accepted


@pytest.mark.parametrize("metric", ["auc", "logloss", "pr_auc", "brier"])
def test_only_a_better_model_beats_the_champion(place: Path, metric: str) -> None:
    rules: Rules = [{"rule": "beats_champion", "metric": metric}]
    better = judge_by(rules, evidence_of(place, "good", champion="worse"))
    worse = judge_by(rules, evidence_of(place, "worse", champion="good"))
    assert (better.decision, worse.decision) == ("accepted", "rejected")
    assert better.champion_version == "4"
    margin: Rules = [{"rule": "beats_champion", "metric": metric, "margin": 0.9}]
    assert judge_by(margin, evidence_of(place, "good", champion="worse")).decision == "rejected"


def test_the_champion_itself_passes(place: Path) -> None:
    decision = judge_by([{"rule": "beats_champion"}], evidence_of(place, "good", champion="good"))
    assert outcome(decision, "logloss against champion").found == "the model is the champion, version 4"
    assert decision.accepted


@pytest.mark.parametrize(("incomparable", "expected"), [("undecidable", "undecidable"), ("pass", "accepted")])
def test_a_champion_of_other_features(place: Path, tmp_path: Path, incomparable: str, expected: str) -> None:
    make_model(tmp_path / "other", encoder=make_encoder(extra="weather"))
    evidence = evidence_of(place, "good", champion=str(tmp_path / "other"))
    decision = judge_by([{"rule": "beats_champion", "incomparable": incomparable}], evidence)
    found = outcome(decision, "logloss against champion").found
    assert found == "champion version 4 reads feature 'weather', which the dataset lacks"
    assert decision.decision == expected


def test_slices_find_the_group_that_is_served_badly(place: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "biased", broken_city="lima")
    make_evaluation(tmp_path / "biased-evaluation", tmp_path / "biased", place / "dataset")
    evidence = evidence_of(place, "good")
    bad = read_evidence(
        TrainedModel.open(tmp_path / "biased"), tmp_path / "biased-evaluation", evidence.dataset,
        evidence_of(place, "good", champion="good").champion,
    )  # fmt: skip
    rules: Rules = [{"rule": "slices", "column": "city", "metric": "logloss", "maximum_drop": 0.05}]
    decision = judge_by(rules, bad)
    found = outcome(decision, "logloss by city")
    assert found.state == "failed"
    assert found.found.startswith("city=lima (")
    assert "rome" not in found.found
    assert judge_by(rules, evidence_of(place, "good", champion="good")).accepted


def test_slices_that_are_too_small_decide_nothing(place: Path) -> None:
    rules: Rules = [{"rule": "slices", "column": "city", "minimum": 0.5, "minimum_rows": 10**6}]
    decision = judge_by(rules, evidence_of(place, "good"))
    assert outcome(decision, "auc by city").found == "no slice of 'city' has 1000000 rows and 10 positives"
    assert decision.decision == "undecidable"


def test_an_unknown_slice_column_is_a_mistake(place: Path) -> None:
    with pytest.raises(UserError, match="slice column 'town' is none of the dataset's features"):
        judge_by([{"rule": "slices", "column": "town", "minimum": 0.5}], evidence_of(place, "good"))


def test_slices_need_the_dataset(place: Path) -> None:
    evidence = read_evidence(TrainedModel.open(place / "good"), place / "good-evaluation")
    with pytest.raises(UserError, match="slices and champions need the rows behind the scores: give the dataset"):
        judge_by([{"rule": "slices", "column": "city", "minimum": 0.5}], evidence)


def test_latency_and_size(place: Path) -> None:
    rules: Rules = [{"rule": "latency", "maximum_ms": 1e-6}, {"rule": "size", "maximum_mb": 1e-6}]
    decision = judge_by(rules, evidence_of(place, "good"))
    assert [outcome(decision, name).state for name in ("latency p99", "size")] == ["failed", "failed"]


# ── evidence ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_evaluation_of_another_model_is_refused(place: Path) -> None:
    with pytest.raises(UserError, match="is of model .{12}, and the model is .{12}: evaluate this model"):
        read_evidence(TrainedModel.open(place / "good"), place / "worse-evaluation")


def test_an_evaluation_of_other_data_is_refused(place: Path, tmp_path: Path) -> None:
    from airflow_provider_mlfeat.dataset.folder import Dataset

    make_dataset(tmp_path / "dataset", seed=9)
    with pytest.raises(UserError, match="is of dataset .{12}, and the dataset given is .{12}"):
        read_evidence(TrainedModel.open(place / "good"), place / "good-evaluation", Dataset.open(tmp_path / "dataset"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "evaluation.json").unlink(), "is no evaluation: it has no evaluation.json"),
        (lambda folder: (folder / "evaluation.json").write_text("{"), "evaluation.json cannot be read"),
        (lambda folder: (folder / "evaluation.json").write_text("{}"), "lacks 'model_fingerprint'"),
        (lambda folder: (folder / "scores.parquet").unlink(), "scores.parquet holds no scores"),
        (lambda folder: (folder / "scores.parquet").write_text("x"), "scores.parquet holds no scores"),
    ],
)
def test_a_damaged_evaluation_is_refused(place: Path, tmp_path: Path, change: Any, sentence: str) -> None:
    folder = make_evaluation(tmp_path / "evaluation", place / "good", place / "dataset")
    change(folder)
    with pytest.raises(UserError, match=sentence):
        read_evidence(TrainedModel.open(place / "good"), folder)


def test_scores_that_are_no_numbers_are_refused(place: Path, tmp_path: Path) -> None:
    folder = make_evaluation(tmp_path / "evaluation", place / "good", place / "dataset", broken_score=17)
    with pytest.raises(UserError, match="the score of row 17 is no number"):
        read_evidence(TrainedModel.open(place / "good"), folder)


# ── the bootstrap ────────────────────────────────────────────────────────────────────────────────────────────────────


def planted(seed: int, rows: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, the scores that made them, and scores that know less."""
    random = np.random.default_rng(seed)
    signal = random.normal(0, 1.5, rows)
    labels = (random.random(rows) < 1 / (1 + np.exp(2 - signal))).astype(np.float32)
    blurred = signal * 0.6 + random.normal(0, 0.9, rows)
    return labels, 1 / (1 + np.exp(2 - signal)), 1 / (1 + np.exp(2 - blurred))


def test_better_is_accepted_and_worse_rejected_in_100_of_100_trials() -> None:
    rules: Rules = [{"rule": "beats_baseline", "metric": "auc", "resamples": 200}]
    accepted = rejected = 0
    for seed in range(100):
        labels, better, worse = planted(seed)
        forwards = bare_evidence(labels, better.astype(np.float32), 0.1)
        forwards.baselines["constant"] = worse.astype(np.float32)
        backwards = bare_evidence(labels, worse.astype(np.float32), 0.1)
        backwards.baselines["constant"] = better.astype(np.float32)
        accepted += judge_by(rules, forwards).accepted
        rejected += judge_by(rules, backwards).decision == "rejected"
    assert (accepted, rejected) == (100, 100)


def test_the_bound_is_as_sure_as_it_says() -> None:
    """Of models that are equally good, one in twenty looks better with 95 % confidence, and not more."""
    fooled = 0
    for seed in range(200):
        random = np.random.default_rng(seed + 10_000)
        labels, scores, _ = planted(seed, 800)
        odds = np.log(scores / (1 - scores))
        one, other = (1 / (1 + np.exp(-(odds + random.normal(0, 0.5, len(odds))))) for _ in range(2))
        found = compare(labels, one, other, "auc", resamples=200, seed=seed)
        assert found is not None
        fooled += found.low > 0
    assert fooled <= 22, fooled


def test_pairing_sees_what_separate_intervals_do_not() -> None:
    from airflow_provider_mlfeat.training.evaluation.counts import count_scores
    from airflow_provider_mlfeat.training.evaluation.intervals import confidence_intervals

    labels, scores, _ = planted(3)
    odds = np.log(scores / (1 - scores)) + np.random.default_rng(4).normal(0, 0.35, len(scores))
    blurred = 1 / (1 + np.exp(-odds))
    found = compare(labels, scores, blurred, "auc")
    assert found is not None
    assert found.low > 0
    low, high = (confidence_intervals(count_scores(labels, one))["auc"] for one in (scores, blurred))
    assert low[0] < high[1], "the separate intervals overlap"


def test_the_same_scores_are_no_improvement() -> None:
    labels, scores, _ = planted(1)
    found = compare(labels, scores, scores, "logloss", resamples=100)
    assert found is not None
    assert (found.value, found.low, found.high) == (0, 0, 0)


# ── documents ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_decision_reads_back(place: Path, tmp_path: Path) -> None:
    decision = judge_by([{"rule": "beats_baseline"}], evidence_of(place, "good"))
    decision.write(tmp_path / "decision.json")
    assert Decision.read(tmp_path / "decision.json") == decision
    assert json.loads((tmp_path / "decision.json").read_text())["version"] == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "there is no decision at"),
        ("{", "holds no decision"),
        ("[]", "holds no decision"),
        ('{"version": 9}', "has version 9"),
    ],
)
def test_what_is_no_decision_is_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "decision.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        Decision.read(path)


def test_a_failed_rule_outweighs_an_undecidable_one() -> None:
    outcomes = [
        Outcome("a", "rows", "blocking", "undecidable", "1", "2"),
        Outcome("b", "size", "blocking", "failed", "3|4", "5"),
    ]
    assert decide(outcomes) == ("rejected", "b: 3|4, expected 5")


def test_tables_survive_what_stands_in_them(place: Path) -> None:
    outcomes = (Outcome("a|b", "size", "blocking", "failed", "x\ny", "z"),)
    decision = Decision("rejected", "why", "m", "d", "test", "", "", False, outcomes, "now")
    assert "| a\\|b | failed | x y | z |" in decision.to_markdown()


def test_features_hold_nulls() -> None:
    assert all(make_features(500).column(name).null_count for name in make_features(1).column_names)
