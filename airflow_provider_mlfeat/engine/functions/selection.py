"""Choosing between columns row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, shared_codes, validity


def choose(masks: Sequence[NDArray[np.bool_]], columns: Sequence[Column]) -> Column:
    """Per row the value of the first column whose mask is true, else of the last column, which has no mask."""
    if len(columns[-1]) == 1:
        for mask, column in zip(masks, columns, strict=False):
            if mask[0]:
                return column
        return columns[-1]
    dictionary = None
    choices: Sequence[NDArray[Any]]
    if columns[-1].dictionary is None:
        choices = [column.values for column in columns]
    else:
        choices, dictionary = shared_codes(columns)
    values, valid = choices[-1], None
    for mask, choice in zip(reversed(masks), reversed(choices[:-1]), strict=True):
        values = np.where(mask, choice, values)
    if any(column.valid is not None for column in columns):
        valid = validity(columns[-1])
        for mask, column in zip(reversed(masks), reversed(columns[:-1]), strict=True):
            valid = np.where(mask, validity(column), valid)
    return Column(columns[-1].type, values, valid, dictionary)
