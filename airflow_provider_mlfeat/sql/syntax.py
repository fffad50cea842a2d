"""Texts to statements."""

from __future__ import annotations

import re

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from airflow_provider_mlfeat.sql.dialect import FeatureSql
from airflow_provider_mlfeat.sql.dialect.positions import Lines
from airflow_provider_mlfeat.sql.dialect.tokens import Marks
from airflow_provider_mlfeat.sql.errors import SqlError, SqlSyntaxError
from airflow_provider_mlfeat.sql.statement_parser import StatementParser
from airflow_provider_mlfeat.sql.statements import Query, Select, Statement

_OPENING = re.compile(r"--|#|/\*|['\"`]")
_WHOLE = re.compile(
    r"""(?:--|\#)[^\r\n]* | /\*.*?\*/ | '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | `[^`]*`""", re.DOTALL | re.VERBOSE
)


def tokenize(text: str) -> list[Token]:
    """The tokens of a text; raises SqlSyntaxError for a string or a name without an end."""
    try:
        tokens: list[Token] = FeatureSql().tokenize(text)
    except TokenError as error:
        raise _without_end(text, error) from None
    for token in tokens:
        if token.token_type is TokenType.NATIONAL_STRING:
            position = Lines(text).position(token.start, token.end)
            raise SqlSyntaxError("a string takes no prefix", position).with_source(text)
    return tokens


def _without_end(text: str, error: TokenError) -> SqlError:
    """The error for a string, a quoted name or a comment without an end."""
    position = 0
    while match := _OPENING.search(text, position):
        whole = _WHOLE.match(text, match.start())
        if whole is None:
            place = Lines(text).position(match.start(), match.end() - 1)
            return SqlSyntaxError(f"the {match[0]} here has no end", place).with_source(text)
        position = whole.end()
    return SqlSyntaxError(str(error), Lines(text).position(0, 0)).with_source(text)


def parse_script(text: str) -> list[Statement]:
    """The statements of a script, separated by semicolons."""
    return parse_tokens(tokenize(text), text)[0]


def parse_tokens(tokens: list[Token], text: str) -> tuple[list[Statement], Marks]:
    """The statements of a script's tokens, and what the parser found the tokens to be."""
    parser = StatementParser(dialect=FeatureSql)
    try:
        return [parser.statement(chunk, text) for chunk in _split(tokens)], parser.marks
    except RecursionError:
        raise SqlSyntaxError("the statement is nested too deeply").with_source(text) from None
    except SqlError as error:
        raise error.with_source(text) from None


def _split(tokens: list[Token]) -> list[list[Token]]:
    chunks: list[list[Token]] = [[]]
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            chunks.append([])
        else:
            chunks[-1].append(token)
    return [chunk for chunk in chunks if chunk]


def parse_statement(text: str) -> Statement:
    """The one statement of a text."""
    statements = parse_script(text)
    if len(statements) != 1:
        position = statements[1].position if statements else Lines(text).position(0, 0)
        raise SqlSyntaxError(f"expected one statement, found {len(statements)}", position).with_source(text)
    return statements[0]


def parse_query(text: str) -> Query:
    """The one query of a text, with or without a semicolon at its end."""
    statement = parse_statement(text)
    if not isinstance(statement, Select):
        raise SqlSyntaxError("expected a query, found another statement", statement.position).with_source(text)
    return statement.query
