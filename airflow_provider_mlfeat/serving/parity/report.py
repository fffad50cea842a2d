"""The page that shows what a parity check found."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.serving.parity.compare import Parity

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1d2733;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}.good{color:#11713d}.bad{color:#b3261e}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d9e0e8}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.9em}
@media(prefers-color-scheme:dark){body{background:#12171d;color:#dbe3ec}td,th{border-color:#2c3743}
.good{color:#57c98a}.bad{color:#ff8a80}}
"""


def parity_page(parity: Parity, facts: dict[str, str]) -> str:
    """The page as text.

    :param parity: what was found.
    :param facts: what was compared, by what it is.
    """
    good = parity.mismatches == 0
    verdict = (
        f"All {parity.cells:,} cells of {parity.requests:,} replayed requests are equal"
        if good
        else f"{parity.mismatches:,} differences in {parity.requests:,} replayed requests"
    )
    wrong = {name: count for name, count in parity.columns.items() if count}
    keys = {name: count for name, count in parity.keys.items() if count}
    parts = [
        f"<h1>Parity of training and serving</h1><p class={'good' if good else 'bad'}><strong>{verdict}.</strong></p>",
        _table(("", ""), list(facts.items())),
        "<h2>Predictions</h2><p>",
        f"Differ by over 0.000001: {parity.predictions:,}; largest difference {parity.largest_difference:.3g}.</p>",
        "<h2>Columns</h2>",
        _counts("column", wrong, parity.columns),
    ]
    if parity.keys:
        parts += ["<h2>Keys of the encoder</h2>", _counts("field", keys, parity.keys)]
    if parity.unmatched:
        parts.append(f"<h2>Rows</h2><p class=bad>{parity.unmatched:,} rows are on one side only.</p>")
    if parity.examples:
        rows = [(one.key, one.column, one.trained, one.served) for one in parity.examples]
        parts += ["<h2>Some differing cells</h2>", _table(("row", "column", "trained", "served"), rows)]
    body = "".join(parts)
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>Parity</title><style>{_STYLE}</style>{body}</html>"


def write_page(path: Path, parity: Parity, facts: dict[str, str]) -> None:
    """Write the page, whole or not at all."""
    with files.staged_file(path) as staging:
        staging.write_text(parity_page(parity, facts), encoding="utf-8")


def _counts(kind: str, wrong: dict[str, int], all_: dict[str, int]) -> str:
    if not wrong:
        return f"<p class=good>All {len(all_)} are equal in every row.</p>"
    rows = [(name, f"{count:,}") for name, count in sorted(wrong.items(), key=lambda item: -item[1])]
    return _table((kind, "rows that differ"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{cells}</table>" if any(head) else f"<table>{cells}</table>"
