"""Whose fault a failure of boosting is: the user's, who is told what to change, or the machine's, and worth a retry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import xgboost as xgb

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.training.gradient_boosting.settings import BoostingSettings

_NO_MEMORY = ("out of memory", "bad_alloc", "memory allocation")


@contextmanager
def explained(settings: BoostingSettings) -> Iterator[None]:
    """Turn XGBoost's errors of memory and hardware into ours."""
    try:
        yield
    except MemoryError as error:
        raise UserError(_advice(settings)) from error
    except xgb.core.XGBoostError as error:
        said = str(error).lower()
        if any(text in said for text in _NO_MEMORY):
            raise UserError(_advice(settings)) from error
        if "cuda" in said:
            raise TransientError(f"the device failed: {str(error).strip().splitlines()[0]}") from error
        raise


def check_device(booster: xgb.Booster) -> None:
    """Refuse a GPU that is not there: XGBoost itself goes on without a word, many times as slowly."""
    there = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if not str(there).startswith("cuda"):
        raise UserError("device is 'cuda', but XGBoost sees no GPU here: take device 'cpu' or a machine that has one")


def _advice(settings: BoostingSettings) -> str:
    where = "the GPU's memory" if settings.device == "cuda" else "memory"
    return (
        f"boosting needs more than {where} holds: take fewer bins than {settings.bins}, a depth below {settings.depth}"
        " or a smaller row_share"
    )
