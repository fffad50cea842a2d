"""Feature programs: aggregates compiled into the matrices that the walk reads.

A program knows which expressions it needs as columns and which masks of rows, and is bound to data by saying where
these are. Calls that the walk cannot evaluate by itself are not its business, see ``features``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from airflow_provider_mlfeat.engine.encoding import Bits, family_of, zero_bits
from airflow_provider_mlfeat.engine.kernels.aggregates import AGGREGATES, AggregateKernel
from airflow_provider_mlfeat.engine.kernels.categories import Measure
from airflow_provider_mlfeat.engine.kernels.walk import FIELDS, Field, Operation
from airflow_provider_mlfeat.sql.plan import Call, Expression, FrameCall, Literal
from airflow_provider_mlfeat.sql.types import BIGINT, DOUBLE, DataType

# A mask as what must hold in a row: (column, False) that it is not NULL, (column, True) that it is true as well.
Mask = tuple[tuple[int, bool], ...]

_TEXT = (Operation.TOP_FREQUENCY, Operation.LARGEST, Operation.CATEGORIES)
_POSITIONAL = (Operation.AT, Operation.FIRST, Operation.LAST, Operation.NTH)


@dataclass(frozen=True, slots=True)
class FramedCall:
    """An aggregate and the frame that it sees.

    :param frame: number of the frame.
    :param call: the aggregate.
    """

    frame: int
    call: FrameCall


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a feature gives, besides its row in the matrix.

    :param result: number of the call that it answers.
    :param type: the call's type.
    :param value: the column of the argument; None where there is none.
    :param value_type: for texts the type of their values.
    :param key: for texts the column of the keys.
    :param with_values: for texts whether they are made of keys and values.
    """

    result: int
    type: DataType
    value: int | None
    value_type: DataType
    key: int | None = None
    with_values: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the walk gives entries of a text."""
        return self.key is not None


class FeatureProgram:
    """The calls of one stream, compiled.

    :param calls: calls whose arguments hold no frame calls, but for the comparison with the newest row.
    """

    def __init__(self, calls: Sequence[FramedCall]) -> None:
        self.expressions: list[Expression] = []
        self.masks: list[Mask] = [()]
        compiled = sorted((self._compile(number, call) for number, call in enumerate(calls)), key=_sharing)
        self.instructions = [instruction for instruction, _, _ in compiled]
        self._matrix = np.array([row for _, row, _ in compiled], np.int64).reshape(-1, FIELDS)
        self.numbers = np.array([number for _, _, number in compiled], np.float64)
        self._matrix[:, Field.TEXT] = -1
        self._matrix[:, Field.RESULT] = np.arange(len(self._matrix))
        texts = [place for place, instruction in enumerate(self.instructions) if instruction.is_text]
        self._matrix[texts, Field.TEXT] = np.arange(len(texts))
        self.texts = texts

    def bound(
        self,
        mask_number: Callable[[Mask], int],
        family: Callable[[int], int] | None = None,
        zero: Callable[[int], int] | None = None,
    ) -> Bits:
        """The matrix for some data.

        :param mask_number: where a mask is found.
        :param family: how a column is read, if not by its type.
        :param zero: as which pattern a column's NULL counts, if not as that of its type.
        """
        numbers = np.array([mask_number(mask) for mask in self.masks], np.int64)
        matrix = self._matrix.copy()
        for field in (Field.MASK, Field.VALID):
            matrix[:, field] = numbers[matrix[:, field]]
        flags = matrix[:, Field.FLAG]
        matrix[:, Field.FLAG] = np.where(flags < 0, -1, numbers[flags])
        if family is not None:
            for column, kind in ((Field.COLUMN, Field.FAMILY), (Field.KEY, Field.KEY_FAMILY)):
                matrix[:, kind] = [family(number) for number in matrix[:, column].tolist()]
        for row in matrix:
            if row[Field.OPERATION] == Operation.DISTINCT_COUNT:
                number = int(row[Field.COLUMN])
                row[Field.ZERO] = zero_bits(self.expressions[number].type) if zero is None else zero(number)
        return share(matrix)

    # ── compilation ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _column(self, expression: Expression) -> int:
        if expression not in self.expressions:
            self.expressions.append(expression)
        return self.expressions.index(expression)

    def _mask(self, *terms: tuple[int, bool]) -> int:
        mask = tuple(sorted(set(terms)))
        if mask not in self.masks:
            self.masks.append(mask)
        return self.masks.index(mask)

    def _compile(self, number: int, framed: FramedCall) -> tuple[Instruction, list[int], float]:
        call = framed.call
        kernel = AGGREGATES[call.function]
        assert isinstance(kernel, AggregateKernel), call.function
        row = [0] * FIELDS
        row[Field.OPERATION], row[Field.FRAME] = kernel.operation, framed.frame
        row[Field.MEASURE], row[Field.RANKING] = kernel.measure, kernel.ranking
        row[Field.PARAMETER_COLUMN] = row[Field.FLAG] = -1
        row[Field.PARAMETER] = -1
        newest = newest_comparison(call)
        if newest is not None:
            return self._compile_newest(number, call, newest, row)
        # count(*) and count_where(*, c) have no value.
        value, condition = kernel.value, kernel.condition
        if call.function == "count" and not call.arguments:
            value = None
        elif call.function == "count_where" and len(call.arguments) == 1:
            value, condition = None, 0
        column = None if value is None else self._column(call.arguments[value])
        value_type = call.type if value is None else call.arguments[value].type
        row[Field.COLUMN] = column or 0
        row[Field.FAMILY] = row[Field.KEY_FAMILY] = family_of(value_type)
        terms: list[tuple[int, bool]] = []
        if column is not None:
            row[Field.VALID] = self._mask((column, False))
            ignores_null = kernel.operation in (Operation.FIRST, Operation.LAST) and len(call.arguments) > 1
            if kernel.skips_null or (ignores_null and _literal(call.arguments[1])):
                terms.append((column, False))
        if condition is not None and kernel.condition_is_measured:
            row[Field.FLAG] = self._mask((self._column(call.arguments[condition]), True))
        elif condition is not None:
            terms.append((self._column(call.arguments[condition]), True))
        key = None
        if kernel.key is not None:
            argument = call.arguments[kernel.key]
            key = row[Field.KEY] = self._column(argument)
            row[Field.KEY_FAMILY] = family_of(argument.type)
            terms.append((key, False))
        elif kernel.operation in _TEXT:
            key = column
        row[Field.MASK] = self._mask(*terms)
        real = self._set_parameters(kernel, call, row)
        if kernel.measure is Measure.COUNT:
            value_type = BIGINT
        elif kernel.measure in (Measure.AVERAGE, Measure.RATIO):
            value_type = DOUBLE
        return Instruction(number, call.type, column, value_type, key, kernel.key is not None), row, real

    def _compile_newest(
        self, number: int, call: FrameCall, compared: Expression, row: list[int]
    ) -> tuple[Instruction, list[int], float]:
        column = self._column(compared)
        row[Field.OPERATION], row[Field.COLUMN] = Operation.COUNT_NEWEST, column
        row[Field.FAMILY] = family_of(compared.type)
        row[Field.VALID] = self._mask((column, False))
        counted = [(self._column(argument), False) for argument in call.arguments[:-1]]
        row[Field.MASK] = self._mask(*counted)
        return Instruction(number, call.type, column, call.type), row, 0.0

    def _set_parameters(self, kernel: AggregateKernel, call: FrameCall, row: list[int]) -> float:
        """Fill in the settings; the floating one is returned."""
        position = kernel.parameter if kernel.parameter is not None else kernel.number
        if position is None:
            return 0.0
        argument = call.arguments[position]
        if not isinstance(argument, Literal):
            row[Field.PARAMETER_COLUMN] = self._column(argument)
            return 0.0
        if kernel.number is not None:
            return float(argument.value or 0.0)
        # A NULL asks for nothing: no entry, no row.
        nothing = -1 if kernel.operation is Operation.AT else 0
        row[Field.PARAMETER] = nothing if argument.value is None else int(argument.value)
        return 0.0


def share(matrix: Bits) -> Bits:
    """Mark the features that gather the same values as the one before; changes and returns the matrix."""
    before: tuple[int, ...] | None = None
    for row in matrix:
        operation = row[Field.OPERATION]
        if operation in _POSITIONAL or operation == Operation.COUNT_NEWEST:
            continue
        if operation == Operation.COUNT and row[Field.MASK] == 0:
            continue
        gathered = (int(row[Field.FRAME]), int(row[Field.COLUMN]), int(row[Field.MASK]))
        row[Field.SHARED] = gathered == before
        before = gathered
    return matrix


def newest_comparison(call: FrameCall) -> Expression | None:
    """The x of ``count_where(…, x = at(x, 0))``, or None for another call."""
    if call.function != "count_where":
        return None
    condition = call.arguments[-1]
    if not (isinstance(condition, Call) and condition.function == "equal"):
        return None
    for compared, newest in (condition.arguments, condition.arguments[::-1]):
        if (
            isinstance(newest, FrameCall)
            and newest.function == "at"
            and newest.arguments[0] == compared
            and isinstance(newest.arguments[1], Literal)
            and newest.arguments[1].value == 0
            # NaN is not equal to itself, but its pattern is.
            and not compared.type.is_floating
            and not holds_frame_call(compared)
            and not any(holds_frame_call(argument) for argument in call.arguments[:-1])
        ):
            return compared
    return None


def holds_frame_call(expression: Expression) -> bool:
    """Whether there is an aggregate inside an expression."""
    if isinstance(expression, FrameCall):
        return True
    return isinstance(expression, Call) and any(holds_frame_call(argument) for argument in expression.arguments)


def _literal(expression: Expression) -> object:
    """The value of a constant; a cast keeps what is true true."""
    if isinstance(expression, Call) and expression.function == "cast":
        return _literal(expression.arguments[0])
    return expression.value if isinstance(expression, Literal) else None


def _sharing(compiled: tuple[Instruction, list[int], float]) -> tuple[int, ...]:
    """Calls that gather the same values come next to one another."""
    row = compiled[1]
    return (row[Field.FRAME], row[Field.COLUMN], row[Field.MASK])
