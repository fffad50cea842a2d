"""Boosted trees, and their graph against XGBoost itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.errors import CancelledError, UserError
from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics
from airflow_provider_mlfeat.training.examples import Examples, TrainingData
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.gradient_boosting.boosting import boost
from airflow_provider_mlfeat.training.gradient_boosting.graph import export_trees
from airflow_provider_mlfeat.training.gradient_boosting.settings import BoostingSettings
from airflow_provider_mlfeat.training.reporting import Silence


def examples(rows: int, seed: int, values: int = 2, fields: int = 2, missing: float = 0.0) -> Examples:
    random = np.random.default_rng(seed)
    ids = random.integers(0, 20, (rows, fields)).astype(np.int32)
    numbers = random.normal(size=(rows, values)).astype(np.float32)
    odds = -1.0 + (2.5 * (ids[:, 0] % 3 == 0) if fields else 0) + (numbers[:, 0] if values else 0)
    numbers[random.random(numbers.shape) < missing] = np.nan
    return Examples(ids, numbers, (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float32))


def data(**changes: float) -> TrainingData:
    train, valid = examples(2_000, 1, **changes), examples(800, 2, **changes)
    names = tuple(f"c{place}" for place in range(train.ids.shape[1]))
    values = tuple(f"v{place}" for place in range(train.values.shape[1]))
    return TrainingData(FieldLayout(names, (20,) * len(names), values), train, valid)


def graph_scores(path: Path, rows: Examples) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    feed = {}
    for tensor in session.get_inputs():
        feed[tensor.name] = rows.ids.astype(np.int64) if tensor.name == "INPUT_0" else rows.values
    return session.run(["OUTPUT_0"], feed)[0]


@pytest.mark.parametrize(("fields", "values"), [(2, 2), (2, 0), (0, 2)])
def test_the_graph_gives_what_xgboost_gives(tmp_path: Path, fields: int, values: int) -> None:
    given_data = data(fields=fields, values=values)
    trees = boost(given_data, BoostingSettings(trees=60, threads=1), Silence(), Silence())
    export_trees(trees.booster, fields, values, tmp_path / "model.onnx")
    found = graph_scores(tmp_path / "model.onnx", given_data.valid)
    assert found.shape == (800, 1)
    np.testing.assert_allclose(found[:, 0], trees.scores(given_data.valid), atol=1e-6)
    assert compute_metrics(given_data.valid.labels, found[:, 0])["auc"] > 0.6


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), depth=st.integers(1, 8), trees=st.integers(1, 30), missing=st.sampled_from([0, 0.3])
)
def test_any_trees_and_any_rows(
    tmp_path_factory: pytest.TempPathFactory, seed: int, depth: int, trees: int, missing: float
) -> None:
    """Rows at exactly a threshold included: ids are integers, and thresholds lie among them."""
    import xgboost as xgb

    from airflow_provider_mlfeat.training.gradient_boosting.boosting import columns_of

    rows = examples(400, seed, missing=missing)
    parameters = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.7, "nthread": 1, "tree_method": "exact"}
    booster = xgb.train(parameters, xgb.DMatrix(columns_of(rows), rows.labels), trees)
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_trees(booster, 2, 2, path)
    probe = examples(300, seed + 1, missing=missing)
    np.testing.assert_allclose(
        graph_scores(path, probe)[:, 0], booster.inplace_predict(columns_of(probe), missing=np.nan), atol=2e-6
    )


def test_training_stops_when_it_gets_no_better_and_keeps_the_best_tree() -> None:
    trees = boost(data(), BoostingSettings(trees=400, learning_rate=0.5, patience=5, threads=1), Silence(), Silence())
    assert trees.best < len(trees.epochs) < 400
    assert trees.booster.num_boosted_rounds() == trees.best
    losses = [epoch["valid_logloss"] for epoch in trees.epochs]
    assert min(losses) == losses[trees.best - 1]
    scores = trees.scores(data().valid)
    assert compute_metrics(data().valid.labels, scores)["logloss"] == pytest.approx(min(losses), abs=1e-5)


def test_the_same_seed_gives_the_same_trees() -> None:
    chosen = BoostingSettings(trees=20, row_share=0.5, column_share=0.5, threads=1)
    one, other = (boost(data(), chosen, Silence(), Silence()).scores(data().valid) for _ in range(2))
    assert np.array_equal(one, other)


class Stopped(Silence):
    """Asks to stop after three trees."""

    def __init__(self) -> None:
        self.trees = 0

    def check(self) -> None:
        self.trees += 1
        if self.trees == 3:
            raise CancelledError("the job was cancelled")


def test_boosting_can_be_cancelled() -> None:
    with pytest.raises(CancelledError):
        boost(data(), BoostingSettings(trees=10_000, patience=0, threads=1), Silence(), Stopped())


def test_a_field_with_too_many_ids_is_refused() -> None:
    given_data = data()
    huge = TrainingData(FieldLayout(("c0", "c1"), (20, 1 << 25), ("v0", "v1")), given_data.train, given_data.valid)
    with pytest.raises(UserError, match="field 'c1' has 33554432 ids, and trees tell 16777216 apart"):
        boost(huge, BoostingSettings(), Silence(), Silence())


def test_rows_that_trees_cannot_learn_from_are_refused() -> None:
    given_data = data()
    labels = given_data.train.labels.copy()
    labels[7] = np.nan
    broken = Examples(given_data.train.ids, given_data.train.values, labels)
    with pytest.raises(UserError, match="split 'train', row 7: label is null"):
        boost(TrainingData(given_data.layout, broken, given_data.valid), BoostingSettings(), Silence(), Silence())
    values = given_data.valid.values.copy()
    values[3, 1] = np.inf
    broken = Examples(given_data.valid.ids, values, given_data.valid.labels)
    with pytest.raises(UserError, match="split 'valid', row 3: field 'v1' is infinite"):
        boost(TrainingData(given_data.layout, given_data.train, broken), BoostingSettings(), Silence(), Silence())
    empty = Examples(given_data.valid.ids[:0], given_data.valid.values[:0], given_data.valid.labels[:0])
    with pytest.raises(UserError, match="split 'valid' has no rows"):
        boost(TrainingData(given_data.layout, given_data.train, empty), BoostingSettings(), Silence(), Silence())
