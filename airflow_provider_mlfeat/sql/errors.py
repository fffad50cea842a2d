"""Errors of the feature language: what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_mlfeat.errors import UserError


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a SQL text; line and column count from 1.

    :param line: the line.
    :param column: the column of the first character.
    :param length: how many characters the offending text has.
    """

    line: int
    column: int
    length: int = 1


class SqlError(UserError):
    """A statement that cannot be parsed, bound or planned.

    :param message: one sentence that says what is wrong.
    :param position: where, when it is known.
    :param suggestion: what to write instead, for instance the nearest known name.
    """

    def __init__(self, message: str, position: Position | None = None, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.suggestion = suggestion
        self.sql: str | None = None
        self.path: str | None = None

    def with_source(self, sql: str, path: str | None = None) -> SqlError:
        """The same error, knowing the text (and file) that its position refers to."""
        if self.sql is None:
            self.sql, self.path = sql, path
        return self

    def __str__(self) -> str:
        """``file:line:column: message``, the source line with a caret, and the suggestion."""
        place = self.path or "SQL"
        if self.position is None:
            lines = [self.message if self.path is None else f"{place}: {self.message}"]
        else:
            lines = [f"{place}:{self.position.line}:{self.position.column}: {self.message}"]
            source = self.sql.splitlines() if self.sql else []
            if 0 < self.position.line <= len(source):
                text = source[self.position.line - 1].replace("\t", " ")
                lines.append(f"  {text}")
                lines.append(f"  {' ' * (self.position.column - 1)}{'^' * max(1, self.position.length)}")
        if self.suggestion:
            lines.append(f"  {self.suggestion}")
        return "\n".join(lines)


class SqlSyntaxError(SqlError):
    """The text is no statement of the language."""


class SqlNameError(SqlError):
    """A name that does not exist, or that is ambiguous."""


class SqlTypeError(SqlError):
    """Operands or arguments of types that the operation does not take."""


class SqlUnsupportedError(SqlError):
    """A construct that exists in SQL but not in this language, or not in the mode asked for."""


class DataRuleError(UserError):
    """Data that breaks a rule of the language while a plan runs, for instance a NULL order key.

    :param message: one sentence that names the rule.
    :param table: the table that holds the row.
    :param column: the column.
    :param row: number of the first offending row, counted from 0.
    """

    def __init__(
        self, message: str, table: str | None = None, column: str | None = None, row: int | None = None
    ) -> None:
        places = [("table", table), ("column", column), ("row", row)]
        where = ", ".join(f"{name} {value}" for name, value in places if value is not None)
        super().__init__(f"{message} ({where})" if where else message)
        self.message = message
        self.table, self.column, self.row = table, column, row


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """``Did you mean …?`` with the known name nearest to `name`, or None when nothing is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"Did you mean '{by_lower[matches[0]]}'?" if matches else None
