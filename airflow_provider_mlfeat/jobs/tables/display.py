"""Small tables as text, for logs and terminals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_WIDEST = 60


def text_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows below their column names, in columns as wide as they need; long values are cut."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(name), *(len(row[place]) for row in cells)) if cells else len(name) for place, name in enumerate(names)
    ]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: Any) -> str:
    text = "NULL" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    text = text.replace("\n", "⏎")
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
