"""How trees are boosted: every number that decides the result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BoostingSettings(BaseModel):
    """Gradient-boosted trees by XGBoost's histogram method.

    :param model: ``xgboost``.
    :param trees: at most so many.
    :param depth: levels of a tree.
    :param learning_rate: how much of each tree counts.
    :param patience: trees without a lower logloss on the validation rows before training stops; 0 never stops.
    :param row_share: share of the rows that each tree sees.
    :param column_share: share of the columns that each tree sees.
    :param l1: penalty of leaf values.
    :param l2: penalty of leaf values' squares.
    :param min_child_weight: least weight of a leaf.
    :param positive_weight: weight of a row with label 1; scores are calibrated only with 1.
    :param bins: of a column's histogram.
    :param seed: of the samples of rows and columns.
    :param device: ``cuda`` boosts on a GPU.
    :param threads: CPU threads; 0 takes all.
    :param checkpoint_trees: trees between two checkpoints; 0 writes none. Where `column_share` is below 1 the choice of
        columns begins anew there, so this is one of the numbers that decide the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: Literal["xgboost"] = "xgboost"
    trees: int = Field(default=200, ge=1, le=100_000)
    depth: int = Field(default=4, ge=1, le=16)
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    patience: int = Field(default=20, ge=0)
    row_share: float = Field(default=1.0, gt=0, le=1)
    column_share: float = Field(default=1.0, gt=0, le=1)
    l1: float = Field(default=0.0, ge=0)
    l2: float = Field(default=1.0, ge=0)
    min_child_weight: float = Field(default=1.0, ge=0)
    positive_weight: float = Field(default=1.0, gt=0)
    bins: int = Field(default=256, ge=2, le=65_536)
    seed: int = Field(default=1, ge=0)
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=0, ge=0)
    checkpoint_trees: int = Field(default=50, ge=0)
