"""Rows that no model can learn from are refused before any work is done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.examples import Counts, Examples, check_examples
from tests.training.rows import LAYOUT, data, examples


def test_counts_are_exact() -> None:
    rows = examples(700, 3)
    assert check_examples("valid", rows, LAYOUT) == Counts(700, int(rows.labels.sum()))
    data().check()


def changed(part: str, row: int, column: int, value: float) -> Examples:
    rows = examples(300, 1)
    array = getattr(rows, part)
    array[(row, column) if array.ndim == 2 else row] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (examples(0, 1), "split 'valid' has no rows"),
        (changed("labels", 7, 0, np.nan), "split 'valid', row 7: label is null, not 0 or 1"),
        (changed("labels", 8, 0, 2), "split 'valid', row 8: label is 2, not 0 or 1"),
        (changed("values", 9, 1, np.inf), "split 'valid', row 9: field 'visits' is inf"),
        (changed("ids", 4, 1, 50), "field 'brand' has ids from 1 to 50, but its encoder knows 50"),
        (changed("ids", 4, 2, -1), "field 'city' has ids from -1 to"),
        (replace(examples(30, 1), labels=np.zeros(30, np.float32)), "only rows with label 0 \\(30 of 30\\)"),
        (replace(examples(30, 1), labels=np.ones(30, np.float32)), "only rows with label 1"),
        (replace(examples(30, 1), ids=np.zeros((30, 3), np.int32)), "ids of shape \\(30, 3\\), not \\(30, 4\\)"),
        (
            replace(examples(30, 1), values=np.zeros((30, 0), np.float32)),
            "values of shape \\(30, 0\\), not \\(30, 2\\)",
        ),
    ],
)
def test_refusals(rows: Examples, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_examples("valid", rows, LAYOUT)
