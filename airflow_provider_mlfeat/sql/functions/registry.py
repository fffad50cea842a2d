"""The function catalogue: one entry per function, which says all there is to say about it.

An entry holds the signature, the null rule, the line of documentation and the implementation. The binder reads
signatures, the drivers read implementations, the SQL reference in ``docs/`` is generated from the entries, and users
add their own. An implementation is a callable or its address (``package.module:attribute``): the catalogue must not
import the engine, nor numba, to answer the binder.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from airflow_provider_mlfeat.sql.types import DataType

Implementation = Callable[..., Any] | str


class SignatureError(Exception):
    """Arguments that a function does not take; the binder adds the place."""


class Form(StrEnum):
    """How a scalar implementation wants its arguments.

    ``array``: numpy arrays without NULLs' meaning, ``f(context, *values) -> values`` or ``(values, valid)``; for
    numbers, bools, dates and timestamps. ``value``: one Python value each, ``f(context, *values) -> value or None``;
    the driver calls it once per distinct argument tuple; for text, lists and JSON. ``column``: whole columns with
    their validity, ``f(context, *columns) -> column``; for functions with a null rule of their own.

    An implementation may have an attribute ``specialize``, a function of the context that gives the implementation for
    the types of one call; it is asked once, when the call is compiled.
    """

    ARRAY = "array"
    VALUE = "value"
    COLUMN = "column"


class NullRule(Enum):
    """What a NULL argument does."""

    PROPAGATE = "NULL when any argument is NULL"
    OWN = "handled by the function"


@dataclass(frozen=True, slots=True)
class Argument:
    """What a signature function sees of one argument.

    :param type: its type.
    :param is_literal: whether it is a constant.
    :param value: the constant's value; None otherwise.
    """

    type: DataType
    is_literal: bool = False
    value: Any = None


@dataclass(frozen=True, slots=True)
class Signature:
    """How a call is bound.

    :param arguments: the types that the implementation gets; the binder inserts casts where they differ.
    :param result: the call's type.
    """

    arguments: tuple[DataType, ...]
    result: DataType


Resolver = Callable[[Sequence[Argument]], Signature]


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """A function of one row.

    :param name: the name in plans, lower case.
    :param resolve: argument types → signature; raises SignatureError with one sentence.
    :param implementation: callable or address.
    :param form: how the implementation wants its arguments.
    :param null_rule: what NULL arguments do.
    :param doc: one line for the reference.
    :param usage: how a call looks, for the reference and error messages.
    :param aliases: other names.
    :param group: the reference's section.
    """

    name: str
    resolve: Resolver
    implementation: Implementation
    form: Form = Form.ARRAY
    null_rule: NullRule = NullRule.PROPAGATE
    doc: str = ""
    usage: str = ""
    aliases: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """A function of the rows of a frame, newest first.

    :param name: the name in plans, lower case.
    :param resolve: argument types → signature; raises SignatureError with one sentence.
    :param implementation: the kernel's name or address, or for users' own a Python callable over lists of values.
    :param null_rule: what NULL values do, in words, for the reference.
    :param empty: the result over an empty frame, in words.
    :param doc: one line for the reference.
    :param usage: how a call looks.
    :param aliases: other names.
    :param needs_window: whether it means nothing in GROUP BY (``lag``).
    :param group: the reference's section.
    """

    name: str
    resolve: Resolver
    implementation: Implementation
    null_rule: str = "NULL values are skipped"
    empty: str = "NULL"
    doc: str = ""
    usage: str = ""
    aliases: tuple[str, ...] = ()
    needs_window: bool = False
    group: str = "Aggregates"


@dataclass
class Catalogue:
    """Functions by name. Scalar and aggregate functions share names where both exist (``at``)."""

    scalars: dict[str, ScalarFunction] = field(default_factory=dict)
    aggregates: dict[str, AggregateFunction] = field(default_factory=dict)

    def add(self, function: ScalarFunction | AggregateFunction) -> None:
        """Register `function` under its name and aliases; refuses a name that is taken."""
        table: dict[str, Any] = self.scalars if isinstance(function, ScalarFunction) else self.aggregates
        for name in (function.name, *function.aliases):
            if name in table:
                raise ValueError(f"function '{name}' is registered already")
            table[name] = function

    def remove(self, name: str) -> None:
        """Take the function of that name out, under all its names."""
        tables: tuple[dict[str, Any], ...] = (self.scalars, self.aggregates)
        for table in tables:
            for known in [known for known, function in table.items() if function.name == name]:
                del table[known]

    def names(self) -> list[str]:
        """Every name that a query may call."""
        return sorted({*self.scalars, *self.aggregates})


CATALOGUE = Catalogue()


def load_implementation(implementation: Implementation) -> Callable[..., Any]:
    """The callable behind an implementation."""
    if callable(implementation):
        return implementation
    module, _, attribute = implementation.partition(":")
    loaded = getattr(importlib.import_module(module), attribute)
    assert callable(loaded)
    return loaded  # type: ignore[no-any-return]
