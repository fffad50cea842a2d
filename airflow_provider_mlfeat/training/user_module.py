"""A user's own model: a ``torch.nn.Module`` by its import path."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.fields import FieldLayout

if TYPE_CHECKING:
    from airflow_provider_mlfeat.training.settings import TrainSettings

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_TRIAL_ROWS = 3


class UserModule(nn.Module):
    """A user's module with one logit per row, whether it gives [rows] or [rows, 1].

    :param module: the user's.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        """Logits [rows]."""
        logits: Tensor = self.module(ids, values)
        return logits.reshape(-1)


def load_module(path: str, layout: FieldLayout, settings: TrainSettings) -> nn.Module:
    """The module at ``package.name:Class``, made and tried.

    The class is called with ``sizes`` (how many ids each field has), ``values`` (how many value fields there are) and
    the settings' `parameters`. Its ``forward(ids, values)`` takes int64 [rows, fields] and float32 [rows, values] and
    gives one logit per row.
    """
    made = _make(path, layout, settings)
    if not isinstance(made, nn.Module):
        raise UserError(f"'{path}' gave a {type(made).__name__}: a model is a torch.nn.Module")
    model = UserModule(made)
    _try(path, model, layout)
    return model


def _make(path: str, layout: FieldLayout, settings: TrainSettings) -> object:
    if not _PATH.fullmatch(path):
        raise UserError(f"'{path}' is no path of a module: write package.name:Class")
    name, _, attribute = path.partition(":")
    try:
        made = getattr(importlib.import_module(name), attribute)
    except ModuleNotFoundError as error:
        raise UserError(f"model '{path}': there is no module '{error.name}' where the job runs") from None
    except AttributeError:
        raise UserError(f"model '{path}': module '{name}' has no '{attribute}'") from None
    try:
        return made(sizes=layout.sizes, values=len(layout.value_names), **settings.parameters)
    except TypeError as error:
        raise UserError(f"model '{path}' cannot be made of sizes, values and its parameters: {error}") from error


def _try(path: str, model: nn.Module, layout: FieldLayout) -> None:
    """Run the module on a few rows, so that a wrong shape is found before training and not at its end."""
    ids = torch.zeros(_TRIAL_ROWS, len(layout.sizes), dtype=torch.int64)
    values = torch.zeros(_TRIAL_ROWS, len(layout.value_names))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = model(ids, values)
    except Exception as error:
        raise UserError(f"model '{path}' fails on {_TRIAL_ROWS} rows of zeros: {error}") from error
    finally:
        model.train(was_training)
    if logits.shape != (_TRIAL_ROWS,) or not logits.is_floating_point():
        raise UserError(
            f"model '{path}' gives {logits.numel()} numbers of {logits.dtype} for {_TRIAL_ROWS} rows: "
            "its forward() gives one logit per row"
        )
