"""Queries of the feature language: SELECT, joins, windows, UNION, WITH, CONFIG."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from airflow_provider_mlfeat.sql.dialect.nodes import Config, FeatureSelect, FeatureUnion, LastJoin, NamedWindow
from airflow_provider_mlfeat.sql.dialect.window_parser import WindowParser
from airflow_provider_mlfeat.sql.dialect.words import AFTER_SELECT_LIST, CLAUSE_WORDS

_OTHER_JOINS = ("RIGHT", "INNER", "CROSS", "FULL", "NATURAL", "JOIN", "OUTER", "SEMI", "ANTI", "ASOF")


class QueryParser(WindowParser):
    """The parser of the dialect: a text of queries, as sqlglot wants it."""

    def _parse_statement(self) -> exp.Expr:
        self.placeholders = 0
        query = self.outer_query()
        if self._curr:
            self.expected("the end of the query")
        return query

    def at_query(self) -> bool:
        """Whether a query comes next, perhaps in parentheses."""
        offset = 0
        while self._index + offset < self._tokens_size:
            if self._tokens[self._index + offset].token_type is not TokenType.L_PAREN:
                return self.at_word("SELECT", ahead=offset) or self.at_word("WITH", ahead=offset)
            offset += 1
        return False

    # ── queries ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def outer_query(self) -> exp.Query:
        """A query that is no sub-query: ``query [CONFIG (…)]``."""
        start = self._index
        query = self.query()
        if self.at_word("CONFIG") and self._next.token_type is TokenType.L_PAREN:
            query.set("config", self._config())
        return self.node(query, start)

    def query(self) -> exp.Query:
        """``[WITH …] select [UNION ALL|DISTINCT select …] [LIMIT n]``."""
        start = self._index
        with_ = self._with()
        query = self._set_operations()
        if with_ is not None:
            query.set("with_", with_)
        self._refuse_order_by()
        if self.take_word("LIMIT"):
            if query.args.get("limit") is not None:
                self.fail("this query has a LIMIT already")
            count = self.whole_number("a whole number after LIMIT")
            query.set("limit", self.node(exp.Limit(expression=exp.Literal.number(count)), self._index - 1))
        if self.at_word("OFFSET"):
            self.unsupported("OFFSET")
        return self.node(query, start)

    def _with(self) -> exp.With | None:
        if not self.take_word("WITH"):
            return None
        if self.at_word("RECURSIVE"):
            self.unsupported("WITH RECURSIVE")
        return exp.With(expressions=self.separated(self._common_table))

    def _common_table(self) -> exp.CTE:
        start = self._index
        name = self.name("a name after WITH")
        self.need_word("AS")
        return self.node(exp.CTE(this=self._query_in_parentheses(), alias=exp.TableAlias(this=name)), start)

    def _query_in_parentheses(self) -> exp.Query:
        self.need(TokenType.L_PAREN, "(")
        if not self.at_query():
            self.expected("a query")
        query = self.query()
        self.need(TokenType.R_PAREN, ")")
        return query

    def _set_operations(self) -> exp.Query:
        start = self._index
        left = self._set_operand()
        kind: bool | None = None
        while self.take_word("UNION"):
            if self.take_word("ALL"):
                distinct = False
            elif self.take_word("DISTINCT"):
                distinct = True
            else:
                self.fail("UNION needs the word ALL or DISTINCT")
            if kind not in (None, distinct):
                self.unsupported("UNION ALL together with UNION DISTINCT", "Put one of them in parentheses.")
            kind = distinct
            union = FeatureUnion(this=left, expression=self._set_operand(), distinct=distinct)
            left = self.node(union, start)
        if self.at_any(("EXCEPT", "INTERSECT")):
            self.unsupported(self._curr.text.upper())
        return left

    def _set_operand(self) -> exp.Query:
        start = self._index
        if self.at(TokenType.L_PAREN) and self.at_query():
            return self.node(exp.Subquery(this=self._query_in_parentheses()), start)
        return self._select()

    def _select(self) -> exp.Query:
        start = self._index
        self.need_word("SELECT")
        if self.at_word("DISTINCT"):
            self.unsupported("SELECT DISTINCT", "Use GROUP BY or UNION DISTINCT.")
        select = FeatureSelect(expressions=self._select_list())
        if self.take_word("FROM"):
            select.set("from_", exp.From(this=self._source()))
            if self.at(TokenType.COMMA):
                self.unsupported("a list of tables in FROM", "Use LAST JOIN.")
            select.set("joins", self._joins())
        if self.take_word("WHERE"):
            select.set("where", exp.Where(this=self.scalar()))
        if self.take_word("GROUP"):
            self.need_word("BY")
            select.set("group", exp.Group(expressions=self.separated(self.column)))
        if self.take_word("HAVING"):
            select.set("having", exp.Having(this=self.scalar()))
        if self.take_word("WINDOW"):
            select.set("windows", self.separated(self._named_window))
        self._refuse_order_by()
        if self.at_word("QUALIFY"):
            self.unsupported("QUALIFY")
        return self.node(select, start)

    def _refuse_order_by(self) -> None:
        if self.at_word("ORDER"):
            self.unsupported("ORDER BY at query level", "Rows keep the order of arrival.")

    # ── the SELECT list ─────────────────────────────────────────────────────────────────────────────────────────────

    def _select_list(self) -> list[exp.Expr]:
        items = [self._select_item()]
        while self._match(TokenType.COMMA):
            if not self._curr or self.at(TokenType.R_PAREN) or self.at_any(AFTER_SELECT_LIST):
                break
            items.append(self._select_item())
        return items

    def _select_item(self) -> exp.Expr:
        start = self._index
        if self._match(TokenType.STAR):
            return self.node(exp.Star(), start)
        value = self.scalar()
        alias = self._alias()
        return self.node(exp.Alias(this=value, alias=alias), start) if alias is not None else value

    def _alias(self) -> exp.Identifier | None:
        if self.take_word("AS"):
            return self.name("a name after AS", reserved=True)
        return self.name() if self.at_name() and not self.at_any(CLAUSE_WORDS) else None

    # ── FROM ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _source(self) -> exp.Expr:
        source = self.window_source()
        alias = self._alias()
        if alias is not None:
            source.set("alias", exp.TableAlias(this=alias))
        return source

    def _joins(self) -> list[exp.Join]:
        joins: list[exp.Join] = []
        while True:
            start = self._index
            if self.at_word("LAST", "JOIN"):
                self._advance(2)
                joins.append(self.node(self._last_join(), start))
            elif self.at_word("LEFT"):
                joins.append(self.node(self._left_join(), start))
            elif self.at_any(_OTHER_JOINS):
                self._refuse_join()
            else:
                return joins

    def _last_join(self) -> exp.Join:
        right = self._source()
        order, descending = None, False
        if self.take_word("ORDER"):
            self.need_word("BY")
            order = self.column()
            descending = self.take_word("DESC")
            if not descending:
                self.take_word("ASC")
            if self.at(TokenType.COMMA):
                self.unsupported("LAST JOIN … ORDER BY with several columns")
        self.need_word("ON")
        return LastJoin(this=right, order=order, descending=descending, on=self.scalar())

    def _left_join(self) -> exp.Join:
        self.need_word("LEFT")
        if self.at_any(("SEMI", "ANTI", "ASOF")):
            self._refuse_join()
        self.take_word("OUTER")
        self.need_word("JOIN")
        right = self._source()
        if self.at_word("USING"):
            self.unsupported("USING", "Write ON a.key = b.key.")
        self.need_word("ON")
        return exp.Join(this=right, side="LEFT", on=self.scalar())

    def _refuse_join(self) -> None:
        word = self._curr.text.upper()
        self.unsupported(word if word == "JOIN" else f"{word} JOIN", "Use LAST JOIN or LEFT JOIN.")

    # ── windows and CONFIG ──────────────────────────────────────────────────────────────────────────────────────────

    def _named_window(self) -> exp.Expr:
        start = self._index
        name = self.name("a window's name")
        self.need_word("AS")
        return self.node(NamedWindow(this=name, definition=self.window_definition()), start)

    def _config(self) -> exp.Expr:
        start = self._index
        self.need_word("CONFIG")
        return self.node(Config(expressions=self.parenthesised(self._config_item, empty=True)), start)

    def _config_item(self) -> exp.Expr:
        start = self._index
        name = self.name("the name of a CONFIG value")
        self.need(TokenType.EQ, "=")
        return self.node(exp.EQ(this=exp.Var(this=name.name), expression=self._config_value()), start)

    def _config_value(self) -> exp.Expr:
        """A value, a tuple ``(1, 'a')`` or a list of tuples ``[(1, 'a'), (2, 'b')]``."""
        start = self._index
        if self._match(TokenType.L_BRACKET):
            rows = self.separated(self._config_value)
            self.need(TokenType.R_BRACKET, "]")
            return self.node(exp.Array(expressions=rows), start)
        if self.at(TokenType.L_PAREN):
            return self.node(exp.Tuple(expressions=self.parenthesised(self.scalar)), start)
        return self.scalar()
