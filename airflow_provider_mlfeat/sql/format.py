"""The pretty printer: one clause, item and join a line, sub-queries indented, keywords in capitals.

It lays out tokens and never rewrites them, so that comments stay where they are and the formatted text means what the
original means: the tokens between the blanks are the same. What is a keyword and what a name, the parser says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot.tokenizer_core import Token, TokenType

from airflow_provider_mlfeat.sql.dialect.tokens import Marks
from airflow_provider_mlfeat.sql.syntax import parse_tokens, tokenize

_INDENT = "    "
_WIDTH = 110
_CLAUSES = frozenset(
    ["SELECT", "FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "LIMIT", "UNION", "INTO", "CONFIG", "WITH", "LAST", "LEFT"]
)
_CONDITIONS = frozenset({"WHERE", "HAVING"})
_JOINED = _CONDITIONS | {"ON"}
_LISTS = frozenset(["SELECT", "WINDOW", "WITH"])
_WINDOW_CLAUSES = frozenset(["PARTITION", "ORDER", "ROWS", "ROWS_RANGE"])
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)
_ENDS = (*_CLOSING, TokenType.SEMICOLON)
_TIGHT_AFTER = (*_OPENING, TokenType.DOT, TokenType.PARAMETER)
_TIGHT_BEFORE = (*_CLOSING, TokenType.COMMA, TokenType.DOT, TokenType.SEMICOLON)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A token and what stands before it.

    :param text: the token as it will be written.
    :param kind: its type.
    :param keyword: the keyword in capitals; '' for anything else.
    :param comments: the comments between the previous token and this one.
    :param trailing: whether the first of them stands on the previous token's line.
    :param glued: whether no blank stands before it.
    :param joins: whether it is an AND or OR between conditions.
    """

    text: str
    kind: TokenType
    keyword: str
    comments: tuple[str, ...]
    trailing: bool
    glued: bool
    joins: bool


@dataclass(slots=True)
class _Level:
    """What the printer is inside of.

    :param kind: ``query``, ``window``, ``columns``, ``case`` or ``flat``.
    :param indent: how far its lines are indented.
    :param in_list: whether commas end lines.
    :param selecting: whether SELECT was there, so that other clauses begin lines.
    :param join_indent: how far AND and OR are indented that begin lines; None where they do not.
    """

    kind: str
    indent: int
    in_list: bool = False
    selecting: bool = False
    join_indent: int | None = None


def format_sql(text: str) -> str:
    """The script, laid out; formatting it again changes nothing. Raises an SqlError for a text that is no script."""
    tokens = tokenize(text)
    marks = parse_tokens(tokens, text)[1]
    after = tokens[-1].end + 1 if tokens else 0
    comments, trailing = _comments(text[after:])
    return _Printer(_pieces(text, tokens, marks)).run(comments, trailing and bool(tokens))


# ── tokens and comments ─────────────────────────────────────────────────────────────────────────────────────────────


def _pieces(text: str, tokens: Sequence[Token], marks: Marks) -> list[_Piece]:
    pieces: list[_Piece] = []
    previous: Token | None = None
    carried: list[str] = []
    for token in tokens:
        written = text[token.start : token.end + 1]
        unit = previous is not None and previous.token_type is TokenType.NUMBER and previous.end + 1 == token.start
        is_word = token.token_type is TokenType.VAR
        keyword = written.upper() if is_word and token.start not in marks.names and not unit else ""
        comments, trailing = _comments(text[previous.end + 1 if previous else 0 : token.start])
        comments, trailing = [*carried, *comments], trailing or bool(carried)
        # A comment before a comma goes behind it.
        carried = comments if token.token_type is TokenType.COMMA else []
        comments = [] if carried else comments
        glued = token.start in marks.tight or (unit and is_word) or _is_glued(previous, token, marks)
        trailing = trailing and previous is not None
        joins = keyword in ("AND", "OR") and token.start not in marks.inner
        pieces.append(_Piece(keyword or written, token.token_type, keyword, tuple(comments), trailing, glued, joins))
        previous = token
    return pieces


def _is_glued(previous: Token | None, token: Token, marks: Marks) -> bool:
    if previous is None or token.token_type in _TIGHT_BEFORE or previous.token_type in _TIGHT_AFTER:
        return True
    if previous.start in marks.prefix:
        return True
    # A call: the parenthesis belongs to the name.
    is_call = previous.start in marks.names or previous.text.upper() == "CAST"
    return token.token_type is TokenType.L_PAREN and is_call


def _comments(gap: str) -> tuple[list[str], bool]:
    """The comments in the text between two tokens, and whether the first begins on the line of the token before."""
    comments: list[str] = []
    trailing, position = False, 0
    while position < len(gap):
        if gap.startswith("/*", position):
            end = gap.index("*/", position) + 2
        elif gap.startswith(("--", "#"), position):
            end = gap.find("\n", position)
            end = len(gap) if end < 0 else end
        else:
            position += 1
            continue
        trailing = trailing or (not comments and "\n" not in gap[:position])
        comments.append(gap[position:end].rstrip())
        position = end
    return comments, trailing


# ── layout ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Printer:
    """Writes pieces to lines.

    :param pieces: the script's tokens.
    """

    def __init__(self, pieces: list[_Piece]) -> None:
        self._pieces = pieces
        self._lines: list[str] = []
        self._line = ""
        self._indent = 0
        self._levels = [_Level("query", 0)]
        self._break_at: int | None = None

    def run(self, tail: list[str], trailing: bool) -> str:
        """The whole text; `tail` are the comments after the last token, the first perhaps on its line."""
        for number, piece in enumerate(self._pieces):
            self._piece(number, piece)
        self._end_line()
        if trailing:
            self._lines[-1] += f"  {tail.pop(0)}"
        self._lines.extend(tail)
        return "".join(f"{line.rstrip()}\n" for line in self._lines)

    def _piece(self, number: int, piece: _Piece) -> None:
        level = self._levels[-1]
        if piece.kind in _CLOSING or piece.keyword == "END":
            self._levels.pop()
            if level.kind != "flat":
                self._break_at = level.indent - 1
        elif piece.joins and level.join_indent is not None:
            self._break_at = level.join_indent
        elif self._begins_line(number, piece, level):
            self._break_at = level.indent + (piece.keyword == "ON")
        self._write(piece, piece.glued and not self._begins_columns(number))
        self._after(number, piece, level)

    def _begins_line(self, number: int, piece: _Piece, level: _Level) -> bool:
        if level.kind == "window":
            return piece.keyword in _WINDOW_CLAUSES
        if level.kind == "case":
            return piece.keyword in ("WHEN", "ELSE")
        if level.kind != "query" or not self._line:
            return False
        if piece.keyword in ("SELECT", "WITH"):
            return True
        if piece.keyword == "LAST" and self._pieces[number + 1].keyword != "JOIN":
            return False
        return level.selecting and (piece.keyword in _CLAUSES or piece.keyword == "ON")

    def _after(self, number: int, piece: _Piece, level: _Level) -> None:
        """What the piece means for those that follow."""
        if piece.kind in _OPENING:
            self._open(number)
        elif piece.keyword == "CASE":
            self._levels.append(_Level("flat" if self._fits(number) else "case", self._indent + 1))
        elif piece.kind is TokenType.SEMICOLON:
            self._end_line()
            self._levels, self._indent, self._break_at = [_Level("query", 0)], 0, 0
        elif piece.kind is TokenType.COMMA and (level.in_list or level.kind == "columns"):
            self._break_at = level.indent + (level.kind == "query")
        elif level.kind == "query" and piece.keyword in _CLAUSES:
            level.selecting |= piece.keyword == "SELECT"
            level.join_indent = None if piece.keyword not in _CONDITIONS or self._fits(number) else level.indent + 1
            level.in_list = piece.keyword in _LISTS and self._has_several_items(number + 1)
            if level.in_list:
                self._break_at = level.indent + 1
        elif level.kind == "query" and piece.keyword == "ON":
            level.join_indent = None if self._fits(number) else level.indent + 2

    def _open(self, number: int) -> None:
        following = self._pieces[number + 1].keyword
        kind = "flat"
        if following in ("SELECT", "WITH"):
            kind = "query"
        elif following in ("UNION", "PARTITION") and not self._fits(number):
            kind = "window"
        elif self._begins_columns(number) and not self._fits(number):
            kind = "columns"
        indent = self._indent + 1
        self._levels.append(_Level(kind, indent))
        if kind != "flat":
            self._break_at = indent

    def _begins_columns(self, number: int) -> bool:
        """Whether this is the column list of a CREATE TABLE."""
        if len(self._levels) > 1 or self._pieces[number].kind is not TokenType.L_PAREN:
            return False
        start = number
        while start > 0 and self._pieces[start - 1].kind is not TokenType.SEMICOLON:
            start -= 1
        words = [piece.keyword for piece in self._pieces[start : start + 2]]
        return words == ["CREATE", "TABLE"] and all(p.kind not in _OPENING for p in self._pieces[start:number])

    def _has_several_items(self, number: int) -> bool:
        """Whether a comma stands in the list that begins here."""
        depth = 0
        for piece in self._pieces[number:]:
            depth += (piece.kind in _OPENING) - (piece.kind in _CLOSING)
            if depth < 0 or piece.kind is TokenType.SEMICOLON:
                return False
            if depth == 0 and (piece.kind is TokenType.COMMA or piece.keyword in _CLAUSES):
                return piece.kind is TokenType.COMMA
        return False

    def _fits(self, number: int) -> bool:
        """Whether what begins here fits on this line: parentheses, a CASE, or a clause up to the next one.

        Comments and queries in it do not fit.
        """
        depth, width = 0, len(self._line)
        for place, piece in enumerate(self._pieces[number:]):
            if place and depth <= 0 and (piece.keyword in _CLAUSES or piece.kind in _ENDS):
                break
            depth += piece.kind in _OPENING or piece.keyword == "CASE"
            depth -= piece.kind in _CLOSING or piece.keyword == "END"
            width += len(piece.text) + (not piece.glued)
            if width > _WIDTH or (place and piece.comments) or piece.keyword == "SELECT":
                return False
            if depth == 0 and self._pieces[number].keyword not in _JOINED:
                break
        return True

    # ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write(self, piece: _Piece, glued: bool) -> None:
        self._write_comments(piece)
        if self._break_at is not None:
            self._end_line()
            self._indent, self._break_at = self._break_at, None
        if not self._line:
            self._line = _INDENT * self._indent + piece.text
        else:
            self._line += piece.text if glued else f" {piece.text}"

    def _write_comments(self, piece: _Piece) -> None:
        """A comment stays on the previous token's line, or gets a line of its own above the next token."""
        indent = self._levels[-1].indent if self._break_at is None else self._break_at
        for number, comment in enumerate(piece.comments):
            if number or not piece.trailing:
                self._end_line()
                self._lines.append(_INDENT * indent + comment)
                self._break_at = indent
            elif not self._line:
                self._lines[-1] += f"  {comment}"
            elif comment.startswith("/*"):
                self._line += f" {comment}"
            else:
                self._line += f"  {comment}"
                self._break_at = self._indent + 1 if self._break_at is None else self._break_at

    def _end_line(self) -> None:
        if self._line:
            self._lines.append(self._line)
            self._line = ""
