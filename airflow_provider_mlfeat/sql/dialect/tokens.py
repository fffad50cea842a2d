"""Moving over tokens: words, names, places and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, TypeVar

from sqlglot import exp
from sqlglot.dialects.dialect import DialectType
from sqlglot.parser import SENTINEL_NONE, Parser
from sqlglot.tokenizer_core import Token, TokenType

from airflow_provider_mlfeat.sql.dialect.positions import Lines, place
from airflow_provider_mlfeat.sql.dialect.words import RESERVED
from airflow_provider_mlfeat.sql.errors import Position, SqlSyntaxError, SqlUnsupportedError

Node = TypeVar("Node", bound=exp.Expr)


@dataclass(slots=True)
class Marks:
    """What the parser found tokens to be, by their first character's offset; the pretty printer asks.

    :param names: words that are names, types or values and no keywords.
    :param tight: symbols of types, which have no blank before them.
    :param prefix: signs and other operators before their operand, which have no blank after them.
    :param inner: the AND of a BETWEEN, which joins no conditions.
    """

    names: set[int] = field(default_factory=set)
    tight: set[int] = field(default_factory=set)
    prefix: set[int] = field(default_factory=set)
    inner: set[int] = field(default_factory=set)


Item = TypeVar("Item")


class TokenParser(Parser):
    """The part of the parser that knows tokens but no grammar.

    sqlglot's tables of functions are empty: a call is a call of that name, and its meaning is looked up in the function
    catalogue by the binder.

    :param dialect: the dialect whose tokens it reads.
    """

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}

    def __init__(self, dialect: DialectType = None, **options: Any) -> None:
        super().__init__(dialect=dialect, **options)
        self.marks = Marks()
        self._lines: Lines | None = None
        self._lines_of: str | None = None

    # ── places and errors ───────────────────────────────────────────────────────────────────────────────────────────

    def position(self, first: Token, last: Token) -> Position:
        """The place of the text from one token to another."""
        if self._lines is None or self._lines_of is not self.sql:
            self._lines, self._lines_of = Lines(self.sql), self.sql
        return self._lines.position(first.start, last.end)

    def here(self) -> Position:
        """The place of the current token, or of the end of the text."""
        if self._curr:
            return self.position(self._curr, self._curr)
        end = self._prev.end + 1 if self._prev else 0
        return self.position(Token(TokenType.VAR, "", start=end, end=end), Token(TokenType.VAR, "", end=end))

    def fail(self, message: str, suggestion: str | None = None, position: Position | None = None) -> NoReturn:
        """Raise a syntax error at the current token."""
        raise SqlSyntaxError(message, position or self.here(), suggestion)

    def unsupported(self, what: str, suggestion: str | None = None, position: Position | None = None) -> NoReturn:
        """Raise the error for SQL that exists but is no part of this language."""
        raise SqlUnsupportedError(f"{what} is not supported", position or self.here(), suggestion)

    def raise_error(self, message: str, token: Token = SENTINEL_NONE) -> NoReturn:
        """sqlglot's way to report an error."""
        self.fail(message, position=self.position(token, token) if token else None)

    def expected(self, what: str) -> NoReturn:
        """Raise the error for a token that cannot stand here."""
        found = f"'{self.text_of(self._curr)}'" if self._curr else "the end of the statement"
        self.fail(f"expected {what}, found {found}")

    def text_of(self, token: Token) -> str:
        """The token as written."""
        return str(self.sql[token.start : token.end + 1])

    def node(self, node: Node, start: int) -> Node:
        """The new `node`, which began at token number `start` and ends with the previous token."""
        place(node, self.position(self._tokens[start], self._prev))
        return node

    # ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def at(self, token_type: TokenType) -> bool:
        """Whether a token of this type comes next."""
        return self._curr.token_type is token_type

    def at_word(self, *words: str, ahead: int = 0) -> bool:
        """Whether the next tokens are these keywords (upper case)."""
        for offset, word in enumerate(words, self._index + ahead):
            if offset >= self._tokens_size:
                return False
            token = self._tokens[offset]
            if token.token_type is not TokenType.VAR or token.text.upper() != word:
                return False
        return True

    def at_any(self, words: frozenset[str] | tuple[str, ...]) -> bool:
        """Whether the next token is one of these keywords (upper case)."""
        return self.at(TokenType.VAR) and self._curr.text.upper() in words

    def take_word(self, *words: str) -> bool:
        """Step over these keywords if they come next."""
        if self.at_word(*words):
            self._advance(len(words))
            return True
        return False

    def need_word(self, *words: str) -> None:
        """Step over these keywords; it is an error when they do not come next."""
        for word in words:
            if not self.take_word(word):
                self.expected(word)

    def need(self, token_type: TokenType, what: str) -> None:
        """Step over a symbol; it is an error when it does not come next."""
        if not self._match(token_type):
            self.expected(f"'{what}'")

    # ── small pieces of grammar ─────────────────────────────────────────────────────────────────────────────────────

    def at_name(self) -> bool:
        """Whether a name comes next: a word that is not reserved, or anything in backticks."""
        if self.at(TokenType.IDENTIFIER):
            return True
        return self.at(TokenType.VAR) and self._curr.text.upper() not in RESERVED

    def name(self, what: str = "a name", reserved: bool = False) -> exp.Identifier:
        """Step over a name; after a dot, where no keyword can stand, `reserved` words are names too."""
        if not self.at_name() and not (reserved and self.at(TokenType.VAR)):
            self.expected(what)
        return self.word_as_name()

    def word_as_name(self) -> exp.Identifier:
        """The current token as a name."""
        token = self._curr
        self.marks.names.add(token.start)
        self._advance()
        quoted = token.token_type is TokenType.IDENTIFIER
        return self.node(exp.Identifier(this=token.text, quoted=quoted), self._index - 1)

    def separated(self, item: Callable[[], Item]) -> list[Item]:
        """One or more items with commas between them."""
        items = [item()]
        while self._match(TokenType.COMMA):
            items.append(item())
        return items

    def parenthesised(self, item: Callable[[], Item], empty: bool = False) -> list[Item]:
        """``( item, … )``."""
        self.need(TokenType.L_PAREN, "(")
        items = [] if empty and self.at(TokenType.R_PAREN) else self.separated(item)
        self.need(TokenType.R_PAREN, ")")
        return items

    def whole_number(self, what: str) -> int:
        """Step over a whole number without sign and unit."""
        token = self._curr
        if token.token_type is not TokenType.NUMBER or not token.text.isdigit():
            self.expected(what)
        self._advance()
        if self._is_connected() and self.at(TokenType.VAR):
            self.fail(
                f"expected {what}, found '{token.text}{self._curr.text}'", position=self.position(token, self._curr)
            )
        return int(token.text)

    def string(self, what: str) -> str:
        """Step over a string."""
        if not self.at(TokenType.STRING):
            self.expected(what)
        self._advance()
        return str(self._prev.text)
