"""What all steps have in common: a forward and backward pass, one update, and a state that a checkpoint holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.settings import TrainSettings


class Step(ABC):
    """Trains a model a batch at a time.

    :param model: on its device already.
    :param settings: of the run.
    :param device: where the model is.
    """

    def __init__(self, model: nn.Module, settings: TrainSettings, device: torch.device) -> None:
        self.model = model
        self.settings = settings
        self.device = device
        wished = settings.precision
        self.half = wished == "bf16" or (wished == "auto" and device.type == "cuda")

    @abstractmethod
    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch with learning rates times `factor`; the mean loss, a scalar on the device."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What the optimisers remember; whoever restores copies into these tensors."""

    def logits(self, batch: Batch) -> Tensor:
        """What the model says, float32 [rows] on the device; the model is in evaluation mode."""
        with torch.no_grad(), self.arithmetic():
            moved = batch.to(self.device)
            logits: Tensor = self.model(moved.ids.long(), moved.values)
            return logits.float()

    def arithmetic(self) -> AbstractContextManager[object]:
        """The precision of matrix products."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def dense_optimiser(
    settings: TrainSettings, parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Adam:
    """Adam for what has a gradient in every step; all in one kernel, and recordable on a GPU."""
    rate: float | Tensor = settings.learning_rate
    on_gpu = device.type == "cuda"
    if on_gpu:
        rate = torch.tensor(settings.learning_rate, device=device)
    optimiser = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
    return optimiser(list(parameters), lr=rate, weight_decay=settings.weight_decay, fused=True, capturable=on_gpu)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Change the learning rate; a recorded step sees the change because the tensor stays the same."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def optimiser_tensors(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Every tensor that an optimiser remembers, by a stable name; its first step must have been made or `prepare`d."""
    found = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        for name, value in optimiser.state[parameter].items():
            if isinstance(value, Tensor):
                found[f"{prefix}.{index}.{name}"] = value
    return found


def prepare(optimiser: torch.optim.Optimizer) -> None:
    """Make an Adam's state before its first step, so that a checkpoint can be copied into it."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            on_device = group["fused"] or group["capturable"]
            optimiser.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device if on_device else "cpu"),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
