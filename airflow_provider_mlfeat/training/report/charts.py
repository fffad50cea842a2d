"""Charts as inline SVG: lines over two axes, and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 34
_COLOURS = ("a", "b", "c", "d")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    :param name: shown in the legend.
    :param points: x and y.
    :param marks: draw a dot at each point.
    """

    name: str
    points: Points
    marks: bool = False


def line_chart(
    title: str,
    lines: Sequence[Line],
    x_name: str,
    y_name: str,
    *,
    unit_square: bool = False,
    diagonal: bool = False,
    from_zero: bool = False,
) -> str:
    """A chart of lines; '' where there is nothing to draw.

    :param title: above the chart.
    :param lines: what is drawn; lines without points are left out.
    :param x_name: of the horizontal axis.
    :param y_name: of the vertical axis.
    :param unit_square: both axes go from 0 to 1.
    :param diagonal: draw where x equals y.
    :param from_zero: the vertical axis begins at 0.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    points = [point for line in lines for point in line.points if math.isfinite(point[1])]
    x_range = (0.0, 1.0) if unit_square else _range([x for x, _ in points])
    y_range = (0.0, 1.0) if unit_square else _range([y for _, y in points], from_zero=from_zero)
    plane = _Plane(x_range, y_range)
    drawn = [plane.axes(x_name, y_name)]
    if diagonal:
        low, high = max(x_range[0], y_range[0]), min(x_range[1], y_range[1])
        drawn.append(plane.line(((low, low), (high, high)), "guide"))
    for line, colour in zip(lines, _COLOURS * len(lines), strict=False):
        drawn.append(plane.line(line.points, colour))
        if line.marks or len(line.points) <= 2:
            drawn += [plane.dot(point, colour, line.name) for point in line.points]
    legend = "".join(
        f'<span class="key {colour}">{escape(line.name)}</span>'
        for line, colour in zip(lines, _COLOURS * len(lines), strict=False)
    )
    return _figure(title, "".join(drawn), legend if len(lines) > 1 else "")


def bar_chart(title: str, edges: Sequence[float], series: Sequence[tuple[str, Sequence[int]]], x_name: str) -> str:
    """Histograms over the same bins, one in front of the other, each as a share of its own rows."""
    shares = [(name, [count / max(sum(counts), 1) for count in counts]) for name, counts in series]
    highest = max((share for _, values in shares for share in values), default=0.0)
    if not highest:
        return ""
    plane = _Plane((edges[0], edges[-1]), (0.0, highest * 1.05))
    drawn = [plane.axes(x_name, "share of the class")]
    for (name, values), (_, counts), colour in zip(shares, series, _COLOURS, strict=False):
        drawn += [
            plane.bar(edges[place], edges[place + 1], share, colour, f"{name}: {counts[place]:,} rows")
            for place, share in enumerate(values)
            if share
        ]
    legend = "".join(
        f'<span class="key {colour}">{escape(name)}</span>' for (name, _), colour in zip(series, _COLOURS, strict=False)
    )
    return _figure(title, "".join(drawn), legend)


def ranking(title: str, rows: Sequence[tuple[str, float]], unit: str) -> str:
    """Names with horizontal bars, as a table: long names stay readable."""
    if not rows:
        return ""
    longest = max(abs(value) for _, value in rows) or 1.0
    lines = "".join(
        f'<tr><th>{escape(name)}</th><td class="number">{value:+.4f}</td><td><span class="share wider">'
        f'<i style="width:{max(0.0, value) / longest * 100:.1f}%"></i></span></td></tr>'
        for name, value in rows
    )
    return (
        f'<figure class="tall"><figcaption>{escape(title)} <small>{escape(unit)}</small></figcaption>'
        f'<table class="plain">{lines}</table></figure>'
    )


@dataclass(frozen=True, slots=True)
class _Plane:
    """From numbers to places in the picture.

    :param x_range: what the horizontal axis spans.
    :param y_range: what the vertical axis spans.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def line(self, points: Points, colour: str) -> str:
        places = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points if math.isfinite(y))
        return f'<polyline class="{colour}" points="{places}"/>'

    def dot(self, point: tuple[float, float], colour: str, name: str) -> str:
        x, y = point
        if not math.isfinite(y):
            return ""
        told = f"<title>{escape(name)}: {x:.6g}, {y:.6g}</title>"
        return f'<circle class="{colour}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3">{told}</circle>'

    def bar(self, low: float, high: float, value: float, colour: str, told: str) -> str:
        left, right, top = self.x(low), self.x(high), self.y(value)
        height = _HEIGHT - _BOTTOM - top
        return (
            f'<rect class="{colour}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left - 0.5, 0.5):.1f}" '
            f'height="{height:.1f}"><title>{escape(told)}</title></rect>'
        )

    def axes(self, x_name: str, y_name: str) -> str:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        drawn = [
            f'<text x="{self.x(value):.1f}" y="{bottom + 14}" text-anchor="middle">{_short(value)}</text>'
            for value in _ticks(self.x_range)
        ]
        for value in _ticks(self.y_range):
            place = self.y(value)
            drawn.append(f'<line x1="{_LEFT}" y1="{place:.1f}" x2="{right}" y2="{place:.1f}"/>')
            drawn.append(f'<text x="{_LEFT - 5}" y="{place + 3.5:.1f}" text-anchor="end">{_short(value)}</text>')
        middle = (_TOP + bottom) / 2
        drawn.append(
            f'<text x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>'
        )
        drawn.append(
            f'<text transform="translate(11 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
        )
        return "".join(drawn)


def _figure(title: str, drawn: str, legend: str) -> str:
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{drawn}</svg>'
        f'<div class="legend">{legend}</div></figure>'
    )


def _range(values: Sequence[float], *, from_zero: bool = False) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if from_zero:
        low = min(low, 0.0)
    room = (high - low) * 0.05 or max(abs(high) * 0.05, 0.5)
    return (low if from_zero else low - room), high + room


def _ticks(span: tuple[float, float]) -> list[float]:
    """Round numbers inside a range, about five of them."""
    low, high = span
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(value: float) -> str:
    """A tick's number in a few characters: 250000 is 250k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
