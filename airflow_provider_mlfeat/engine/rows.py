"""Rows of a relation in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, concatenate
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, compile_expression
from airflow_provider_mlfeat.sql.plan import Expression


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of one length, in the order of a relation's schema.

    :param length: the number of rows.
    :param columns: the columns; those of a stored table are read when they are asked for.
    """

    length: int
    columns: Sequence[Column]

    def take(self, indices: NDArray[np.integer[Any]]) -> Rows:
        """The rows at `indices`; -1 gives a row of NULLs."""
        return Rows(len(indices), tuple(column.take(indices) for column in self.columns))

    def filter(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows where `mask` is true."""
        return Rows(int(np.count_nonzero(mask)), tuple(column.filter(mask) for column in self.columns))

    def slice(self, start: int, stop: int) -> Rows:
        """The rows from `start` up to, not including, `stop`."""
        return Rows(max(0, stop - start), tuple(column.slice(start, stop) for column in self.columns))


def stack(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns for part in parts), strict=True)
    return Rows(sum(part.length for part in parts), tuple(concatenate(same) for same in columns))


def evaluate(expression: Expression, rows: Rows, context: EvaluationContext) -> Column:
    """An expression's values, one per row."""
    return compile_expression(expression, context)(rows.columns, rows.length)
