"""Whole runs: they learn, stop when told, repeat bit for bit, and fail with what to change."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from airflow_provider_mlfeat.errors import CancelledError, TransientError, UserError
from airflow_provider_mlfeat.training import trainer
from airflow_provider_mlfeat.training.failures import KEPT_BATCH, explained
from airflow_provider_mlfeat.training.losses import LossWatch, NotFiniteError
from airflow_provider_mlfeat.training.memory import row_bytes
from airflow_provider_mlfeat.training.models import FactorModel
from airflow_provider_mlfeat.training.reporting import Silence
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps import Step
from airflow_provider_mlfeat.training.trainer import train
from tests.training.rows import LAYOUT, data, examples

SMALL: dict[str, Any] = {
    "hidden_layers": (16, 8), "embedding_size": 4, "batch_size": 64, "learning_rate": 0.01, "threads": 1,
    "precision": "fp32",
}  # fmt: skip


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings(**{**SMALL, "epochs": 3, "patience": 0, **changes})


class Watching(Silence):
    """Keeps what it is told, and stops the work after so many steps."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.stages: list[tuple[str, float | None]] = []
        self.rows = 0.0
        self.metrics: dict[str, Any] = {}
        self.left = stop_after

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        self.stages.append((name, total))

    def advance(self, amount: float = 1) -> None:
        self.rows += amount

    def metric(self, **values: float | int | str) -> None:
        self.metrics.update(values)

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise CancelledError("the job was cancelled")


def test_a_run_learns_and_tells() -> None:
    watching = Watching()
    rows = data(6000)
    trained = train(rows, settings(embedding_deviation=0.1), watching)
    assert trained.best.valid_auc > 0.7
    assert (trained.stopped, trained.steps, len(trained.epochs)) == ("epochs", 282, 3)
    assert watching.stages == [(f"epoch {number}/3", 6000) for number in (1, 2, 3)]
    assert watching.rows == 18_000
    assert watching.metrics["auc"] == round(trained.epochs[-1].valid_auc, 6)
    assert [step for step, _ in trained.losses] == [50, 94, 144, 188, 238, 282]
    assert trained.losses[0][1] > trained.losses[-1][1]
    assert not trained.model.training
    probabilities = trained.predict(rows.valid)
    assert probabilities.dtype == np.float32
    assert probabilities.min() > 0
    assert probabilities.mean() == pytest.approx(rows.valid.labels.mean(), abs=0.05)


def test_the_best_epoch_is_given_back_and_says_what_it_said() -> None:
    rows = data(900)
    trained = train(rows, settings(epochs=12, learning_rate=0.05, embedding_deviation=0.3))
    scores = [epoch.score for epoch in trained.epochs]
    assert trained.best_epoch == 1 + int(np.argmax(scores))
    assert trained.best_epoch < len(scores), "later epochs overfit, so that this test can fail"
    logits = torch.from_numpy(trained.logits(rows.valid))
    judged = trainer.judge(logits, torch.from_numpy(rows.valid.labels))
    assert judged.auc == pytest.approx(trained.best.valid_auc, abs=1e-4)
    assert judged.logloss == pytest.approx(trained.best.valid_logloss, abs=1e-4)


def test_patience_and_steps_stop_a_run() -> None:
    impatient = train(data(900), settings(epochs=50, patience=2, learning_rate=0.05, embedding_deviation=0.3))
    assert impatient.stopped == "patience"
    assert len(impatient.epochs) == impatient.best_epoch + 2
    short = train(data(900), settings(epochs=50, max_steps=20))
    assert (short.stopped, short.steps, len(short.epochs)) == ("steps", 20, 2)


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.3}, {"precision": "bf16"}], ids=["plain", "dropout", "bf16"])
def test_a_run_repeats_bit_for_bit(changes: dict[str, Any]) -> None:
    first, again = (train(data(), settings(**changes)).logits(data().valid) for _ in range(2))
    assert np.array_equal(first, again)
    other = train(data(), settings(**changes, seed=2)).logits(data().valid)
    assert not np.array_equal(first, other)


def test_values_in_any_unit_are_brought_to_one() -> None:
    rows = data()
    trained = train(rows, settings(epochs=1))
    model = trained.model
    assert isinstance(model, FactorModel)
    scaled = (rows.train.values - model.center.numpy()) * model.scale.numpy()
    assert scaled.mean(0) == pytest.approx([0, 0], abs=1e-3)
    assert scaled.std(0) == pytest.approx([1, 1], abs=1e-3)


def test_more_rows_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "airflow_provider_mlfeat.training.memory.free_memory", lambda: row_bytes(data().train) * 4 * 300
    )
    trained = train(data(6000), settings(embedding_deviation=0.1))
    assert trained.best.valid_auc > 0.68


def test_a_compiled_head_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # no minute of a C++ compiler
    rows = data(300)
    plain, compiled = (train(rows, settings(epochs=1, compile=compiled)) for compiled in (False, True))
    np.testing.assert_allclose(plain.logits(rows.valid), compiled.logits(rows.valid), atol=1e-4)


def test_a_loss_that_is_no_number_stops_and_keeps_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_at = 7

    def broken(step: Step, *arguments: Any) -> torch.Tensor:
        nonlocal wrong_at
        wrong_at -= 1
        return torch.tensor(float("nan") if wrong_at == 0 else 0.5)

    monkeypatch.setattr("airflow_provider_mlfeat.training.steps.CompiledStep.train", broken)
    rows = data(300)
    with pytest.raises(UserError, match="the loss of step 2 of epoch 2 is nan; the batch is kept in .*lower learning"):
        train(rows, settings(), checkpoint_directory=tmp_path)
    kept = np.load(tmp_path / KEPT_BATCH, allow_pickle=False)
    assert kept["ids"].shape == (64, 4)
    known = {tuple(row) for row in rows.train.values.tolist()}
    assert all(tuple(row) in known for row in kept["values"].tolist())


def test_a_checkpoint_that_meets_a_broken_loss_says_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where losses are read only now and then, a checkpoint may be what looks at a broken one first."""

    class Late(LossWatch):
        def __init__(self, device: torch.device) -> None:
            super().__init__(device)
            self._read_every = 50

    def broken(step: Step, *arguments: Any) -> torch.Tensor:
        return torch.tensor(float("nan"))

    monkeypatch.setattr(trainer, "LossWatch", Late)
    monkeypatch.setattr("airflow_provider_mlfeat.training.steps.CompiledStep.train", broken)
    with pytest.raises(UserError, match="the loss of step 1 of epoch 1 is nan; the batch is kept in .*lower learning"):
        train(data(300), settings(checkpoint_steps=1), checkpoint_directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [KEPT_BATCH]


def test_losses_read_now_and_then_know_which_step_broke() -> None:
    watch = LossWatch(torch.device("cpu"))
    watch._read_every = 50
    for step in range(20):
        watch.add(torch.tensor(float("inf") if step in {4, 9} else 1.0), 8, step)
    with pytest.raises(NotFiniteError) as raised:
        watch.read(19)
    assert raised.value.step == 4


def test_cancelling_stops_at_the_next_step() -> None:
    watching = Watching(stop_after=10)
    with pytest.raises(CancelledError):
        train(data(), settings(), watching, watching)
    assert watching.rows == 10 * 64


def test_bad_rows_are_refused_before_a_model_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = data()
    rows.valid.labels[:] = 0
    monkeypatch.setattr(trainer, "build_model", pytest.fail)
    with pytest.raises(UserError, match="split 'valid' has only rows with label 0"):
        train(rows, settings())


def test_unknown_fields_and_devices_are_refused() -> None:
    with pytest.raises(UserError, match="field_sizes names 'brnd', which is no field of the dataset"):
        train(data(), settings(field_sizes={"brnd": 2}))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="device is 'cuda', but PyTorch sees no GPU here"):
            train(data(), settings(device="cuda"))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            UserError,
            "GPU's memory.*batch_size below 64, precision 'bf16'",
        ),
        (MemoryError(), UserError, "take a batch_size below 64"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), UserError, "more than the GPU's memory"),
        (
            RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: 99"),
            UserError,
            "a smaller embedding_size",
        ),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure"),
            TransientError,
            "unspecified launch failure",
        ),
        (torch.distributed.DistError("connection reset"), TransientError, "connection reset"),
        (RuntimeError("our mistake"), RuntimeError, "our mistake"),
    ],
)
def test_whose_fault_it_is(error: Exception, kind: type[Exception], message: str) -> None:
    chosen = settings(precision="fp32")
    with pytest.raises(kind, match=message) as raised, explained(chosen, torch.device("cuda")):
        raise error
    assert type(raised.value) is kind


def test_memory_that_runs_out_while_a_step_is_recorded() -> None:
    """The recording's end fails then too, and that is the error that comes out."""
    with pytest.raises(UserError, match="training needs more than the GPU's memory holds"):
        with explained(settings(), torch.device("cuda")):
            try:
                raise torch.OutOfMemoryError("CUDA out of memory")
            finally:
                raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")


def test_a_table_too_large_for_this_machine() -> None:
    rows = data()
    huge = type(rows)(
        type(LAYOUT)(LAYOUT.names, (2**31, *LAYOUT.sizes[1:]), LAYOUT.value_names), examples(200, 1), examples(100, 2)
    )
    with pytest.raises(UserError, match="training needs more than memory holds"):
        train(huge, settings(embedding_size=1024))
