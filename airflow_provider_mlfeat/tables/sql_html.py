"""SQL as highlighted HTML. It never refuses a text: what it does not know stays plain."""

from __future__ import annotations

import re
from html import escape

from airflow_provider_mlfeat.sql.dialect.words import CLAUSE_WORDS, RESERVED

_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<text>'(?:[^'\\]|\\.|'')*(?:'|\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\Z))"
    r"|(?P<name>`[^`]*(?:`|\Z))"
    r"|(?P<number>\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[A-Za-z]?\b)"
    r"|(?P<word>[^\W\d]\w*)",
    re.DOTALL,
)
_CALL = re.compile(r"\s*\(")
_MORE = [
    "ADD",
    "ATTRIBUTES",
    "CLOSED",
    "CREATE",
    "CURRENT",
    "CURRENT_ROW",
    "CURRENT_TIME",
    "DATA",
    "DATABASE",
    "DEFAULT",
    "DEPLOY",
    "DROP",
    "EXCLUDE",
    "EXISTS",
    "FOLLOWING",
    "IF",
    "INDEX",
    "INFILE",
    "INSERT",
    "INSTANCE_NOT_IN_WINDOW",
    "INTERVAL",
    "LATERAL",
    "LIMIT",
    "LOAD",
    "MAXSIZE",
    "OPEN",
    "OUTER",
    "PRECEDING",
    "RANGE",
    "ROW",
    "ROWS",
    "ROWS_RANGE",
    "SET",
    "TABLE",
    "UNBOUNDED",
    "USE",
    "VALUES",
    "VIEW",
]
_KEYWORDS = RESERVED | CLAUSE_WORDS | frozenset(_MORE)


def highlight_sql(text: str) -> str:
    """The text as HTML: keywords in ``<b>``, texts, numbers, comments and calls in spans with a class each."""
    parts, position = [], 0
    for found in _TOKEN.finditer(text):
        parts.append(escape(text[position : found.start()]))
        parts.append(_marked(found, text))
        position = found.end()
    return "".join([*parts, escape(text[position:])])


def _marked(found: re.Match[str], text: str) -> str:
    shown = escape(found[0])
    if found.lastgroup != "word":
        return f'<span class="sql-{found.lastgroup}">{shown}</span>'
    if found[0].upper() in _KEYWORDS:
        return f"<b>{shown}</b>"
    return f'<span class="sql-call">{shown}</span>' if _CALL.match(text, found.end()) else shown
