"""The training loop: epochs, early stopping, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.checkpoint import Checkpoints, identity
from airflow_provider_mlfeat.training.examples import Examples, TrainingData
from airflow_provider_mlfeat.training.failures import explained, keep_broken_batch
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.loader import Loader, as_batch
from airflow_provider_mlfeat.training.losses import LossWatch, NotFiniteError
from airflow_provider_mlfeat.training.memory import fits_on, rows_held
from airflow_provider_mlfeat.training.metrics import Judgement, judge
from airflow_provider_mlfeat.training.models import FactorModel, build_model
from airflow_provider_mlfeat.training.order import RowOrder
from airflow_provider_mlfeat.training.reporting import Silence, TrainingCancellation, TrainingProgress
from airflow_provider_mlfeat.training.schedule import Schedule
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps import Step, make_step
from airflow_provider_mlfeat.training.trained import EpochRecord, Trained
from airflow_provider_mlfeat.training.weights import BestWeights, whole_model

JUDGED_AT_ONCE = 16_384


def train(
    data: TrainingData,
    settings: TrainSettings,
    progress: TrainingProgress | None = None,
    cancellation: TrainingCancellation | None = None,
    checkpoint_directory: Path | None = None,
    group: Group | None = None,
) -> Trained:
    """Train a model; the best epoch's is given back.

    :param data: what it learns from and is judged by.
    :param settings: how.
    :param progress: told rows, epochs, losses and metrics.
    :param cancellation: asked at each step whether to go on.
    :param checkpoint_directory: where checkpoints are kept, of this run alone; a run that finds its own goes on from
        the newest one.
    :param group: the processes that train together; each calls this with the same arguments.
    """
    data.check()
    if settings.processes > 1 and group is None:
        from airflow_provider_mlfeat.training.together import train_together

        return train_together(data, settings, progress or Silence(), cancellation or Silence(), checkpoint_directory)
    device = chosen_device(settings)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with explained(settings, device):
        run = _Run(
            data, settings, device, progress or Silence(), cancellation or Silence(), checkpoint_directory,
            group or Group(),
        )  # fmt: skip
        return run.run()


class _Run:
    """One run of the loop."""

    def __init__(
        self,
        data: TrainingData,
        settings: TrainSettings,
        device: torch.device,
        progress: TrainingProgress,
        cancellation: TrainingCancellation,
        directory: Path | None,
        group: Group,
    ) -> None:
        self.data, self.settings, self.device, self.group = data, settings, device, group
        self.progress, self.cancellation, self.directory = progress, cancellation, directory
        torch.manual_seed(settings.seed)
        self.model: nn.Module = build_model(settings, data.layout)
        if isinstance(self.model, FactorModel) and data.layout.value_names:
            set_units(self.model, data.train)
        self.step: Step = make_step(self.model, settings, device, group)
        if group.rank:
            torch.manual_seed(settings.seed + group.rank)  # equal weights, but every process drops other outputs
        self.window = group.agree(rows_held(data.train, group.size))
        self.schedule = Schedule.of(settings, len(data.train))
        self.watch = LossWatch(device)
        self.steps, self.epoch_steps, self.earlier_seconds = 0, 0, 0.0
        self.epochs: list[EpochRecord] = []
        self.losses: list[tuple[int, float]] = []
        self.resumed_from: int | None = None
        self.began = self.saved_at = time.monotonic()
        self.checkpoints: Checkpoints | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            named = identity(settings, data.layout, data.fingerprint, group.size)
            self.checkpoints = Checkpoints(directory, named, group)
        self.best = BestWeights(self.checkpoints, settings.min_delta)

    def run(self) -> Trained:
        """Epochs until one of the reasons to stop."""
        found = self.checkpoints.newest() if self.checkpoints else None
        if found is not None:
            self._restore(found.position, found.state)
        order = RowOrder.within(len(self.data.train), self.settings.batch_size, self.settings.seed, self.window)
        resident = self.settings.resident == "auto" and fits_on(self.device, self.data.train, order.window)
        self.loader = Loader(self.data.train, order, self.device, resident=resident, group=self.group)
        while (stopped := self._reason_to_stop()) is None:
            self._epoch(len(self.epochs))
        if self.checkpoints is not None and self.resumed_from != self.steps:
            self._save()
        model = whole_model(self.model, self.settings, self.data.layout, self.best.load(), self.group)
        return Trained(
            model=model,
            settings=self.settings,
            layout=self.data.layout,
            epochs=tuple(self.epochs),
            best_epoch=self.best.epoch,
            losses=tuple(self.losses),
            steps=self.steps,
            stopped=stopped,
            seconds=self._seconds(),
            resumed_from=self.resumed_from,
            device=str(self.device),
            precision="bf16" if self.step.half else "fp32",
        )

    def _reason_to_stop(self) -> str | None:
        if self.epoch_steps:
            return None
        if len(self.epochs) >= self.settings.epochs:
            return "epochs"
        if self.epochs and self.steps >= self.schedule.total_steps:
            return "steps"
        if self.settings.patience and len(self.epochs) - self.best.epoch >= self.settings.patience:
            return "patience"
        return None

    def _epoch(self, number: int) -> None:
        """Train one epoch, or what is left of it, and judge it."""
        began, first_row = time.monotonic(), self.watch.rows
        self.progress.stage(f"epoch {number + 1}/{self.settings.epochs}", len(self.data.train), "rows")
        self.progress.advance(self.watch.rows)
        self.model.train()
        for batch in self.loader.epoch(number, self.epoch_steps):
            if self.steps >= self.schedule.total_steps:
                break
            self.cancellation.check()
            if not len(batch):  # fewer rows are left than there are processes
                self.epoch_steps += 1
                continue
            rows = len(batch) * self.group.size
            loss = self.step.train(batch, self.schedule.factor(self.steps))
            self.steps += 1
            self.epoch_steps += 1
            try:
                point = self.watch.add(loss, rows, self.epoch_steps - 1)
            except NotFiniteError as error:
                raise self._stopped_by(number, error) from None
            self.progress.advance(rows)
            if point:
                self._point(number)
            if self._checkpoint_is_due():
                self._save()
        self._point(number)
        trained = time.monotonic()
        self._finish_epoch(number, began, trained, self.watch.rows - first_row)

    def _finish_epoch(self, number: int, began: float, trained: float, rows: int) -> None:
        judgement = self._judge(self.data.valid)
        record = EpochRecord(
            epoch=number + 1,
            steps=self.steps,
            learning_rate=self.settings.learning_rate * self.schedule.factor(max(self.steps - 1, 0)),
            train_loss=self.watch.mean,
            valid_auc=judgement.auc,
            valid_logloss=judgement.logloss,
            score=judgement.score,
            seconds=time.monotonic() - began,
            rows_per_second=rows / max(trained - began, 1e-9),
        )
        self.epochs.append(record)
        self.watch, self.epoch_steps = LossWatch(self.device), 0
        self.progress.metric(
            epoch=number + 1, auc=round(record.valid_auc, 6), logloss=round(record.valid_logloss, 6),
            loss=round(record.train_loss, 6),
        )  # fmt: skip
        self.best.offer(number + 1, judgement.score, self.model)

    def _point(self, number: int) -> None:
        """A point of the loss curve."""
        if self.watch.curve_steps:
            try:
                loss = self.watch.take_point(self.epoch_steps - 1)
            except NotFiniteError as error:
                raise self._stopped_by(number, error) from None
            self.losses.append((self.steps, loss))
            self.progress.metric(epoch=number + 1, loss=round(loss, 6))

    def _judge(self, examples: Examples) -> Judgement:
        """AUC and logloss of every row, each once."""
        self.model.eval()
        said, truth = [], []
        for block in examples.blocks(JUDGED_AT_ONCE):
            self.cancellation.check()
            batch = as_batch(block)
            said.append(self.step.logits(batch))
            truth.append(batch.labels.to(self.device))
        return judge(torch.cat(said), torch.cat(truth))

    def _stopped_by(self, number: int, error: NotFiniteError) -> UserError:
        kept = keep_broken_batch(self.directory, self.loader.batch(number, error.step))
        return UserError(
            f"training stopped: the loss of step {error.step + 1} of epoch {number + 1} is {error.loss}{kept};"
            " lower learning_rate, set clip_norm, or look for extreme values in the batch"
        )

    def _checkpoint_is_due(self) -> bool:
        if self.checkpoints is None:
            return False
        every, minutes = self.settings.checkpoint_steps, self.settings.checkpoint_minutes
        due = bool(every) and self.steps % every == 0
        if minutes and not due:
            # The clocks of several processes differ: one decides, and not at every step.
            if self.group.size > 1 and self.steps % 100:
                return False
            due = bool(self.group.agree(time.monotonic() - self.saved_at >= minutes * 60))
        return due

    def _save(self) -> None:
        """Write a checkpoint of this very moment."""
        assert self.checkpoints is not None
        if self.watch.curve_steps:
            # A GPU's losses may not have been read for a while.
            try:
                self.watch.read(self.epoch_steps - 1)
            except NotFiniteError as error:
                raise self._stopped_by(len(self.epochs), error) from None
        position = {
            "steps": self.steps,
            "epoch_steps": self.epoch_steps,
            "window": self.window,
            "watch": self.watch.state(),
            "epochs": [record.to_document() for record in self.epochs],
            "losses": self.losses,
            "seconds": self._seconds(),
            **self.best.to_document(),
        }
        state = {"model": self.model.state_dict(), "step": self.step.state(), "random": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["random_device"] = torch.cuda.get_rng_state(self.device)
        self.checkpoints.save(self.steps, position, state)
        self.saved_at = time.monotonic()

    def _restore(self, position: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.step.restore(state["step"])
        torch.set_rng_state(state["random"].clone())
        if self.device.type == "cuda" and "random_device" in state:
            torch.cuda.set_rng_state(state["random_device"].clone(), self.device)
        self.steps, self.epoch_steps = position["steps"], position["epoch_steps"]
        self.window, self.earlier_seconds = position["window"], position["seconds"]
        self.watch.restore(position["watch"])
        self.epochs = [EpochRecord(**record) for record in position["epochs"]]
        self.losses = [(step, loss) for step, loss in position["losses"]]
        self.best.restore(position)
        self.resumed_from = self.steps

    def _seconds(self) -> float:
        return self.earlier_seconds + time.monotonic() - self.began


def chosen_device(settings: TrainSettings) -> torch.device:
    """Where to train."""
    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        raise UserError("device is 'cuda', but PyTorch sees no GPU here: take device 'auto' or a machine that has one")
    if settings.device == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def set_units(model: FactorModel, examples: Examples) -> None:
    """Bring value fields to mean 0 and deviation 1, by the training rows."""
    total = torch.zeros_like(model.center, dtype=torch.float64)
    squares = torch.zeros_like(total)
    for block in examples.blocks(JUDGED_AT_ONCE):
        exact = torch.from_numpy(block.values.astype("float64"))
        total += exact.sum(0)
        squares += exact.square().sum(0)
    mean = total / len(examples)
    deviation = (squares / len(examples) - mean**2).clamp_min(0).sqrt()
    model.center.copy_(mean)
    model.scale.copy_(torch.where(deviation > 1e-12, 1 / deviation.clamp_min(1e-12), 1.0))
