"""Boosted trees, and their graph against XGBoost itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xgboost.core import XGBoostError

from airflow_provider_mlfeat.errors import CancelledError, TransientError, UserError
from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics
from airflow_provider_mlfeat.training.examples import Examples, TrainingData
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.gradient_boosting.boosting import BoostedTrees, boost
from airflow_provider_mlfeat.training.gradient_boosting.failures import explained
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


class StopsAfter(Silence):
    """Asks to stop after so many trees of this try."""

    def __init__(self, trees: int) -> None:
        self.left = trees

    def check(self) -> None:
        self.left -= 1
        if not self.left:
            raise CancelledError("the job was cancelled")


def raw(trees: BoostedTrees) -> bytes:
    return bytes(trees.booster.save_raw("ubj"))


def metrics(trees: BoostedTrees) -> list[tuple[float, ...]]:
    names = ("epoch", "train_loss", "train_auc", "valid_auc", "valid_logloss")
    return [tuple(epoch[name] for name in names) for epoch in trees.epochs]


@pytest.mark.parametrize("stops", [[23], [5, 11, 7]])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_broken_boosting_ends_with_the_same_trees(tmp_path: Path, stops: list[int], share: float) -> None:
    chosen = BoostingSettings(
        trees=40, row_share=share, column_share=share, learning_rate=0.2, patience=12, threads=1, checkpoint_trees=5
    )
    whole = boost(data(), chosen, Silence(), Silence())
    assert (whole.resumed_from, whole.best > 20) == (None, True)
    for stop in stops:
        with pytest.raises(CancelledError):
            boost(data(), chosen, Silence(), StopsAfter(stop), tmp_path)
    assert len(list(tmp_path.iterdir())) <= 2
    resumed = boost(data(), chosen, Silence(), Silence(), tmp_path)
    assert resumed.resumed_from in (15, 20)
    assert raw(resumed) == raw(whole)
    assert (metrics(resumed), resumed.best) == (metrics(whole), whole.best)


def test_a_damaged_checkpoint_is_passed_over_and_another_runs_is_refused(tmp_path: Path) -> None:
    chosen = BoostingSettings(trees=12, threads=1, checkpoint_trees=4, patience=0)
    whole = boost(data(), chosen, Silence(), Silence(), tmp_path)
    (tmp_path / "trees-000000012" / "trees.ubj").write_bytes(b"none")
    again = boost(data(), chosen, Silence(), Silence(), tmp_path)
    assert (again.resumed_from, raw(again)) == (8, raw(whole))
    (tmp_path / "trees-000000012" / "checkpoint.json").write_text("{")
    assert boost(data(), chosen, Silence(), Silence(), tmp_path).resumed_from == 8
    # More trees are the same run, a deeper one is another.
    longer = chosen.model_copy(update={"trees": 16})
    assert boost(data(), longer, Silence(), Silence(), tmp_path).resumed_from == 12
    deeper = chosen.model_copy(update={"depth": 5})
    with pytest.raises(UserError, match="checkpoint .* belongs to another run: depth is not what it was there"):
        boost(data(), deeper, Silence(), Silence(), tmp_path)


def test_every_tree_is_shown() -> None:
    class Shown(Silence):
        trees, metrics = 0.0, 0

        def advance(self, amount: float = 1) -> None:
            self.trees += amount

        def metric(self, **values: float | int | str) -> None:
            assert set(values) == {"auc", "logloss"}
            self.metrics += 1

    shown = Shown()
    boost(data(), BoostingSettings(trees=7, threads=1, patience=0), shown, Silence())
    assert (shown.trees, shown.metrics) == (7, 7)


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


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            XGBoostError("Memory allocation error on worker 0: bad_alloc: cudaErrorMemoryAllocation: out of memory"),
            UserError,
            "more than the GPU's memory holds: take fewer bins than 256, a depth below 4 or a smaller row_share",
        ),
        (MemoryError(), UserError, "boosting needs more than the GPU's memory holds"),
        (XGBoostError("[1] cudaErrorLaunchFailure: stopped\nStack trace"), TransientError, "LaunchFailure: stopped$"),
        (XGBoostError("our mistake"), XGBoostError, "our mistake"),
    ],
)
def test_whose_fault_it_is(error: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised, explained(BoostingSettings(device="cuda")):
        raise error
    assert type(raised.value) is kind


@pytest.mark.filterwarnings("ignore:.*Device is changed from GPU to CPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="device is 'cuda', but XGBoost sees no GPU here"):
        boost(data(), BoostingSettings(trees=3, threads=1, device="cuda"), Silence(), Silence())
