"""Functions of your own, written in Python and called from SQL like any other.

    @scalar_function("string", "int", returns="string")
    def shorten(text: str, length: int = 8) -> str:
        '''The first characters of a text.'''
        return text[:length]

    @aggregate_function("double", returns="double")
    def spread(values: list[float]) -> float | None:
        '''The distance between the largest and the smallest value.'''
        return max(values) - min(values) if values else None

Parameters are typed by SQL names; a parameter with a default may be left out and ``*values`` repeats the last type.
Values come as bool, int, float, str, ``datetime.date`` and milliseconds of a timestamp, and results go back the same
way. A function must be pure: it is called once for equal arguments, and constants are computed once. It belongs into a
module that workers can import, which happens by the name of the module.
"""

from __future__ import annotations

import datetime
import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.group import named
from airflow_provider_mlfeat.sql.functions.registry import (
    AggregateFunction,
    Form,
    NullRule,
    Resolver,
    ScalarFunction,
)
from airflow_provider_mlfeat.sql.functions.signatures import BASE_KINDS, Slot, signature
from airflow_provider_mlfeat.sql.types import INTEGER_KINDS, NUMERIC_KINDS, DataType, Kind, parse_type

GROUP = "Functions of your own"

PythonFunction = TypeVar("PythonFunction", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_BITS = {Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64, Kind.TIMESTAMP: 64}
_PYTHON_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.BOOL: (bool,),
    **dict.fromkeys((*INTEGER_KINDS, Kind.TIMESTAMP), (int,)),
    **dict.fromkeys((Kind.FLOAT, Kind.DOUBLE), (float, int)),
    Kind.STRING: (str,),
    Kind.DATE: (datetime.date,),
}
# Which functions are users', by name, with the module and the qualified name they come from.
_ORIGINS: dict[str, tuple[str, str]] = {}


def scalar_function(
    *parameters: str, returns: str, name: str | None = None, handles_null: bool = False
) -> Callable[[PythonFunction], PythonFunction]:
    """Make a Python function of values a SQL function of one row.

    :param parameters: SQL type of each parameter; narrower numbers are widened to it.
    :param returns: SQL type of the result; None is NULL.
    :param name: the name in SQL; the Python name unless given.
    :param handles_null: whether NULL arguments come as None; otherwise a NULL argument makes the result NULL.
    """

    def register(function: PythonFunction) -> PythonFunction:
        sql_name = name or function.__name__
        result, usage, resolve = _declare(function, sql_name, parameters, returns)
        check = _result_check(sql_name, result)

        @wraps(function)
        def implementation(context: Any, *values: Any) -> Any:
            return check(function, values)

        _register(
            ScalarFunction(
                name=sql_name,
                resolve=resolve,
                implementation=implementation,
                form=Form.VALUE,
                null_rule=NullRule.OWN if handles_null else NullRule.PROPAGATE,
                doc=_doc(function),
                usage=usage,
                group=GROUP,
            ),
            function,
        )
        return function

    return register


def aggregate_function(
    *parameters: str, returns: str, name: str | None = None, handles_null: bool = False
) -> Callable[[PythonFunction], PythonFunction]:
    """Make a Python function of lists a SQL aggregate.

    The function gets one list per argument, with the values of the frame's rows, the newest first; over an empty frame
    the lists are empty.

    :param parameters: SQL type of each parameter; narrower numbers are widened to it.
    :param returns: SQL type of the result; None is NULL.
    :param name: the name in SQL; the Python name unless given.
    :param handles_null: whether rows with a NULL argument are in the lists, as None; otherwise they are left out.
    """

    def register(function: PythonFunction) -> PythonFunction:
        sql_name = name or function.__name__
        result, usage, resolve = _declare(function, sql_name, parameters, returns)
        if not parameters:
            raise ValueError(f"aggregate '{sql_name}' needs a parameter, whose values it gets")
        check = _result_check(sql_name, result)

        @wraps(function)
        def implementation(*columns: Iterable[Any]) -> Any:
            if handles_null:
                return check(function, tuple(map(list, columns)))
            rows = [row for row in zip(*columns, strict=True) if all(value is not None for value in row)]
            return check(function, tuple(map(list, zip(*rows, strict=True))) if rows else tuple([] for _ in columns))

        _register(
            AggregateFunction(
                name=sql_name,
                resolve=resolve,
                implementation=implementation,
                null_rule="handled by the function" if handles_null else "rows with a NULL argument are left out",
                empty="what the function gives for empty lists",
                doc=_doc(function),
                usage=usage,
                group=GROUP,
            ),
            function,
        )
        return function

    return register


def user_function_modules(called: Iterable[str] | None = None) -> tuple[str, ...]:
    """The modules that define users' functions, for a process that runs plans which call them.

    :param called: names of functions; those that are no users' functions do not matter. None means all.
    """
    names = set(_ORIGINS) if called is None else set(_ORIGINS).intersection(called)
    return tuple(sorted({_ORIGINS[name][0] for name in names}))


def import_user_functions(modules: Iterable[str]) -> None:
    """Import modules that define functions; what is defined already stays as it is."""
    for module in modules:
        importlib.import_module(module)


def _declare(
    function: Callable[..., Any], name: str, parameters: tuple[str, ...], returns: str
) -> tuple[DataType, str, Resolver]:
    """The result, the form of a call and the resolver of a function."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' is no name for a function: use lower case letters, digits and underscores")
    types = tuple(_base_type(text, name) for text in parameters)
    result = _base_type(returns, name)
    required, optional, repeats = _shape(function)
    if required + optional + repeats != len(types):
        raise ValueError(f"function '{name}' has {required + optional + repeats} parameters, but {len(types)} types")
    slots = [_slot(data_type) for data_type in types]
    repeated = slots.pop() if repeats else None
    usage = f"{name}({', '.join(map(str, types))}{', …' if repeats else ''})"
    return result, usage, named(usage, signature(*slots, optional=optional, repeated=repeated, result=result))


def _shape(function: Callable[..., Any]) -> tuple[int, int, int]:
    """How many parameters are required, have a default, and stand for many."""
    counts = [0, 0, 0]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            raise ValueError(f"parameter '{parameter.name}' cannot be given by position, as SQL does")
        repeats = parameter.kind is parameter.VAR_POSITIONAL
        counts[2 if repeats else int(parameter.default is not parameter.empty)] += 1
    return counts[0], counts[1], counts[2]


def _base_type(text: str, function: str) -> DataType:
    data_type = parse_type(text)
    if data_type.kind not in BASE_KINDS:
        raise ValueError(f"function '{function}' cannot have type {data_type}; use one of {', '.join(BASE_KINDS)}")
    return data_type


def _slot(data_type: DataType) -> Slot:
    """What is accepted for a declared type: the type, and numbers that it can hold."""
    kinds: tuple[Kind, ...] = (data_type.kind,)
    if data_type.kind in NUMERIC_KINDS:
        # In the order of NUMERIC_KINDS every type holds those before it, but for large numbers in a float.
        kinds = NUMERIC_KINDS[: NUMERIC_KINDS.index(data_type.kind) + 1]
    return Slot(f"of type {data_type}", kinds, data_type, data_type)


def _result_check(name: str, result: DataType) -> Callable[[Callable[..., Any], tuple[Any, ...]], Any]:
    """A caller of the function that turns its mistakes into one sentence."""
    expected = _PYTHON_TYPES[result.kind]
    bits = _BITS.get(result.kind)

    def call(function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
        try:
            value: Any = function(*values)
        except Exception as error:
            raise DataRuleError(f"function '{name}' failed with {type(error).__name__}: {error}") from error
        if value is None:
            return None
        is_expected: bool = isinstance(value, expected)
        if not is_expected or (isinstance(value, bool) and bool not in expected):
            raise DataRuleError(f"function '{name}' gave a Python {type(value).__name__} for its type {result}")
        if bits is not None and not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise DataRuleError(f"function '{name}' gave {value}, which does not fit its type {result}")
        return float(value) if result.is_floating else value

    return call


def _doc(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _register(entry: ScalarFunction | AggregateFunction, function: Callable[..., Any]) -> None:
    """Add to the catalogue; the same function, defined again by a module that is loaded again, takes its own place."""
    origin = (function.__module__, function.__qualname__)
    if _ORIGINS.get(entry.name) == origin:
        CATALOGUE.remove(entry.name)
    elif entry.name in CATALOGUE.scalars or entry.name in CATALOGUE.aggregates:
        raise ValueError(f"function '{entry.name}' is registered already")
    CATALOGUE.add(entry)
    _ORIGINS[entry.name] = origin


def remove_function(name: str) -> None:
    """Take a function of your own out of the catalogue."""
    if name not in _ORIGINS:
        raise ValueError(f"'{name}' is no function of your own")
    del _ORIGINS[name]
    CATALOGUE.remove(name)
