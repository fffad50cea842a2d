"""The models: one table of embeddings, and what is computed from its rows."""

from __future__ import annotations

from torch import nn

from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.models.factor import PARTS, FactorModel
from airflow_provider_mlfeat.training.settings import MODULE_PREFIX, TrainSettings

__all__ = ["FactorModel", "build_model"]


def build_model(settings: TrainSettings, layout: FieldLayout) -> nn.Module:
    """A new model; its ``forward(ids int64 [rows, n], values float32 [rows, m])`` gives logits [rows]."""
    if settings.model.startswith(MODULE_PREFIX):
        from airflow_provider_mlfeat.training.user_module import load_module

        return load_module(settings.model.removeprefix(MODULE_PREFIX), layout, settings)
    return FactorModel(layout, settings, PARTS[settings.model])
