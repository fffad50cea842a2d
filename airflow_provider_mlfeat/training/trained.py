"""What training gives: the best epoch's model and the story of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from airflow_provider_mlfeat.training.examples import Examples, Floats
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.loader import as_batch
from airflow_provider_mlfeat.training.settings import TrainSettings

PREDICTED_AT_ONCE = 8192


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    :param epoch: from 1.
    :param steps: made since the run began.
    :param learning_rate: of the MLP at its end.
    :param train_loss: mean over its steps.
    :param valid_auc: on all validation rows.
    :param valid_logloss: on all validation rows.
    :param score: AUC − logloss, which chooses the epoch.
    :param seconds: of training and judging.
    :param rows_per_second: in training alone.
    """

    epoch: int
    steps: int
    learning_rate: float
    train_loss: float
    valid_auc: float
    valid_logloss: float
    score: float
    seconds: float
    rows_per_second: float

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    """A trained model.

    :param model: the best epoch's, on the CPU, in evaluation mode.
    :param settings: that it was trained with.
    :param layout: its fields.
    :param epochs: in order.
    :param best_epoch: the epoch that was kept.
    :param losses: step and mean loss since the last entry.
    :param steps: made in all.
    :param stopped: why it ended: ``epochs``, ``steps`` or ``patience``.
    :param seconds: of the whole run, that of the tries before a resume included.
    :param resumed_from: the step of the checkpoint that this try began with; None for a try from the start.
    :param device: where it was trained.
    """

    model: nn.Module
    settings: TrainSettings
    layout: FieldLayout
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    losses: tuple[tuple[int, float], ...]
    steps: int
    stopped: str
    seconds: float
    resumed_from: int | None
    device: str

    def story(self) -> dict[str, Any]:
        """Everything but model, settings and fields, as a JSON document."""
        return {
            "epochs": [record.to_document() for record in self.epochs],
            "best_epoch": self.best_epoch,
            "losses": [list(point) for point in self.losses],
            "steps": self.steps,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "resumed_from": self.resumed_from,
            "device": self.device,
        }

    @classmethod
    def of(cls, story: Mapping[str, Any], model: nn.Module, settings: TrainSettings, layout: FieldLayout) -> Trained:
        """A trained model from its story and the rest."""
        told = dict(story)
        epochs = tuple(EpochRecord(**record) for record in told.pop("epochs"))
        losses = tuple((step, loss) for step, loss in told.pop("losses"))
        return cls(model=model, settings=settings, layout=layout, epochs=epochs, losses=losses, **told)

    @property
    def best(self) -> EpochRecord:
        """The epoch that was kept."""
        return self.epochs[self.best_epoch - 1]

    def logits(self, examples: Examples) -> Floats:
        """What the model says about rows, before the sigmoid."""
        return predict_logits(self.model, examples)

    def predict(self, examples: Examples) -> Floats:
        """Probabilities of rows."""
        return torch.sigmoid(torch.from_numpy(self.logits(examples))).numpy()


def predict_logits(model: nn.Module, examples: Examples) -> Floats:
    """What a model on the CPU says about rows, before the sigmoid, a part of the rows at a time."""
    said = np.empty(len(examples), np.float32)
    start = 0
    with torch.no_grad():
        for block in examples.blocks(PREDICTED_AT_ONCE):
            batch = as_batch(block)
            said[start : start + len(block)] = model(batch.ids.long(), batch.values).numpy()
            start += len(block)
    return said
