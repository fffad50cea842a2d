"""Expressions of the feature language, by precedence climbing."""

from __future__ import annotations

from abc import abstractmethod
from typing import NoReturn

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from airflow_provider_mlfeat.sql.dialect.nodes import IntervalLiteral, Over, TypedArray, TypedNumber
from airflow_provider_mlfeat.sql.dialect.tokens import TokenParser
from airflow_provider_mlfeat.sql.dialect.words import RESERVED
from airflow_provider_mlfeat.sql.errors import SqlTypeError, nearest_name
from airflow_provider_mlfeat.sql.types import STRING, TYPE_NAMES, DataType, Kind, parse_type

# Precedence, loosest first. NOT takes an operand of the comparison's level.
OR, AND, XOR, NOT, COMPARISON, BIT_OR, BIT_XOR, BIT_AND, ADDITIVE, MULTIPLICATIVE, UNARY = range(1, 12)

_WORD_OPERATORS: dict[str, tuple[int, type[exp.Binary]]] = {
    "OR": (OR, exp.Or),
    "AND": (AND, exp.And),
    "XOR": (XOR, exp.Xor),
    "DIV": (MULTIPLICATIVE, exp.IntDiv),
    "MOD": (MULTIPLICATIVE, exp.Mod),
}
_SYMBOL_OPERATORS: dict[TokenType, tuple[int, type[exp.Binary]]] = {
    TokenType.EQ: (COMPARISON, exp.EQ),
    TokenType.NEQ: (COMPARISON, exp.NEQ),
    TokenType.LT: (COMPARISON, exp.LT),
    TokenType.LTE: (COMPARISON, exp.LTE),
    TokenType.GT: (COMPARISON, exp.GT),
    TokenType.GTE: (COMPARISON, exp.GTE),
    TokenType.PIPE: (BIT_OR, exp.BitwiseOr),
    TokenType.CARET: (BIT_XOR, exp.BitwiseXor),
    TokenType.AMP: (BIT_AND, exp.BitwiseAnd),
    TokenType.PLUS: (ADDITIVE, exp.Add),
    TokenType.DASH: (ADDITIVE, exp.Sub),
    TokenType.STAR: (MULTIPLICATIVE, exp.Mul),
    TokenType.SLASH: (MULTIPLICATIVE, exp.Div),
    TokenType.MOD: (MULTIPLICATIVE, exp.Mod),
}
_PATTERN_OPERATORS: dict[str, type[exp.Binary]] = {"LIKE": exp.Like, "ILIKE": exp.ILike, "RLIKE": exp.RegexpLike}
_PREFIX_SYMBOLS = (TokenType.DASH, TokenType.PLUS, TokenType.TILDE, TokenType.NOT)
_PREDICATES = ("LIKE", "ILIKE", "RLIKE", "IN", "BETWEEN", "IS", "NOT")
_INTERVAL_UNITS = ("s", "m", "h", "d")
_MAXIMUM_INT = 2**31 - 1


class ExpressionParser(TokenParser):
    """Parses expressions; every operator node is explicit about its parentheses."""

    placeholders = 0

    def scalar(self) -> exp.Expr:
        """An expression."""
        return self._climb(OR)

    def _climb(self, minimum: int) -> exp.Expr:
        start = self._index
        left = self.operand()
        while True:
            if minimum <= COMPARISON and self.at_any(_PREDICATES):
                left = self._predicate(left, start)
                continue
            operator = (
                _WORD_OPERATORS.get(self._curr.text.upper())
                if self.at(TokenType.VAR)
                else _SYMBOL_OPERATORS.get(self._curr.token_type)
            )
            if operator is None or operator[0] < minimum:
                return left
            precedence, kind = operator
            self._advance()
            left = self.node(kind(this=left, expression=self._climb(precedence + 1)), start)

    def operand(self) -> exp.Expr:
        """An operand with the signs before it and the subscripts after it."""
        start = self._index
        if self._curr.token_type in _PREFIX_SYMBOLS:
            self.marks.prefix.add(self._curr.start)
        if self.take_word("NOT") or self._match(TokenType.NOT):
            return self.node(exp.Not(this=self._climb(COMPARISON)), start)
        if self._match(TokenType.DASH):
            return self.node(exp.Neg(this=self.operand()), start)
        if self._match(TokenType.PLUS):
            return self.operand()
        if self._match(TokenType.TILDE):
            return self.node(exp.BitwiseNot(this=self.operand()), start)
        operand = self._primary()
        while self.at(TokenType.L_BRACKET):
            self.marks.tight.add(self._curr.start)
            self._advance()
            key = self.scalar()
            self.need(TokenType.R_BRACKET, "]")
            operand = self.node(exp.Bracket(this=operand, expressions=[key]), start)
        return operand

    # ── predicates ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _predicate(self, left: exp.Expr, start: int) -> exp.Expr:
        negated = self.take_word("NOT")
        predicate: exp.Expr
        if self.at_any(tuple(_PATTERN_OPERATORS)):
            predicate = self._pattern(left, start)
        elif self.take_word("IN"):
            predicate = exp.In(this=left, expressions=self._in_list())
        elif self.take_word("BETWEEN"):
            low = self._climb(BIT_OR)
            self.need_word("AND")
            predicate = exp.Between(this=left, low=low, high=self._climb(BIT_OR))
        elif negated:
            self.expected("LIKE, ILIKE, RLIKE, IN or BETWEEN after NOT")
        else:
            self.need_word("IS")
            negated = self.take_word("NOT")
            if not self.take_word("NULL"):
                self.expected("NULL")
            predicate = exp.Is(this=left, expression=exp.Null())
        predicate = self.node(predicate, start)
        return self.node(exp.Not(this=predicate), start) if negated else predicate

    def _pattern(self, left: exp.Expr, start: int) -> exp.Expr:
        word = self._curr.text.upper()
        self._advance()
        pattern = self.node(_PATTERN_OPERATORS[word](this=left, expression=self._climb(BIT_OR)), start)
        if not self.at_word("ESCAPE"):
            return pattern
        if word == "RLIKE":
            self.unsupported("ESCAPE after RLIKE")
        self._advance()
        return exp.Escape(this=pattern, expression=self._climb(BIT_OR))

    def _in_list(self) -> list[exp.Expr]:
        if self.at_word("SELECT", ahead=1) or self.at_word("WITH", ahead=1):
            self.unsupported("a sub-query after IN", "Use LAST JOIN.")
        return self.parenthesised(self.scalar)

    # ── operands ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _primary(self) -> exp.Expr:  # noqa: PLR0911 - one answer per kind of token
        start, kind = self._index, self._curr.token_type
        if kind is TokenType.NUMBER:
            return self._number()
        if kind is TokenType.HEX_STRING:
            self._advance()
            return self._whole(int(self._prev.text, 16), start)
        if kind is TokenType.STRING:
            self._advance()
            return self.node(exp.Literal.string(self._prev.text), start)
        if kind is TokenType.L_PAREN:
            return self._parentheses()
        if kind is TokenType.L_BRACKET:
            return self._array(None, start)
        if kind is TokenType.PLACEHOLDER:
            self._advance()
            self.placeholders += 1
            return self.node(exp.Placeholder(this=str(self.placeholders - 1)), start)
        if kind is TokenType.VAR:
            return self._word()
        if kind is TokenType.IDENTIFIER:
            return self._name_or_call()
        return self.expected("an expression")

    def _word(self) -> exp.Expr:
        start, word = self._index, self._curr.text.upper()
        if word in ("TRUE", "FALSE"):
            self._advance()
            return self.node(exp.Boolean(this=word == "TRUE"), start)
        if word == "NULL":
            self._advance()
            return self.node(exp.Null(), start)
        if word == "CASE":
            return self._case()
        if word == "CAST" and self._next.token_type is TokenType.L_PAREN:
            return self._cast()
        if word == "ARRAY" and self._next.token_type in (TokenType.LT, TokenType.L_BRACKET):
            self._advance()
            element = self._type_arguments(Kind.ARRAY)[0] if self.at(TokenType.LT) else None
            return self._array(element, start)
        if word == "INTERVAL" and self._next.token_type in (TokenType.NUMBER, TokenType.STRING):
            self.unsupported("INTERVAL", "Write 10s, 5m, 2h or 3d, in frames only.")
        if word in RESERVED and not (word in ("LEFT", "RIGHT") and self._next.token_type is TokenType.L_PAREN):
            self.expected("an expression")
        return self._name_or_call()

    def _number(self) -> exp.Expr:
        start, text = self._index, self._curr.text
        self._advance()
        suffix = ""
        if self._is_connected() and self._curr.token_type in (TokenType.VAR, TokenType.NUMBER):
            suffix = self._curr.text
            self._advance()
        number = text[-1].isdigit() or text[-1] == "."
        if not suffix and number:
            return self._whole(int(text), start) if text.isdigit() else self._typed(float(text), "double", start)
        if suffix.lower() == "f" and number:
            return self._typed(float(text), "float", start)
        if suffix.lower() == "l" and text.isdigit():
            return self._typed(int(text), "bigint", start)
        if suffix.lower() in _INTERVAL_UNITS and text.isdigit():
            return self.node(IntervalLiteral(this=int(text), unit=suffix.lower()), start)
        position = self.position(self._tokens[start], self._prev)
        return self.fail(
            f"'{text}{suffix}' is not a number", "Suffixes are L (bigint), f (float) and s, m, h, d.", position
        )

    def _whole(self, value: int, start: int) -> exp.Expr:
        return self._typed(value, "int" if value <= _MAXIMUM_INT else "bigint", start)

    def _typed(self, value: int | float, kind: str, start: int) -> exp.Expr:
        text = self.sql[self._tokens[start].start : self._prev.end + 1]
        return self.node(TypedNumber(this=value, kind=kind, text=text), start)

    def _parentheses(self) -> exp.Expr:
        start = self._index
        self._advance()
        if self.at_any(("SELECT", "WITH")):
            self.unsupported("a sub-query as a value", "Use LAST JOIN.")
        inner = self.scalar()
        self.need(TokenType.R_PAREN, ")")
        if self.at_word("OVER"):
            return self._over(self.node(exp.Paren(this=inner), start), start)
        return self.node(exp.Paren(this=inner), start)

    def _array(self, element: DataType | None, start: int) -> exp.Expr:
        if self._index > start:
            self.marks.tight.add(self._curr.start)
        self.need(TokenType.L_BRACKET, "[")
        items = [] if self.at(TokenType.R_BRACKET) else self.separated(self.scalar)
        self.need(TokenType.R_BRACKET, "]")
        return self.node(TypedArray(expressions=items, element=str(element) if element else None), start)

    def _case(self) -> exp.Expr:
        start = self._index
        self._advance()
        subject = None if self.at_word("WHEN") else self.scalar()
        branches: list[exp.If] = []
        while self.take_word("WHEN"):
            condition = self.scalar()
            self.need_word("THEN")
            branches.append(exp.If(this=condition, true=self.scalar()))
        if not branches:
            self.expected("WHEN")
        default = self.scalar() if self.take_word("ELSE") else None
        self.need_word("END")
        return self.node(exp.Case(this=subject, ifs=branches, default=default), start)

    def _cast(self) -> exp.Expr:
        start = self._index
        self._advance(2)
        value = self.scalar()
        self.need_word("AS")
        target = self.data_type()
        self.need(TokenType.R_PAREN, ")")
        to = exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=str(target))
        return self.node(exp.Cast(this=value, to=to), start)

    def _name_or_call(self) -> exp.Expr:
        start = self._index
        parts = [self.word_as_name()]
        if self.at(TokenType.L_PAREN):
            return self._call(parts[0], start)
        while self._match(TokenType.DOT):
            if self._match(TokenType.STAR):
                return self.node(self._column(parts, exp.Star()), start)
            parts.append(self.name("a column name", reserved=True))
            if self.at(TokenType.L_PAREN):
                self.fail(f"function '{parts[-1].name}' cannot have a qualifier")
        return self.node(self._column(parts[:-1], parts[-1]), start)

    def _column(self, qualifiers: list[exp.Identifier], last: exp.Expr) -> exp.Column:
        if len(qualifiers) > 2:
            self.fail("a column has at most a database and a table before it")
        database, table = [None, None, *qualifiers][-2:]
        return exp.Column(this=last, table=table, db=database)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _call(self, function: exp.Identifier, start: int) -> exp.Expr:
        if self.at_word("DISTINCT", ahead=1):
            self.unsupported(f"{function.name}(DISTINCT …)", "Use distinct_count(…).")
        arguments = self.parenthesised(self._argument, empty=True)
        call = self.node(exp.Anonymous(this=function.name, expressions=arguments), start)
        return self._over(call, start) if self.at_word("OVER") else call

    def _argument(self) -> exp.Expr:
        if self._match(TokenType.STAR):
            return self.node(exp.Star(), self._index - 1)
        return self.scalar()

    def _over(self, call: exp.Expr, start: int) -> exp.Expr:
        self.need_word("OVER")
        if self.at(TokenType.L_PAREN):
            window = self.window_definition()
        elif self.at_name():
            window = self.name()
        else:
            self.expected("a window's name or '(' after OVER")
        return self.node(Over(this=call, window=window), start)

    @abstractmethod
    def window_definition(self) -> exp.Expr:
        """``( … )`` after OVER."""

    # ── types ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def data_type(self) -> DataType:
        """A type: ``bigint``, ``array<string>``, ``map<int, string>``."""
        token = self._curr
        if token.token_type is not TokenType.VAR:
            self.expected("a type")
        self.marks.names.add(token.start)
        self._advance()
        word = token.text.lower()
        if word in (Kind.ARRAY, Kind.MAP, Kind.LIST):
            return DataType(Kind(word), tuple(self._type_arguments(Kind(word))))
        try:
            found = parse_type(word)
        except ValueError:
            self._unknown_type(word)
        if found is STRING and self._match(TokenType.L_PAREN):
            # The length of varchar(60) is accepted and means nothing.
            self.whole_number("a length")
            self.need(TokenType.R_PAREN, ")")
        return found

    def _unknown_type(self, word: str) -> NoReturn:
        known = [*TYPE_NAMES, Kind.ARRAY.value, Kind.MAP.value]
        raise SqlTypeError(f"unknown type '{word}'", self.position(self._prev, self._prev), nearest_name(word, known))

    def _type_arguments(self, kind: Kind) -> list[DataType]:
        self.marks.tight.update((self._curr.start, self._next.start))
        self.need(TokenType.LT, "<")
        arguments = self.separated(self.data_type)
        self.marks.tight.add(self._curr.start)
        self.need(TokenType.GT, ">")
        wanted = 2 if kind is Kind.MAP else 1
        if len(arguments) != wanted:
            self.fail(f"{kind.value} takes {wanted} type{'s' * (wanted > 1)}, found {len(arguments)}")
        return arguments
