"""Partial aggregates: what is kept of many rows so that aggregates over them can be put together without the rows.

A long window is cut into stretches of rows. Of each stretch a store keeps one number per *part*, such as a sum or a
count; sums of integers wrap and counts add, the least of the least is the least, so that what is put together equals
the aggregate over the rows bit for bit. Sums of floating numbers depend on the order in which they are added, and
have no parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.blocks import stored_bits
from airflow_provider_mlfeat.engine.column import Column, validity
from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.expressions import EvaluationContext
from airflow_provider_mlfeat.engine.features import Settings, segment_rows
from airflow_provider_mlfeat.engine.program import FramedCall
from airflow_provider_mlfeat.engine.pruning import references, renumber
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.types import BIGINT, Kind

Mask = NDArray[np.uint8]

_WHERE = "_where"
_MAXIMUM = np.int64(0x7FFFFFFFFFFFFFFF)
# Whole numbers up to this are doubles, and so are sums of them: added in any order they come to the same.
_EXACT = 1 << 53


@dataclass(frozen=True, slots=True)
class Partials:
    """Partial aggregates of some stretches of rows.

    :param bits: the patterns [part, stretch].
    :param valid: whether there is a value.
    """

    bits: Bits
    valid: Mask

    def slice(self, start: int, stop: int) -> Partials:
        """Those of the stretches from `start` up to, not including, `stop`."""
        return Partials(self.bits[:, start:stop], self.valid[:, start:stop])


def join_partials(partials: Sequence[Partials]) -> Partials:
    """The stretches of all, one after the other."""
    if len(partials) == 1:
        return partials[0]
    return Partials(
        np.concatenate([one.bits for one in partials], axis=1), np.concatenate([one.valid for one in partials], axis=1)
    )


class Summary:
    """The parts of calls over rows of a table.

    :param parts: aggregates of columns. Their conditions compare a column that is no time with a constant, so that no
        time zone matters.
    """

    def __init__(self, parts: Sequence[plan.FrameCall]) -> None:
        self.parts = tuple(parts)
        # What is read, in order; whoever gives rows gives these columns of them.
        self.columns = sorted(references(*self.parts))
        moved = (renumber(part, self.columns.index) for part in self.parts)
        self._calls = [FramedCall(0, call) for call in moved if isinstance(call, plan.FrameCall)]
        self._settings = Settings(EvaluationContext(), threads=1, slide=False)

    def of(self, rows: Rows, bounds: Bits | None = None) -> Partials:
        """The partial aggregates of rows.

        :param rows: the rows, with the columns that are read and no others.
        :param bounds: the stretches, a line [start, stop] each; None takes all rows for one.
        """
        if bounds is None:
            bounds = np.array([[0, rows.length]], np.int64)
        columns: list[Column] = segment_rows(rows, bounds, self._settings).evaluate(self._calls)
        bits = [stored_bits(column, None) for column in columns]  # type: ignore[arg-type]  # no part is a string
        return Partials(np.stack(bits), np.stack([validity(column) for column in columns]).astype(np.uint8))


# ── which aggregates have parts ─────────────────────────────────────────────────────────────────────────────────────


def why_without_parts(feature: plan.Feature, frame: plan.Frame) -> str:
    """Why a feature cannot be put together from parts; empty where it can."""
    name = feature.function.removesuffix(_WHERE)
    if name not in ("sum", "avg", "count", "min", "max"):
        return f"{feature.function} has no parts"
    if frame.unit != "range" or frame.maxsize is not None:
        return "its window counts rows"
    if name == "count":
        return ""
    type_ = feature.arguments[0].type
    if name in ("sum", "avg") and type_.is_floating:
        return f"the order in which numbers of type {type_} are added decides their sum"
    if type_.kind is Kind.STRING:
        return "strings have no order among buckets"
    return ""


def parts_of(feature: plan.Feature) -> tuple[plan.FrameCall, ...]:
    """The parts of a feature that has some: the aggregate itself, or for a mean what it is made of."""
    name, suffix = feature.function.removesuffix(_WHERE), ""
    if feature.function.endswith(_WHERE):
        suffix = _WHERE
    if name != "avg":
        return (plan.FrameCall(feature.function, feature.arguments, feature.type),)
    value = feature.arguments[0].type
    return (
        plan.FrameCall(f"sum{suffix}", feature.arguments, BIGINT),
        plan.FrameCall(f"count{suffix}", feature.arguments, BIGINT),
        plan.FrameCall(f"min{suffix}", feature.arguments, value),
        plan.FrameCall(f"max{suffix}", feature.arguments, value),
    )


class NotExactError(Exception):
    """A mean of numbers so large that the order in which they are added decides it."""


def merged(part: plan.FrameCall, partials: Partials, place: int) -> int | None:
    """The pattern of a part over all stretches; None is NULL.

    :param part: the part.
    :param partials: the stretches.
    :param place: the part's place among theirs.
    """
    bits = partials.bits[place]
    valid = partials.valid[place]
    if not valid.all():
        bits = bits[valid.astype(np.bool_)]
    name = part.function.removesuffix(_WHERE)
    if name == "count":
        return int(bits.sum())
    if not len(bits):
        return None
    if name == "sum":
        return int(bits.sum())
    keys = bits
    if part.type.is_floating:
        # The bits of negative doubles grow with their magnitude.
        keys = bits ^ ((bits >> 63) & _MAXIMUM)
    return int(bits[keys.argmin() if name == "min" else keys.argmax()])


def mean_of(total: int | None, count: int | None, least: int | None, most: int | None) -> float | None:
    """The mean as the walk computes it, from its parts; raises where that depends on the order of the rows."""
    if not count or total is None or least is None or most is None:
        return None
    if count * max(abs(least), abs(most)) > _EXACT:
        raise NotExactError
    return float(total) / count
