"""The columns and masks of a feature program as matrices, the form that the walk reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.kernels.walk import Field
from airflow_provider_mlfeat.engine.program import FeatureProgram, Mask

if TYPE_CHECKING:
    from airflow_provider_mlfeat.engine.features import FramedRows

_FEW_VALUES = 1 << 13  # so many values can be counted without hashing


class Matrices:
    """The columns and masks of a program as matrices over the history and the current rows.

    :param source: the framed rows that the columns come from.
    :param program: the features that need them.
    """

    def __init__(self, source: FramedRows, program: FeatureProgram) -> None:
        timeline = source.timeline
        encoded = [source.encoded(expression) for expression in program.expressions]
        columns = [bits for bits, _ in encoded]
        self._zeros = [encoding.zero for _, encoding in encoded]
        # A program of nothing but count(*) has no column; the walk still wants to point at one, and it looks at the
        # current row before it knows whether there is one.
        width, height = max(len(timeline.history), 1), max(len(columns), 1)
        self.past = np.zeros((height, width), np.int64)
        for row, column in zip(self.past, columns, strict=False):
            np.take(column, timeline.history, out=row[: len(timeline.history)])
        main = source.parts[0].length
        self._numbers: dict[Mask, int] = {(): 0}
        masks: list[NDArray[np.bool_]] = []
        for mask in program.masks:
            rows = _mask_rows(source, program, mask)
            if rows is None:
                self._numbers[mask] = 0
            else:
                self._numbers[mask] = len(masks) + 1
                masks.append(rows)
        self.past_kept = np.ones((len(masks) + 1, width), np.uint8)
        for number, rows in enumerate(masks):
            self.past_kept[number + 1, : len(timeline.history)] = rows[timeline.history]
        if timeline.holds_main:
            self.now, self.now_kept = self.past, self.past_kept
        else:
            self.now = np.zeros((height, main), np.int64)
            for row, column in zip(self.now, columns, strict=False):
                row[:] = column[:main]
            self.now_kept = np.ones((len(masks) + 1, main), np.uint8)
            for number, rows in enumerate(masks):
                self.now_kept[number + 1] = rows[:main]

    def set_spread(self, features: Bits) -> None:
        """Say of which columns there are few values, close to one another."""
        for column in np.unique(features[:, Field.COLUMN]).tolist():
            low = min(int(part[column].min(initial=0)) for part in (self.past, self.now))
            high = max(int(part[column].max(initial=0)) for part in (self.past, self.now))
            if high - low < _FEW_VALUES:
                of_column = features[:, Field.COLUMN] == column
                features[of_column, Field.BASE], features[of_column, Field.SPREAD] = low, high - low + 1

    def zero_of(self, column: int) -> int:
        """As which pattern a column's NULL counts."""
        return self._zeros[column]

    def number_of(self, mask: Mask) -> int:
        """Where a mask is; 0 when it holds for all rows."""
        return self._numbers[mask]


def _mask_rows(source: FramedRows, program: FeatureProgram, mask: Mask) -> NDArray[np.bool_] | None:
    """The rows that a mask keeps, or None when it keeps all."""
    kept: NDArray[np.bool_] | None = None
    for number, is_condition in mask:
        column = source.column(program.expressions[number])
        terms = [] if column.valid is None else [column.valid]
        if is_condition:
            terms.append(column.values.astype(np.bool_))
        for term in terms:
            kept = term if kept is None else kept & term
    return kept
