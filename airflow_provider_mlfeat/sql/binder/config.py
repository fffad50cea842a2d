"""``CONFIG (execute_mode = …, values = …)``: request rows given inside the SQL text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.constants import literal_value
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlError, SqlNameError, SqlTypeError, nearest_name

_OPTIONS = ("execute_mode", "values")
_MODES = ("offline", "online", "request")


@dataclass(frozen=True, slots=True)
class RequestRows:
    """What a CONFIG clause says.

    :param mode: its execute_mode, or None.
    :param rows: the syntax of the request rows, or None.
    """

    mode: str | None = None
    rows: tuple[tuple[exp.Expr, ...], ...] | None = None

    def typed(self, table: TableDefinition | None, time_zone: str) -> tuple[tuple[Any, ...], ...] | None:
        """The rows as values of the request table's columns."""
        if self.rows is None:
            return None
        if table is None:
            raise SqlError("CONFIG values need a request table in FROM")
        return tuple(_typed_row(row, table, time_zone) for row in self.rows)


def bind_config(config: exp.Expr | None) -> RequestRows:
    """Read a CONFIG clause; an unknown name is an error."""
    mode, rows = None, None
    for item in config.expressions if config is not None else ():
        name = item.this.name.lower()
        if name not in _OPTIONS:
            suggestion = nearest_name(name, _OPTIONS)
            raise SqlNameError(f"unknown CONFIG value '{item.this.name}'", position_of(item), suggestion)
        if name == "values":
            rows = tuple(_rows(item.expression))
            continue
        mode = item.expression.name.lower() if isinstance(item.expression, exp.Literal) else None
        if mode not in _MODES:
            raise SqlError("execute_mode is 'offline', 'online' or 'request'", position_of(item))
    return RequestRows(mode, rows)


def _rows(value: exp.Expr) -> list[tuple[exp.Expr, ...]]:
    """One row ``(1, 'a')``, several ``[(1, 'a'), (2, 'b')]``, or one column's value."""
    rows: Sequence[exp.Expr] = value.expressions if isinstance(value, exp.Array) else [value]
    return [tuple(row.expressions) if isinstance(row, exp.Tuple) else (row,) for row in rows]


def _typed_row(row: tuple[exp.Expr, ...], table: TableDefinition, time_zone: str) -> tuple[Any, ...]:
    if len(row) != len(table.columns):
        message = f"a request row of '{table.name}' has {len(table.columns)} values, found {len(row)}"
        raise SqlTypeError(message, position_of(row[0]))
    return tuple(_typed(node, column, time_zone) for node, column in zip(row, table.columns, strict=True))


def _typed(node: exp.Expr, column: ColumnDefinition, time_zone: str) -> Any:
    if isinstance(node, exp.Null):
        if column.not_null:
            raise SqlTypeError(f"column '{column.name}' is NOT NULL", position_of(node))
        return None
    value = literal_value(node, column.type, time_zone)
    if value is None:
        raise SqlTypeError(f"column '{column.name}' takes a constant of type {column.type}", position_of(node))
    return value
