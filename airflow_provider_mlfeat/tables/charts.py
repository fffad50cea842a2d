"""Small inline SVG pictures of a column's values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape

from airflow_provider_mlfeat.tables.statistics import ColumnStatistics

_WIDTH, _HEIGHT = 168, 40
_SHOWN_VALUES = 12


def distribution(column: ColumnStatistics) -> str:
    """A histogram, or the most frequent values where there is none; '' when there is nothing to show."""
    few = column.distinct_is_exact and column.distinct is not None and column.distinct <= _SHOWN_VALUES
    if column.histogram is None or (few and column.type not in ("date", "timestamp")):
        return _frequent(column)
    histogram = column.histogram
    titles = []
    for place, count in enumerate(histogram.counts):
        low = histogram.low + place * histogram.width
        titles.append(f"{number_text(low, column)} to {number_text(low + histogram.width, column)}: {count:,}")
    return _bars(histogram.counts, titles, f"histogram of {column.name}", gap=0.5)


def has_frequent_values(column: ColumnStatistics) -> bool:
    """Whether the most frequent values say anything: not where all are rare, as in a column of names or ids."""
    if not column.top:
        return False
    most = column.top[0][1]
    return len(column.top) <= _SHOWN_VALUES or (most > 1 and most * 1_000 >= column.rows)


def _frequent(column: ColumnStatistics) -> str:
    if not has_frequent_values(column):
        return ""
    top = column.top[:_SHOWN_VALUES]
    if column.type not in ("string", "bool"):
        top = tuple(sorted(top, key=lambda pair: (pair[0] != pair[0], pair[0])))
    titles = [f"{text_of(value)}: {count:,}" for value, count in top]
    return _bars([count for _, count in top], titles, f"most frequent values of {column.name}", gap=2)


def _bars(counts: Sequence[int], titles: Sequence[str], label: str, gap: float) -> str:
    highest = max(counts, default=0)
    if not highest:
        return ""
    step = min(_WIDTH / len(counts), 28.0)
    bars = []
    for place, (count, title) in enumerate(zip(counts, titles, strict=True)):
        # What is there at all is seen.
        height = max(1.5, count / highest * (_HEIGHT - 2)) if count else 0.0
        x, y = place * step, _HEIGHT - height
        # The whole column takes the pointer, so that a low bar's numbers can be found.
        bars.append(
            f"<g><title>{escape(title)}</title>"
            f'<rect class="hit" x="{x:.2f}" y="0" width="{step:.2f}" height="{_HEIGHT}"/>'
            f'<rect class="bar" x="{x:.2f}" y="{y:.2f}" width="{max(0.6, step - gap):.2f}" height="{height:.2f}"/></g>'
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{"".join(bars)}<line x1="0" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}"/></svg>'
    )


def number_text(value: float, column: ColumnStatistics) -> str:
    """A number of a column as people read it; days and milliseconds become dates and times."""
    try:
        if column.type == "date":
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=value)).date().isoformat()
        if column.type == "timestamp":
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)).strftime("%Y-%m-%d %H:%M")
    except OverflowError:
        return f"{value:.4g}"
    return text_of(value)


def text_of(value: object) -> str:
    """A value as people read it: thousands apart, six significant digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.6g}" if 1e-4 <= abs(value) < 1e9 or value != value else f"{value:.4g}"
    if isinstance(value, (int, float)):
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.6g}"
    return str(value) if value != "" else "''"
