"""LIKE, ILIKE and regular expressions."""

from __future__ import annotations

import re

from tests.oracle.scalars import Invocation, scalar


def matches_like(text: str, pattern: str, escape: str) -> bool:
    """Whether the whole text matches: ``%`` is any run, ``_`` one character, an escaped character itself."""
    if not pattern:
        return not text
    first, rest = pattern[0], pattern[1:]
    if escape and first == escape:
        return bool(rest) and text[:1] == rest[0] and matches_like(text[1:], rest[1:], escape)
    if first == "%":
        return any(matches_like(text[start:], rest, escape) for start in range(len(text) + 1))
    return bool(text) and first in ("_", text[0]) and matches_like(text[1:], rest, escape)


def _ends_in_escape(pattern: str, escape: str) -> bool:
    """Whether the last character is an escape that escapes nothing."""
    position = 0
    while escape and position < len(pattern):
        if pattern[position] == escape:
            position += 1
            if position == len(pattern):
                return True
        position += 1
    return False


def _matches(text: str, pattern: str, escape: str) -> bool:
    """A LIKE whose escape is too long, or whose pattern ends in it, matches nothing."""
    return len(escape) <= 1 and not _ends_in_escape(pattern, escape) and matches_like(text, pattern, escape)


@scalar("like", "like_match")
def like(call: Invocation, text: str, pattern: str, escape: str = "\\") -> bool:
    return _matches(text, pattern, escape)


@scalar("ilike", "ilike_match")
def ilike(call: Invocation, text: str, pattern: str, escape: str = "\\") -> bool:
    text, pattern, escape = text.lower(), pattern.lower(), escape.lower()
    return _matches(text, pattern, escape)


@scalar("rlike", "regexp_like")
def rlike(call: Invocation, text: str, pattern: str, flags: str = "") -> bool | None:
    options = 0
    for flag in flags:
        options |= {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}.get(flag, 0)
    try:
        return re.fullmatch(pattern, text, options) is not None
    except re.error:
        return None
