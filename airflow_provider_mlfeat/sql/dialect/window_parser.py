"""Windows: ``( [UNION …] PARTITION BY … [ORDER BY …] frame [attributes] )``."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from airflow_provider_mlfeat.sql.dialect.expression_parser import ExpressionParser
from airflow_provider_mlfeat.sql.dialect.nodes import FrameBound, WindowDefinition

_UNITS = {"ROWS": "rows", "ROWS_RANGE": "range"}
_FLAGS = {
    ("EXCLUDE", "CURRENT_TIME"): "exclude_current_time",
    ("EXCLUDE", "CURRENT_ROW"): "exclude_current_row",
    ("INSTANCE_NOT_IN_WINDOW",): "instance_not_in_window",
}


class WindowParser(ExpressionParser):
    """Parses window definitions."""

    @abstractmethod
    def query(self) -> exp.Query:
        """A query."""

    @abstractmethod
    def at_query(self) -> bool:
        """Whether a query comes next, perhaps in parentheses."""

    def column(self) -> exp.Expr:
        """A plain column, with or without its table and database."""
        start = self._index
        parts = [self.name("a column")]
        while self._match(TokenType.DOT):
            parts.append(self.name("a column name", reserved=True))
        if self.at(TokenType.L_PAREN):
            position = self.position(self._tokens[start], self._curr)
            self.unsupported("an expression here", "Only a plain column can stand here.", position)
        return self.node(self._column(parts[:-1], parts[-1]), start)

    def table_name(self) -> exp.Table:
        """``[database.]table``."""
        start = self._index
        first = self.name("a table")
        second = self.name("a table", reserved=True) if self._match(TokenType.DOT) else None
        return self.node(exp.Table(this=second or first, db=first if second else None), start)

    def window_source(self) -> exp.Expr:
        """A table, or a query in parentheses."""
        start = self._index
        if not self.at(TokenType.L_PAREN):
            return self.table_name()
        if not self.at_query():
            self.unsupported("a join in parentheses", "Write (SELECT * FROM …).")
        self._advance()
        query = self.query()
        self.need(TokenType.R_PAREN, ")")
        return self.node(exp.Subquery(this=query), start)

    def window_definition(self) -> exp.Expr:
        """``( … )``."""
        start = self._index
        self.need(TokenType.L_PAREN, "(")
        unions = self.separated(self._union_source) if self.take_word("UNION") else []
        if not self.at_word("PARTITION"):
            self.fail("a window needs PARTITION BY")
        self.need_word("PARTITION", "BY")
        partition = self.separated(self.column)
        order = self._order() if self.take_word("ORDER") else None
        arguments = self._frame() | self._attributes()
        self.need(TokenType.R_PAREN, ")")
        definition = WindowDefinition(unions=unions, partition=partition, order=order, **arguments)
        return self.node(definition, start)

    def _union_source(self) -> exp.Expr:
        source = self.window_source()
        if self.take_word("AS"):
            source.set("alias", exp.TableAlias(this=self.name("a name after AS")))
        return source

    def _order(self) -> exp.Expr:
        self.need_word("BY")
        column = self.column()
        if self.at_word("DESC"):
            self.unsupported("DESC in a window")
        self.take_word("ASC")
        if self.at(TokenType.COMMA):
            self.unsupported("a window's ORDER BY with several columns")
        return column

    def _frame(self) -> dict[str, Any]:
        if self.at_any(("RANGE", "GROUPS")):
            self.unsupported(f"a {self._curr.text.upper()} frame", "Use ROWS_RANGE.")
        if not self.at_any(tuple(_UNITS)):
            self.fail("a window needs a frame: ROWS BETWEEN … AND … or ROWS_RANGE BETWEEN … AND …")
        unit = _UNITS[self._curr.text.upper()]
        self._advance()
        self.need_word("BETWEEN")
        start = self._bound()
        self.need_word("AND")
        end = self._bound()
        maxsize = None
        if self.take_word("MAXSIZE"):
            maxsize = exp.Literal.number(self.whole_number("a whole number after MAXSIZE"))
            maxsize = self.node(maxsize, self._index - 1)
        return {"unit": unit, "start": start, "end": end, "maxsize": maxsize}

    def _bound(self) -> exp.Expr:
        start = self._index
        if self.take_word("CURRENT"):
            self.need_word("ROW")
            return self.node(FrameBound(kind="current"), start)
        kind, offset, unit = "unbounded", None, None
        if not self.take_word("UNBOUNDED"):
            kind, (offset, unit) = "preceding", self._offset()
        open_ = self.take_word("OPEN")
        if self.at_word("FOLLOWING"):
            self.unsupported("FOLLOWING", "A window looks back only.")
        self.need_word("PRECEDING")
        return self.node(FrameBound(kind=kind, offset=offset, unit=unit, open=open_), start)

    def _offset(self) -> tuple[int, str | None]:
        """``10``, ``-1`` or ``10s``."""
        if self.at(TokenType.DASH):
            self.marks.prefix.add(self._curr.start)
        negative = self._match(TokenType.DASH)
        token = self._curr
        if token.token_type is not TokenType.NUMBER or not token.text.isdigit():
            self.expected("CURRENT ROW, UNBOUNDED PRECEDING or a whole number")
        self._advance()
        unit = None
        if self._is_connected() and self.at(TokenType.VAR):
            unit = self._curr.text.lower()
            if unit not in ("s", "m", "h", "d"):
                self.fail(f"unknown time unit '{self._curr.text}'", "Units are s, m, h and d.")
            self._advance()
        return -int(token.text) if negative else int(token.text), unit

    def _attributes(self) -> dict[str, bool]:
        flags: dict[str, bool] = {}
        while True:
            for words, flag in _FLAGS.items():
                if self.at_word(*words):
                    if flag in flags:
                        self.fail(f"{' '.join(words)} stands here twice")
                    self._advance(len(words))
                    flags[flag] = True
                    break
            else:
                break
        if flags and self.at_word("MAXSIZE"):
            self.fail("MAXSIZE must directly follow the frame")
        return flags
