"""Operators, three-valued logic and the functions about NULL (reference 1.9)."""

from __future__ import annotations

import datetime
import math
import operator
from collections.abc import Callable
from typing import Any

from tests.oracle.casts import cast
from tests.oracle.scalars import Invocation, scalar


@scalar("add")
def add(call: Invocation, left: Any, right: Any) -> Any:
    return left + right


@scalar("subtract")
def subtract(call: Invocation, left: Any, right: Any) -> Any:
    return left - right


@scalar("multiply")
def multiply(call: Invocation, left: Any, right: Any) -> Any:
    return left * right


@scalar("divide")
def divide(call: Invocation, left: Any, right: Any) -> Any:
    return None if right == 0 else float(left) / float(right)


@scalar("int_divide")
def int_divide(call: Invocation, left: int, right: int) -> int | None:
    if right == 0:
        return None
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


@scalar("modulo", "mod")
def modulo(call: Invocation, left: Any, right: Any) -> Any:
    if right == 0:
        return None
    if isinstance(left, float) or isinstance(right, float):
        return math.nan if math.isinf(left) else math.fmod(left, right)
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


@scalar("negate")
def negate(call: Invocation, value: Any) -> Any:
    return -value


@scalar("bit_and")
def bit_and(call: Invocation, left: int, right: int) -> int:
    return left & right


@scalar("bit_or")
def bit_or(call: Invocation, left: int, right: int) -> int:
    return left | right


@scalar("bit_xor")
def bit_xor(call: Invocation, left: int, right: int) -> int:
    return left ^ right


@scalar("bit_not")
def bit_not(call: Invocation, value: int) -> int:
    return ~value


def _register_comparison(name: str, compare: Callable[[Any, Any], bool]) -> None:
    # Python orders text by code points, which is the order of its UTF-8 bytes.
    @scalar(name)
    def comparison(call: Invocation, left: Any, right: Any) -> bool:
        return compare(left, right)


for _name, _compare in (
    ("equal", operator.eq),
    ("not_equal", operator.ne),
    ("less", operator.lt),
    ("less_equal", operator.le),
    ("greater", operator.gt),
    ("greater_equal", operator.ge),
):
    _register_comparison(_name, _compare)


def truth(value: Any) -> bool | None:
    """Whether a value of any base type is true; a date always is."""
    if value is None or isinstance(value, bool):
        return value
    return True if isinstance(value, datetime.date) else bool(value)


@scalar("and", own_nulls=True)
def and_(call: Invocation, *operands: Any) -> bool | None:
    truths = [truth(operand) for operand in operands]
    return False if False in truths else None if None in truths else True


@scalar("or", own_nulls=True)
def or_(call: Invocation, *operands: Any) -> bool | None:
    truths = [truth(operand) for operand in operands]
    return True if True in truths else None if None in truths else False


@scalar("xor")
def xor(call: Invocation, left: Any, right: Any) -> bool:
    return truth(left) != truth(right)


@scalar("not")
def not_(call: Invocation, value: Any) -> bool:
    return not truth(value)


@scalar("in", own_nulls=True)
def in_(call: Invocation, value: Any, *items: Any) -> bool | None:
    if value is None:
        return None
    if any(item is not None and item == value for item in items):
        return True
    return None if None in items else False


@scalar("case", own_nulls=True)
def case(call: Invocation, *parts: Any) -> Any:
    for condition, value in zip(parts[:-1:2], parts[1:-1:2], strict=True):
        if truth(condition):
            return value
    return parts[-1]


@scalar("is_null", "isnull", own_nulls=True)
def is_null(call: Invocation, value: Any) -> bool:
    return value is None


@scalar("if_null", "ifnull", "nvl", own_nulls=True)
def if_null(call: Invocation, value: Any, default: Any) -> Any:
    return default if value is None else value


@scalar("nvl2", own_nulls=True)
def nvl2(call: Invocation, value: Any, present: Any, absent: Any) -> Any:
    return absent if value is None else present


@scalar("cast", own_nulls=True)
def cast_(call: Invocation, value: Any) -> Any:
    return cast(value, call.types[0], call.result, call.time_zone)


@scalar("identity", own_nulls=True)
def identity(call: Invocation, value: Any) -> Any:
    return value


@scalar("inc")
def inc(call: Invocation, value: Any) -> Any:
    return value + 1


@scalar("minimum")
def minimum(call: Invocation, left: Any, right: Any) -> Any:
    return min(left, right)


@scalar("maximum")
def maximum(call: Invocation, left: Any, right: Any) -> Any:
    return max(left, right)
