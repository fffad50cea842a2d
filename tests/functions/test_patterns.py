"""LIKE against a matcher that tries everything, and regular expressions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.sql.types import STRING
from tests.functions.calls import evaluate, over_columns, typed


def matches(text: str, pattern: str, escape: str) -> bool:
    """LIKE by trying every length for a %; a pattern that ends in its escape matches nothing."""
    tokens: list[tuple[bool, str]] = []
    place = 0
    while place < len(pattern):
        if escape and pattern[place] == escape:
            if place + 1 == len(pattern):
                return False
            tokens.append((True, pattern[place + 1]))
            place += 2
        else:
            tokens.append((False, pattern[place]))
            place += 1

    def match(at: int, token: int) -> bool:
        if token == len(tokens):
            return at == len(text)
        literal, character = tokens[token]
        if not literal and character == "%":
            return any(match(later, token + 1) for later in range(at, len(text) + 1))
        if at == len(text):
            return False
        return ((not literal and character == "_") or text[at] == character) and match(at + 1, token + 1)

    return match(0, 0)


LETTERS = st.text("ab_%\\é\n", max_size=6)


@settings(max_examples=300, deadline=None)
@given(LETTERS, LETTERS, st.sampled_from(["\\", "", "%", "_", "a"]))
def test_like_matches_as_the_slow_one_does(text: str, pattern: str, escape: str) -> None:
    assert evaluate("like", text, pattern, escape) is matches(text, pattern, escape)
    assert evaluate("like_match", text, pattern) is matches(text, pattern, "\\")


@settings(max_examples=100, deadline=None)
@given(LETTERS, LETTERS)
def test_ilike_ignores_case(text: str, pattern: str) -> None:
    assert evaluate("ilike", text.upper(), pattern) is matches(text, pattern, "\\")
    assert evaluate("ilike_match", text, pattern.upper()) is matches(text, pattern, "\\")


@pytest.mark.parametrize(
    ("text", "pattern", "escape", "expected"),
    [
        ("a_b", "a\\_b", "\\", True),
        ("aab", "a\\_b", "\\", False),
        ("%a_b", "\\%a_b", "\\", True),
        ("ab", "ab\\", "\\", False),
        ("make", "m&_ke", "&", False),
        ("m_ke", "m&_ke", "&", True),
        ("a\\b", "a\\b", "", True),
        (None, "a", "\\", None),
        ("a", typed(None, "string"), "\\", None),
        ("a", "a", typed(None, "string"), None),
        ("😀", "_", "\\", True),
    ],
)
def test_like(text: Any, pattern: Any, escape: Any, expected: bool | None) -> None:
    assert evaluate("like", text, pattern, escape) is expected


def test_nothing_matches_with_an_escape_of_several_characters() -> None:
    rows = [("a", "a", "\\"), ("a", "a", "ab"), ("b", "a", ""), (None, "a", "b")]
    assert over_columns("like", [STRING, STRING, STRING], rows)[0] == [True, False, False, None]


def test_no_pattern_is_slow() -> None:
    begin = time.process_time()
    assert evaluate("like", "a" * 20_000, "%a" * 30 + "%b") is False
    assert evaluate("rlike", "a" * 3000, "(a*)*b") is False
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("text", "pattern", "flags", "expected"),
    [
        ("Mary", "M.ry", "", True),
        ("Mary", "M.r", "", False),
        ("xMary", "M.ry", "", False),
        ("contact@openmldb.ai", "[A-Za-z0-9+_.-]+@openmldb[A-Za-z0-9+_.-]+", "", True),
        ("abc", "[[:alpha:]]+", "", True),
        ("ab1", "[[:alpha:]]+", "", False),
        ("a|b", "a\\|b", "", True),
        ("b", "a|b", "", True),
        ("ab", "a|b", "", False),
        ("MARY", "m.ry", "i", True),
        ("MARY", "m.ry", "ic", False),
        ("mARY", "m.ry", "ci", True),
        ("a\nb", "a.b", "", False),
        ("a\nb", "a.b", "s", True),
        ("a\nb", "a$\n^b", "", False),
        ("a\nb", "a$\n^b", "m", True),
        ("a", "a", "e", True),
        ("a", "a", "x", True),
        ("a", "(", "", None),
        ("a", "a)(b", "", None),
        ("1", "\\d", "", None),
        ("a", "\\ba", "", None),
        ("a", "(?:a)", "", None),
        ("a", "(?i)A", "", None),
        ("(?", "\\(\\?", "", True),
        ("?", "[(?]", "", True),
        ("]", "[]]", "", True),
        ("^?", "[(^]?[?]", "", True),
        ("\\d", "\\\\d", "", True),
        ("é", ".", "", True),
        ("", "", "", True),
        ("a\n", "a", "", False),
    ],
)
def test_regular_expressions(text: str, pattern: str, flags: str, expected: bool | None) -> None:
    assert evaluate("regexp_like", text, pattern, flags) is expected
    if not flags:
        assert evaluate("rlike", text, pattern) is expected
        rows = [[text, pattern], [None, pattern], [text, None]]
        assert over_columns("rlike", [STRING, STRING], rows)[0] == [expected, None, None]
