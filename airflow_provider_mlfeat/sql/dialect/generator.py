"""Syntax nodes back to text."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.generator import Generator

from airflow_provider_mlfeat.sql.dialect import nodes
from airflow_provider_mlfeat.sql.dialect.words import RESERVED

_FLAG_TEXT = {
    "exclude_current_time": "EXCLUDE CURRENT_TIME",
    "exclude_current_row": "EXCLUDE CURRENT_ROW",
    "instance_not_in_window": "INSTANCE_NOT_IN_WINDOW",
}


class FeatureGenerator(Generator):
    """Writes what the parser reads: the tree of the generated text is the tree it was generated from."""

    TRANSFORMS: ClassVar[dict[Any, Any]] = {
        **Generator.TRANSFORMS,
        exp.IntDiv: lambda self, node: self.binary(node, "DIV"),
        exp.Mod: lambda self, node: self.binary(node, "%"),
        exp.RegexpLike: lambda self, node: self.binary(node, "RLIKE"),
        exp.Boolean: lambda self, node: "true" if node.this else "false",
        exp.Placeholder: lambda self, node: "?",
        exp.Tuple: lambda self, node: f"({self.expressions(node, flat=True)})",
        exp.Array: lambda self, node: f"[{self.expressions(node, flat=True)}]",
        nodes.TypedNumber: lambda self, node: str(node.args["text"]),
        nodes.IntervalLiteral: lambda self, node: f"{node.this}{node.args['unit']}",
        nodes.NamedWindow: lambda self, node: f"{self.sql(node, 'this')} AS {self.sql(node, 'definition')}",
        nodes.Over: lambda self, node: f"{self.sql(node, 'this')} OVER {self.sql(node, 'window')}",
        nodes.TypedArray: lambda self, node: self.typedarray_sql(node),
        nodes.FrameBound: lambda self, node: self.framebound_sql(node),
        nodes.WindowDefinition: lambda self, node: self.windowdefinition_sql(node),
        nodes.LastJoin: lambda self, node: self.lastjoin_sql(node),
        nodes.Config: lambda self, node: self.config_sql(node),
        nodes.FeatureSelect: lambda self, node: self.with_config(node, self.select_sql(node)),
        nodes.FeatureUnion: lambda self, node: self.with_config(node, self.set_operations(node)),
    }

    def anonymous_sql(self, expression: exp.Anonymous) -> str:
        name = expression.name
        name = f"`{name}`" if name.upper() in RESERVED else name
        return f"{name}({self.expressions(expression, flat=True)})"

    def bracket_sql(self, expression: exp.Bracket) -> str:
        return f"{self.sql(expression, 'this')}[{self.expressions(expression, flat=True)}]"

    def typedarray_sql(self, expression: nodes.TypedArray) -> str:
        element = expression.args.get("element")
        return f"{f'ARRAY<{element}>' if element else ''}[{self.expressions(expression, flat=True)}]"

    def framebound_sql(self, expression: nodes.FrameBound) -> str:
        arguments = expression.args
        if arguments["kind"] == "current":
            return "CURRENT ROW"
        offset = f"{arguments['offset']}{arguments.get('unit') or ''}"
        distance = "UNBOUNDED" if arguments["kind"] == "unbounded" else offset
        return f"{distance}{' OPEN' * bool(arguments.get('open'))} PRECEDING"

    def windowdefinition_sql(self, expression: nodes.WindowDefinition) -> str:
        arguments = expression.args
        clauses = []
        if arguments.get("unions"):
            clauses.append(f"UNION {self.expressions(expression, key='unions', flat=True)}")
        clauses.append(f"PARTITION BY {self.expressions(expression, key='partition', flat=True)}")
        if arguments.get("order"):
            clauses.append(f"ORDER BY {self.sql(expression, 'order')}")
        unit = "ROWS" if arguments["unit"] == "rows" else "ROWS_RANGE"
        clauses.append(f"{unit} BETWEEN {self.sql(expression, 'start')} AND {self.sql(expression, 'end')}")
        if arguments.get("maxsize"):
            clauses.append(f"MAXSIZE {self.sql(expression, 'maxsize')}")
        clauses.extend(text for flag, text in _FLAG_TEXT.items() if arguments.get(flag))
        return f"({' '.join(clauses)})"

    def lastjoin_sql(self, expression: nodes.LastJoin) -> str:
        order = ""
        if expression.args.get("order"):
            order = f" ORDER BY {self.sql(expression, 'order')}{' DESC' * bool(expression.args.get('descending'))}"
        condition = self.sql(expression, "on")
        return f"{self.seg('LAST JOIN')} {self.sql(expression, 'this')}{order} ON {condition}"

    def config_sql(self, expression: nodes.Config) -> str:
        items = (f"{self.sql(item, 'this')} = {self.sql(item, 'expression')}" for item in expression.expressions)
        return f"CONFIG ({', '.join(items)})"

    def set_operation(self, expression: exp.SetOperation) -> str:
        return f"UNION {'DISTINCT' if expression.args.get('distinct') else 'ALL'}"

    def with_config(self, expression: exp.Expr, text: str) -> str:
        """The query's text with its CONFIG clause, if it has one."""
        config = self.sql(expression, "config")
        return f"{text}{self.seg(config)}" if config else text
