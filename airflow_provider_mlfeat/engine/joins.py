"""LAST JOIN and LEFT JOIN of rows in memory.

Keys of both sides become numbers of one set, so that a right row is found by its number. Where a condition is left,
LAST JOIN looks at the best candidate of every left row first, and at two, four, … more of those that have not found
their row yet: most conditions are met early.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.column import Column, all_valid, concatenate
from airflow_provider_mlfeat.engine.encoding import Bits, encode
from airflow_provider_mlfeat.engine.expressions import EvaluationContext
from airflow_provider_mlfeat.engine.frames import Numbers, group_codes
from airflow_provider_mlfeat.engine.kernels.ordering import group_rows
from airflow_provider_mlfeat.engine.kernels.segments import flatten
from airflow_provider_mlfeat.engine.rows import Rows, evaluate
from airflow_provider_mlfeat.sql.plan import Expression, Join

_PAIRS = 1 << 19  # how many candidate pairs are looked at together


def join_rows(join: Join, left: Rows, right: Rows, context: EvaluationContext, null_join_keys: str) -> Rows:
    """The joined rows: columns of the left, then of the right."""
    left_codes, right_codes, count = _key_codes(join, left, right, context, null_join_keys)
    ordered = _worst_to_best(join, right)
    if join.how == "last" and join.condition is None:
        # The last of several assignments to one place stays, which is the best row.
        best = np.full(count + 1, -1, np.int64)
        best[right_codes[ordered]] = ordered
        best[count] = -1
        return _combine(left, right, None, best[left_codes])
    starts, places = group_rows(right_codes[ordered], count + 1, 0)
    # Number `count` is that of rows that match nothing.
    starts[count + 1] = starts[count]
    candidates = _Candidates(left, right, left_codes, starts, ordered[places], join.condition, context)
    if join.how == "last":
        return _combine(left, right, None, candidates.best())
    return _combine(left, right, *candidates.all())


class _Candidates:
    """Right rows with the key of a left row, from the worst to the best, and the condition on pairs of both."""

    def __init__(
        self, left: Rows, right: Rows, codes: Numbers, starts: Bits, rows: Bits, condition: Expression | None,
        context: EvaluationContext,
    ) -> None:  # fmt: skip
        self.left, self.right, self.rows = left, right, rows
        self.first, self.stop = starts[codes], starts[codes + 1]
        self.condition, self.context = condition, context

    def best(self) -> Bits:
        """Per left row the best right row that meets the condition, or -1."""
        found = np.full(self.left.length, -1, np.int64)
        waiting = np.flatnonzero(self.stop > self.first)
        stop, step = self.stop, 1
        while len(waiting):
            start = np.maximum(self.first, stop - step)
            for part in _parts(waiting, (stop - start)[waiting]):
                pair_left, places = _pairs(part, start, stop)
                met = self._met(pair_left, self.rows[places])
                # Places ascend, so the best one of every left row is assigned last.
                found[pair_left[met]] = self.rows[places[met]]
            stop = start
            waiting = waiting[(found[waiting] < 0) & (stop[waiting] > self.first[waiting])]
            step *= 2
        return found

    def all(self) -> tuple[Bits, Bits]:
        """All pairs that meet the condition; a left row without any has one with -1."""
        lefts, rights = [], []
        for part in _parts(np.arange(self.left.length), self.stop - self.first):
            pair_left, places = _pairs(part, self.first, self.stop)
            pair_right = self.rows[places]
            met = self._met(pair_left, pair_right)
            pair_left, pair_right = pair_left[met], pair_right[met]
            alone = np.setdiff1d(part, pair_left, assume_unique=False)
            both = np.concatenate([pair_left, alone])
            order = np.argsort(both, kind="stable")
            lefts.append(both[order])
            rights.append(np.concatenate([pair_right, np.full(len(alone), -1)])[order])
        nothing = np.empty(0, np.int64)
        return np.concatenate(lefts or [nothing]), np.concatenate(rights or [nothing])

    def _met(self, pair_left: Bits, pair_right: Bits) -> NDArray[np.bool_]:
        if self.condition is None:
            return np.ones(len(pair_left), np.bool_)
        columns = _TakenColumns(self.left, self.right, pair_left, pair_right)
        column = evaluate(self.condition, Rows(len(pair_left), columns), self.context)
        return column.values if column.valid is None else column.values & column.valid


class _TakenColumns(list[Column]):
    """Columns of pairs of rows, made when a condition reads them."""

    def __init__(self, left: Rows, right: Rows, pair_left: Bits, pair_right: Bits) -> None:
        self._sides = ((left, pair_left), (right, pair_right))
        self._width = len(left.columns)

    def __getitem__(self, number: int) -> Column:  # type: ignore[override]
        is_right = number >= self._width
        rows, taken = self._sides[is_right]
        return rows.columns[number - self._width if is_right else number].take(taken)


def _parts(rows: Bits, lengths: Bits) -> Iterator[Bits]:
    """The rows in parts whose lengths add up to a bounded number, or to one row's length."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(rows):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
        yield rows[start:stop]
        start = stop


def _pairs(rows: Bits, start: Bits, stop: Bits) -> tuple[Bits, Bits]:
    """The rows, each as often as it has candidates, and the places of these."""
    bounds = np.ascontiguousarray(np.stack([start[rows], stop[rows]], axis=1))
    return np.repeat(rows, bounds[:, 1] - bounds[:, 0]), flatten(bounds)


def _key_codes(
    join: Join, left: Rows, right: Rows, context: EvaluationContext, null_join_keys: str
) -> tuple[Numbers, Numbers, int]:
    """Numbers of both sides' keys, and how many there are; that number itself stands for a key that matches nothing."""
    left_keys = [evaluate(key, left, context) for key in join.left_keys]
    right_keys = [evaluate(key, right, context) for key in join.right_keys]
    keys = [concatenate(pair) for pair in zip(left_keys, right_keys, strict=True)]
    codes, count = group_codes(keys, left.length + right.length)
    if null_join_keys == "never":
        valid = all_valid(keys)
        if valid is not None:
            codes = np.where(valid, codes, count)
    return codes[: left.length], codes[left.length :], count


def _worst_to_best(join: Join, right: Rows) -> Bits:
    """The right rows in the order in which LAST JOIN prefers them: by order value, NULL lowest, then by arrival."""
    arrival = np.arange(right.length)
    if join.order is None:
        return arrival
    column = right.columns[join.order]
    values, _ = encode(column)
    if join.descending:
        values = ~values
    if column.valid is not None:
        values[~column.valid] = np.iinfo(np.int64).min
    if not (values[1:] < values[:-1]).any():
        return arrival
    return np.argsort(values, kind="stable")


def _combine(left: Rows, right: Rows, left_rows: Bits | None, right_rows: Bits) -> Rows:
    if left_rows is not None:
        left = left.take(left_rows)
    # Sub-queries over the same rows are often joined on a key of these: nothing moves then.
    if len(right_rows) != right.length or (right_rows != np.arange(right.length)).any():
        right = right.take(right_rows)
    return Rows(len(right_rows), (*left.columns, *right.columns))
