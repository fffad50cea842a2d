"""LIKE and regular expressions.

LIKE becomes a Python regular expression without backtracking: after each ``%`` the next part is looked for once, at
its first place, which an atomic group makes final. Regular expressions run in RE2, which is linear in the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.distinct import distinct_rows
from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.sql.types import BOOL

# What RE2 knows beyond POSIX egrep: Perl's classes, assertions and quoting.
_PERL_ESCAPES = frozenset("dDsSwWbBAzZCQEpPK")


def like(context: CallContext, text: str, pattern: str, escape: str = "\\") -> bool:
    """Whether the whole text matches; nothing matches with an escape of several characters."""
    return _matches(text, pattern, escape, False)


def ilike(context: CallContext, text: str, pattern: str, escape: str = "\\") -> bool:
    """LIKE without regard to case."""
    return _matches(text, pattern, escape, True)


def _matches(text: str, pattern: str, escape: str, ignore_case: bool) -> bool:
    if len(escape) > 1:
        return False
    compiled = _like_expression(pattern, escape, ignore_case)
    return compiled is not None and compiled.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _like_expression(pattern: str, escape: str, ignore_case: bool) -> re.Pattern[str] | None:
    """None for a pattern that ends in its escape character, which matches nothing."""
    parts, characters = [""], iter(pattern)
    for character in characters:
        # The escape is looked at first: it may be % or _ itself.
        if character == escape:
            following = next(characters, None)
            if following is None:
                return None
            parts[-1] += re.escape(following)
        elif character == "%":
            parts.append("")
        else:
            parts[-1] += "." if character == "_" else re.escape(character)
    start, *later = parts
    if later:
        *middle, end = later
        start += "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + end
    return re.compile(start, re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG))


def regexp_like(context: CallContext, text: Column, pattern: Column, flags: Column | None = None) -> Column:
    """Whether the whole text matches a POSIX egrep expression; NULL for a bad one. Unknown flags mean nothing."""
    columns = [text, pattern] if flags is None else [text, pattern, flags]
    if len(text) == 1:
        matches = _matches_expression(*[column.value(0) for column in columns])
        return Column(BOOL, np.array([matches is True]), np.array([matches is not None]))
    codes, rows = distinct_rows(columns)
    # Texts that meet the same expression are matched in one go.
    places: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if None not in row:
            places.setdefault(row[1:], []).append(place)
    matched, valid = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    for expression, chosen in places.items():
        compiled = _regular_expression(*expression)
        if compiled is not None:
            texts = pa.array([rows[place][0] for place in chosen], pa.string())
            matched[chosen] = pc.match_substring_regex(texts, compiled).to_numpy(zero_copy_only=False)
            valid[chosen] = True
    return Column(BOOL, matched[codes], valid[codes])


@lru_cache(maxsize=1 << 12)
def _matches_expression(text: str | None, pattern: str | None, flags: str | None = "") -> bool | None:
    """The same for one text; RE2 compiles the expression at every call, so the last answers are remembered."""
    if text is None or pattern is None or flags is None:
        return None
    expression = _regular_expression(pattern, flags)
    if expression is None:
        return None
    matched: bool = pc.match_substring_regex(pa.array([text]), expression)[0].as_py()
    return matched


@lru_cache(maxsize=1024)
def _regular_expression(pattern: str, flags: str = "") -> str | None:
    """The expression anchored at both ends; None when it is not accepted."""
    if not _is_egrep(pattern):
        return None
    options = "".join(flag for flag in "ms" if flag in flags)
    # The later of c and i counts.
    if flags.rfind("i") > flags.rfind("c"):
        options += "i"
    expression = rf"\A(?{options}:{pattern})\z"
    try:
        pc.match_substring_regex(pa.array([""]), expression)
        # Parentheses that close our own group would slip through the check above.
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid:
        return None
    return expression


def _is_egrep(pattern: str) -> bool:
    """Whether nothing in the pattern is an extension by Perl."""
    in_class, previous = False, ""
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            if next(characters, "") in _PERL_ESCAPES:
                return False
        elif in_class:
            in_class = character != "]" or previous in ("[", "[^")
        elif character == "?" and previous == "(":
            return False
        elif character == "[":
            in_class = True
        previous = "[^" if (previous, character) == ("[", "^") else character
    return True
