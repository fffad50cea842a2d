"""Places of syntax nodes in their text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from sqlglot import exp

from airflow_provider_mlfeat.sql.errors import Position

_KEY = "position"


class Lines:
    """Turns character offsets of a text into lines and columns.

    :param text: the text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(offset + 1 for offset, character in enumerate(text) if character == "\n")]

    def position(self, start: int, end: int) -> Position:
        """The place of the characters from `start` to `end`, both included; only what is on the first line counts."""
        line = bisect_right(self._starts, start)
        line_start = self._starts[line - 1]
        line_end = self._starts[line] - 1 if line < len(self._starts) else len(self._text)
        return Position(line, start - line_start + 1, max(1, min(end + 1, line_end) - start))


def place(node: exp.Expr, position: Position) -> None:
    """Remember where `node` stands."""
    node.meta[_KEY] = position


def position_of(node: exp.Expr | None) -> Position | None:
    """Where `node`, or the first of its children that is known, stands."""
    if node is None:
        return None
    position = node.meta_get(_KEY)
    if isinstance(position, Position):
        return position
    return first_position(list(node.iter_expressions()))


def first_position(nodes: Sequence[exp.Expr]) -> Position | None:
    """The first known place among `nodes`."""
    return next((position for node in nodes if (position := position_of(node)) is not None), None)
