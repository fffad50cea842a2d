"""Tokens of the feature language.

Only symbols are token types of their own. Words, keywords included, are plain words: most keywords of the language are
also fine column names (``user``, ``time``, ``label``), so that the grammar decides and not the scanner.
"""

from __future__ import annotations

from typing import ClassVar

from sqlglot.tokenizer_core import TokenType
from sqlglot.tokens import Tokenizer


class FeatureTokenizer(Tokenizer):
    """Backticked names, strings in either quote with backslash escapes, three kinds of comments, hex numbers."""

    IDENTIFIERS: ClassVar = ["`"]
    QUOTES: ClassVar = ["'", '"']
    STRING_ESCAPES: ClassVar = ["\\"]
    COMMENTS: ClassVar = ["--", "#", ("/*", "*/")]
    HEX_STRINGS: ClassVar = [("0x", ""), ("0X", "")]
    NESTED_COMMENTS = False
    COMMANDS: ClassVar[set[TokenType]] = set()
    NUMERIC_LITERALS: ClassVar[dict[str, str]] = {}
    KEYWORDS: ClassVar = {
        "==": TokenType.EQ,
        "<>": TokenType.NEQ,
        "!=": TokenType.NEQ,
        ">=": TokenType.GTE,
        "<=": TokenType.LTE,
    }
