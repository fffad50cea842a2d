"""The training loop: epochs, early stopping, and where a run stands."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.training.examples import Examples, TrainingData
from airflow_provider_mlfeat.training.loader import Batch, Loader, as_batch
from airflow_provider_mlfeat.training.metrics import Judgement, judge
from airflow_provider_mlfeat.training.models import FactorModel, build_model
from airflow_provider_mlfeat.training.order import RowOrder
from airflow_provider_mlfeat.training.reporting import Silence, TrainingCancellation, TrainingProgress
from airflow_provider_mlfeat.training.schedule import Schedule
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps import Step, make_step
from airflow_provider_mlfeat.training.trained import EpochRecord, Trained

JUDGED_AT_ONCE = 16_384
TOLD_EVERY = 50


def train(
    data: TrainingData,
    settings: TrainSettings,
    progress: TrainingProgress | None = None,
    cancellation: TrainingCancellation | None = None,
    checkpoint_directory: Path | None = None,
) -> Trained:
    """Train a model; the best epoch's is given back.

    :param data: what it learns from and is judged by.
    :param settings: how.
    :param progress: told rows, epochs, losses and metrics.
    :param cancellation: asked at each step whether to go on.
    :param checkpoint_directory: where checkpoints are kept; a run that finds its own goes on from the newest.
    """
    data.check()
    return _Run(data, settings, progress or Silence(), cancellation or Silence()).run()


@dataclass
class _Best:
    """The best epoch so far."""

    epoch: int = 0
    score: float = float("-inf")
    weights: dict[str, Tensor] = field(default_factory=dict)


class _Run:
    """One run of the loop."""

    def __init__(
        self,
        data: TrainingData,
        settings: TrainSettings,
        progress: TrainingProgress,
        cancellation: TrainingCancellation,
    ) -> None:
        self.data, self.settings, self.progress, self.cancellation = data, settings, progress, cancellation
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        self.device = chosen_device(settings)
        self.model: nn.Module = build_model(settings, data.layout)
        if isinstance(self.model, FactorModel) and data.layout.value_names:
            set_units(self.model, data.train)
        self.step: Step = make_step(self.model, settings, self.device)
        rows = len(data.train)
        self.loader = Loader(data.train, RowOrder.within(rows, settings.batch_size, settings.seed, rows))
        self.schedule = Schedule.of(settings, rows)
        self.steps, self.seconds = 0, 0.0
        self.epochs: list[EpochRecord] = []
        self.losses: list[tuple[int, float]] = []
        self.best = _Best()

    def run(self) -> Trained:
        """Epochs until one of the reasons to stop."""
        began, stopped = time.monotonic(), "epochs"
        while len(self.epochs) < self.settings.epochs:
            self._epoch(len(self.epochs))
            if self.steps >= self.schedule.total_steps and len(self.epochs) < self.settings.epochs:
                stopped = "steps"
                break
            if self.settings.patience and len(self.epochs) - self.best.epoch >= self.settings.patience:
                stopped = "patience"
                break
        self.model.load_state_dict(self.best.weights)
        self.model.cpu().eval()
        return Trained(
            model=self.model,
            settings=self.settings,
            layout=self.data.layout,
            epochs=tuple(self.epochs),
            best_epoch=self.best.epoch,
            losses=tuple(self.losses),
            steps=self.steps,
            stopped=stopped,
            seconds=self.seconds + time.monotonic() - began,
            resumed_from=None,
            device=str(self.device),
        )

    def _epoch(self, number: int) -> None:
        began = time.monotonic()
        self.progress.stage(f"epoch {number + 1}/{self.settings.epochs}", len(self.data.train), "rows")
        self.model.train()
        total, seen, told, told_sum = 0.0, 0, 0, 0.0
        factor = 1.0
        for batch in self.loader.epoch(number):
            if self.steps >= self.schedule.total_steps:
                break
            self.cancellation.check()
            factor = self.schedule.factor(self.steps)
            loss = float(self.step.train(batch, factor))
            self.steps += 1
            total, seen = total + loss * len(batch), seen + len(batch)
            told, told_sum = told + 1, told_sum + loss
            if told == TOLD_EVERY:
                self.losses.append((self.steps, told_sum / told))
                self.progress.metric(epoch=number + 1, loss=round(told_sum / told, 6))
                told, told_sum = 0, 0.0
            self.progress.advance(len(batch))
        trained = time.monotonic()
        judgement = self._judge(self.data.valid)
        record = EpochRecord(
            epoch=number + 1,
            steps=self.steps,
            learning_rate=self.settings.learning_rate * factor,
            train_loss=total / max(seen, 1),
            valid_auc=judgement.auc,
            valid_logloss=judgement.logloss,
            score=judgement.score,
            seconds=time.monotonic() - began,
            rows_per_second=seen / max(trained - began, 1e-9),
        )
        self.epochs.append(record)
        self.progress.metric(
            epoch=number + 1, auc=round(record.valid_auc, 6), logloss=round(record.valid_logloss, 6),
            loss=round(record.train_loss, 6),
        )  # fmt: skip
        if not self.best.weights or judgement.score > self.best.score + self.settings.min_delta:
            weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            self.best = _Best(number + 1, judgement.score, copy.copy(weights))

    def _judge(self, examples: Examples) -> Judgement:
        """AUC and logloss of every row, each once."""
        self.model.eval()
        said, truth = [], []
        for block in examples.blocks(JUDGED_AT_ONCE):
            self.cancellation.check()
            batch: Batch = as_batch(block)
            said.append(self.step.logits(batch))
            truth.append(batch.labels.to(self.device))
        return judge(torch.cat(said), torch.cat(truth))


def chosen_device(settings: TrainSettings) -> torch.device:
    """Where to train."""
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def set_units(model: FactorModel, examples: Examples) -> None:
    """Bring value fields to mean 0 and deviation 1, by the training rows."""
    rows = len(examples)
    total, squares = (
        torch.zeros_like(model.center, dtype=torch.float64),
        torch.zeros_like(model.center, dtype=torch.float64),
    )
    for block in examples.blocks(JUDGED_AT_ONCE):
        exact = torch.from_numpy(block.values.astype("float64"))
        total += exact.sum(0)
        squares += exact.square().sum(0)
    mean = total / rows
    deviation = (squares / rows - mean**2).clamp_min(0).sqrt()
    model.center.copy_(mean)
    model.scale.copy_(torch.where(deviation > 1e-12, 1 / deviation.clamp_min(1e-12), 1.0))
