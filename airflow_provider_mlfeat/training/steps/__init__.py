"""One training step, in the way that suits the model and the device."""

from __future__ import annotations

import torch
from torch import nn

from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.models.factor import FactorModel
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps.captured import CapturedStep
from airflow_provider_mlfeat.training.steps.compiled import CompiledStep
from airflow_provider_mlfeat.training.steps.lookup import LookupStep
from airflow_provider_mlfeat.training.steps.module import ModuleStep
from airflow_provider_mlfeat.training.steps.step import Step

__all__ = ["Step", "make_step"]


def make_step(model: nn.Module, settings: TrainSettings, device: torch.device, group: Group) -> Step:
    """The step for a model on a device; the model is moved there."""
    model.to(device)
    if not isinstance(model, FactorModel):
        return ModuleStep(model, settings, device, group)
    if device.type == "cpu" and group.size == 1 and not settings.compile:
        return CompiledStep(model, settings, device)
    step = LookupStep(model, settings, device, group)
    if device.type == "cuda" and group.size == 1 and settings.capture == "auto":
        return CapturedStep(step)
    return step
