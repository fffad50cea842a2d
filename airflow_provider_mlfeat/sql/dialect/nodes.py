"""Syntax nodes of the feature language that standard SQL does not have."""

from __future__ import annotations

from typing import ClassVar

from sqlglot import exp


class LastJoin(exp.Join):
    """``LAST JOIN this [ORDER BY column [DESC]] ON on``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "on": True, "order": False, "descending": False}


class Over(exp.Expression):
    """``this OVER window``: the window is a name (Identifier) or a WindowDefinition."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "window": True}


class NamedWindow(exp.Expression):
    """``name AS (definition)`` of a WINDOW clause."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "definition": True}


class WindowDefinition(exp.Expression):
    """What stands in the parentheses of a window; `unit` is ``rows`` or ``range``, flags are bools."""

    arg_types: ClassVar[dict[str, bool]] = {
        "unions": False,
        "partition": True,
        "order": False,
        "unit": True,
        "start": True,
        "end": True,
        "maxsize": False,
        "exclude_current_time": False,
        "exclude_current_row": False,
        "instance_not_in_window": False,
    }


class FrameBound(exp.Expression):
    """One end of a frame.

    `kind` is ``current``, ``unbounded`` or ``preceding``; `offset` is the number as written, `unit` one of
    ``s m h d`` or None, `open` whether the bound itself is left out.
    """

    arg_types: ClassVar[dict[str, bool]] = {"kind": True, "offset": False, "unit": False, "open": False}


class TypedArray(exp.Expression):
    """``[a, b]`` or ``ARRAY<type>[a, b]``; `element` is the text of the type or None."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": False, "element": False}


class TypedNumber(exp.Expression):
    """A number; `this` is its Python value and `kind` its type: ``int``, ``bigint``, ``float`` or ``double``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "kind": True, "text": True}


class IntervalLiteral(exp.Expression):
    """``10s``: legal in frames and options only, refused as a value by the binder."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "unit": True}


class Config(exp.Expression):
    """``CONFIG (name = value, …)`` at the end of a query; `expressions` are Equal nodes of a Var and a value."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": False}


class FeatureSelect(exp.Select):
    """A SELECT with, at the end, CONFIG."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.Select.arg_types, "config": False}


class FeatureUnion(exp.Union):
    """A UNION ALL or UNION DISTINCT of two queries, with CONFIG at the end."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.Union.arg_types, "config": False}
