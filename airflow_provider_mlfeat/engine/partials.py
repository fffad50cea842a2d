"""Partial aggregates: what is kept of many rows so that aggregates over them can be put together without the rows.

A long window is cut into stretches of rows. Of each stretch a store keeps one number per *part*, such as a sum or a
count; sums of integers wrap and counts add, the least of the least is the least, so that what is put together equals
the aggregate over the rows bit for bit. Sums of floating numbers depend on the order in which they are added, and
have no parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.blocks import block_column, stored_bits
from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.expressions import EvaluationContext, Evaluator, compile_expression
from airflow_provider_mlfeat.engine.pruning import references, renumber
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.types import BIGINT, DATE, TIMESTAMP, DataType, Kind

Mask = NDArray[np.uint8]

_WHERE = "_where"
_MAXIMUM = np.int64(0x7FFFFFFFFFFFFFFF)
# Whole numbers up to this are doubles, and so are sums of them: added in any order they come to the same.
_EXACT = 1 << 53
_TIMES = (DATE, TIMESTAMP)


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


@dataclass(frozen=True, slots=True)
class _Condition:
    """Which rows count.

    :param columns: what it reads.
    :param types: the types of these.
    :param evaluate: the condition over them.
    """

    columns: list[int]
    types: list[DataType]
    evaluate: Evaluator

    def mask(self, columns: Sequence[Column], length: int) -> NDArray[np.bool_]:
        """Where it holds; NULL does not."""
        found = self.evaluate(columns, length)
        mask: NDArray[np.bool_] = found.values.astype(np.bool_)
        return mask if found.valid is None else mask & found.valid


class Summary:
    """Aggregates of columns over rows of a table, computed as the walk does.

    :param parts: the aggregates. Their conditions compare a column that is no time with a constant, so that no time
        zone matters.
    :param schema: the table's columns.
    """

    def __init__(self, parts: Sequence[plan.FrameCall], schema: plan.Schema) -> None:
        self.parts, self._schema = tuple(parts), schema
        self._conditions: list[_Condition] = []
        known: dict[plan.Expression, int] = {}
        # Per part: its name, the column, the number of the condition, and whether its numbers are floating ones.
        self._recipes: list[tuple[str, int | None, int | None, bool]] = []
        for part in parts:
            name, arguments, condition = part.function, list(part.arguments), None
            if name.endswith(_WHERE):
                name, condition = name.removesuffix(_WHERE), arguments.pop()
                if condition not in known:
                    known[condition] = len(known)
                    self._conditions.append(_condition(condition, schema))
            column = None
            if arguments:
                assert isinstance(arguments[0], plan.ColumnReference), "parts are aggregates of columns"
                column = arguments[0].index
            number = None if condition is None else known[condition]
            self._recipes.append((name, column, number, part.type.is_floating))
        # The columns that are read.
        self.columns = sorted(references(*parts))

    def of(self, bits: Bits, kept: Mask, count: int, pool: StringPool) -> Partials:
        """The partial aggregates of stored rows, as one stretch.

        :param bits: the patterns, a line per column of the table, as in blocks.
        :param kept: a line of ones, then a line per column that says whether there is a value.
        :param count: how many rows.
        :param pool: what the codes of strings mean.
        """
        masks = []
        for condition in self._conditions:
            columns = []
            for column, type_ in zip(condition.columns, condition.types, strict=True):
                valid = kept[1 + column, :count].astype(np.bool_)
                columns.append(block_column(bits[column, :count], None if valid.all() else valid, type_, pool))
            masks.append(condition.mask(columns, count))
        return self._partials(
            lambda column: bits[column, :count], lambda column: kept[1 + column, :count], masks, count
        )

    def of_row(self, values: Mapping[int, Any]) -> Partials:
        """The same of one row of Python values, by column."""
        masks = []
        for condition in self._conditions:
            pairs = zip(condition.columns, condition.types, strict=True)
            masks.append(condition.mask([Column.from_values([values[column]], type_) for column, type_ in pairs], 1))

        def bits_of(column: int) -> Bits:
            found = stored_bits(Column.from_values([values[column]], self._schema[column].type), StringPool())
            if self._schema[column].type.is_floating:
                # As rows are stored: equal numbers have equal patterns, whatever a zero's sign or a NaN's kind.
                reals = found.view(np.float64) + 0.0
                found = np.where(np.isnan(reals), np.nan, reals).view(np.int64)
            return found

        return self._partials(bits_of, lambda column: np.array([values[column] is not None], np.uint8), masks, 1)

    def _partials(
        self, bits_of: Callable[[int], Bits], valid_of: Callable[[int], Mask], masks: Sequence[NDArray[np.bool_]],
        count: int,
    ) -> Partials:  # fmt: skip
        bits = np.zeros((len(self.parts), 1), np.int64)
        valid = np.zeros((len(self.parts), 1), np.uint8)
        for place, (name, column, condition, is_floating) in enumerate(self._recipes):
            mask = None if condition is None else masks[condition]
            if column is not None:
                has_value = valid_of(column).astype(np.bool_)
                mask = has_value if mask is None else mask & has_value
            if name == "count":
                bits[place, 0] = count if mask is None else np.count_nonzero(mask)
                valid[place, 0] = 1
                continue
            assert column is not None, "only a count has no column"
            assert mask is not None, "a column has values or not"
            values = bits_of(column)[mask]
            if len(values):
                bits[place, 0] = _aggregate(name, values, is_floating)
                valid[place, 0] = 1
        return Partials(bits, valid)


def _condition(condition: plan.Expression, schema: plan.Schema) -> _Condition:
    columns = sorted(references(condition))
    evaluate = compile_expression(renumber(condition, columns.index), EvaluationContext())
    return _Condition(columns, [schema[column].type for column in columns], evaluate)


def _aggregate(name: str, values: Bits, is_floating: bool) -> int:
    """A sum, modulo 2 to the 64, or the least or the largest value."""
    if name == "sum":
        return int(values.sum())
    keys = values
    if is_floating:
        # The bits of negative doubles grow with their magnitude.
        keys = values ^ ((values >> 63) & _MAXIMUM)
    return int(values[keys.argmin() if name == "min" else keys.argmax()])


# ── which aggregates have parts ─────────────────────────────────────────────────────────────────────────────────────


def why_without_parts(feature: plan.Feature, frame: plan.Frame) -> str:
    """Why a feature cannot be put together from parts; empty where it can."""
    name = feature.function.removesuffix(_WHERE)
    if name not in ("sum", "avg", "count", "min", "max"):
        return f"{feature.function} has no parts"
    if frame.unit != "range" or frame.maxsize is not None:
        return "its window counts rows"
    # LONG_WINDOWS takes no others, but a window that it does not name may have the same frame.
    values = list(feature.arguments)
    if feature.function.endswith(_WHERE) and not _is_comparison(values.pop()):
        return "its condition is more than a column compared with a constant"
    if not all(isinstance(value, plan.ColumnReference) for value in values):
        return "it aggregates an expression"
    if name == "count":
        return ""
    type_ = values[0].type
    if name in ("sum", "avg") and type_.is_floating:
        return f"the order in which numbers of type {type_} are added decides their sum"
    if type_.kind is Kind.STRING:
        return "strings have no order among buckets"
    return ""


def _is_comparison(condition: plan.Expression) -> bool:
    """Whether a condition is about a column, which is no time, and a constant: no time zone matters then."""
    if not isinstance(condition, plan.Call) or len(condition.arguments) != 2:
        return False
    sides = [_uncast(side) for side in condition.arguments]
    kinds = {type(side) for side in sides}
    return kinds == {plan.ColumnReference, plan.Literal} and not any(side.type in _TIMES for side in sides)


def _uncast(expression: plan.Expression) -> plan.Expression:
    """What is cast, as long as it is not to a time."""
    while isinstance(expression, plan.Call) and expression.function == "cast" and expression.type not in _TIMES:
        (expression,) = expression.arguments
    return expression


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
    return _aggregate(name, bits, part.type.is_floating) if len(bits) else None


def mean_of(total: int | None, count: int | None, least: int | None, most: int | None) -> float | None:
    """The mean as the walk computes it, from its parts; raises where that depends on the order of the rows."""
    if not count or total is None or least is None or most is None:
        return None
    if count * max(abs(least), abs(most)) > _EXACT:
        raise NotExactError
    return float(total) / count
