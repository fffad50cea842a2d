"""What all steps have in common: a forward and backward pass, one update, and a state that a checkpoint holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

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
        self.half = half_precision(settings, device)

    @abstractmethod
    def train(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch with learning rates times `factor`; the mean loss, a scalar on the device."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What the optimisers remember: tensors and plain data."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what another step of the same run remembered."""

    def logits(self, batch: Batch) -> Tensor:
        """What the model says, float32 [rows] on the device; the model is in evaluation mode.

        Always in fp32, as it will be served: an epoch is chosen by what users will see.
        """
        with torch.no_grad():
            moved = batch.to(self.device)
            logits: Tensor = self.model(moved.ids.long(), moved.values)
            return logits.float()

    def arithmetic(self) -> AbstractContextManager[object]:
        """The precision of matrix products."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def half_precision(settings: TrainSettings, device: torch.device) -> bool:
    """Whether matrix products take bf16."""
    return settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")


class DenseOptimiser:
    """Adam for what has a gradient in every step; all in one kernel, and recordable on a GPU.

    :param settings: of the run.
    :param parameters: that it moves.
    :param device: where they are.
    """

    def __init__(self, settings: TrainSettings, parameters: Iterable[nn.Parameter], device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._rate: float | Tensor = settings.learning_rate
        if on_gpu:
            self._rate = torch.tensor(settings.learning_rate, device=device)
        kind = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
        self.parameters = list(parameters)
        self._adam = kind(
            self.parameters, lr=self._rate, weight_decay=settings.weight_decay, fused=True, capturable=on_gpu
        )

    def set_rate(self, rate: float) -> None:
        """Change the learning rate; a recorded step sees the change because the tensor stays the same."""
        for group in self._adam.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(self) -> None:
        """Move the parameters."""
        self._adam.step()

    def forget_gradients(self) -> None:
        """Before a backward pass."""
        self._adam.zero_grad(set_to_none=True)

    @property
    def gradients(self) -> list[Tensor]:
        """Of the last backward pass."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def state(self) -> dict[str, Any]:
        """Moments and step counts by the parameter's number."""
        return {"moments": self._adam.state_dict()["state"]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._adam.load_state_dict({**self._adam.state_dict(), "state": state["moments"]})
