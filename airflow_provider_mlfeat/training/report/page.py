"""A run's report: one HTML page that needs nothing but itself, and runs nothing.

Every text is escaped; the page asks browsers to run no script and to load nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import tables
from airflow_provider_mlfeat.training.evaluation.judgement import SplitJudgement
from airflow_provider_mlfeat.training.evaluation.metrics import METRICS
from airflow_provider_mlfeat.training.report.charts import Line, bar_chart, line_chart, ranking
from airflow_provider_mlfeat.training.report.content import ReportContent

# One look for all reports of the project.
_STYLE = "\n".join(
    (folder / "report.css").read_text(encoding="utf-8")
    for folder in (Path(tables.__file__).parent, Path(__file__).parent)
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SHOWN_FIELDS = 30


def render_report(content: ReportContent) -> str:
    """The page."""
    sections = [
        _facts(content),
        _metrics(content),
        _figures("Training", _training(content)),
        *(_figures(f"Split '{name}'", _curves(one)) for name, one in content.judgements.items()),
        _importance(content),
        _slices(content),
        _splits(content),
        _settings(content),
    ]
    title = escape(content.title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f'<body><header><p class="kind">{escape(content.kind)}</p><h1>{title}</h1></header>'
        f"<main>{''.join(sections)}</main></body></html>\n"
    )


def _facts(content: ReportContent) -> str:
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in content.tiles)
    return f'<dl class="tiles">{tiles}</dl>{_table(content.facts)}'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><th>{escape(name)}</th><td><code>{escape(text)}</code></td></tr>" for name, text in rows)
    return f'<table class="plain">{lines}</table>'


def _metrics(content: ReportContent) -> str:
    """A row per metric, a column per split and per baseline."""
    if not content.judgements:
        return ""
    splits, baselines = content.judgements, content.baselines
    head = "".join(f'<th class="number">{escape(name)}</th>' for name in (*splits, *baselines))
    rows = "".join(
        f'<tr><th scope="row" title="{escape(told)}"><span class="name">{name}</span></th>'
        + "".join(_metric(name, one) for one in splits.values())
        + "".join(f'<td class="number">{_number(baseline.get(name))}</td>' for baseline in baselines.values())
        + "</tr>"
        for name, (told, _) in METRICS.items()
    )
    return (
        f'<h2>Metrics</h2><div class="wide"><table class="columns"><thead><tr><th>metric</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _metric(name: str, judgement: SplitJudgement) -> str:
    interval = judgement.intervals.get(name)
    between = f'<span class="type">{interval[0]:.4f} to {interval[1]:.4f}</span>' if interval else ""
    return f'<td class="number">{_number(judgement.metrics[name])}{between}</td>'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def _training(content: ReportContent) -> list[str]:
    name = content.epoch_name
    return [
        line_chart("Loss", content.losses(), name, "logloss"),
        line_chart("AUC", content.aucs(), name, "AUC"),
        line_chart("Throughput", content.throughput(), name, "rows/s", from_zero=True),
    ]


def _curves(judgement: SplitJudgement) -> list[str]:
    curves, metrics = judgement.curves, judgement.metrics
    highest = max([1e-6, *(value for pair in curves.calibration for value in pair)])
    histogram = curves.histogram
    return [
        line_chart(
            f"ROC, area {_number(metrics['auc'])}",
            [Line("model", curves.roc)],
            *("false positive rate", "true positive rate"),
            unit_square=True,
            diagonal=True,
        ),
        line_chart(
            f"Precision and recall, area {_number(metrics['pr_auc'])}",
            [Line("model", curves.precision_recall)],
            *("recall", "precision"),
            unit_square=True,
        ),
        line_chart(
            f"Calibration, slope {_number(metrics['calibration_slope'])}",
            [Line("model", [(0.0, 0.0), *curves.calibration] if highest < 0.5 else curves.calibration, marks=True)],
            *("mean score", "share of positives"),
            diagonal=True,
        ),
        bar_chart(
            "Scores",
            histogram.edges,
            (("label 0", histogram.negatives), ("label 1", histogram.positives)),
            "log odds of the score",
        ),
    ]


def _figures(title: str, figures: Iterable[str]) -> str:
    drawn = "".join(figures)
    return f'<h2>{escape(title)}</h2><div class="figures">{drawn}</div>' if drawn else ""


def _importance(content: ReportContent) -> str:
    shown = [(one.field, one.auc_lost) for one in content.importance[:_SHOWN_FIELDS]]
    return _figures("Features", [ranking("Importance", shown, "AUC lost when a field's values are shuffled")])


def _slices(content: ReportContent) -> str:
    parts = []
    for column, slices in content.slices.items():
        if not slices:
            continue
        names = list(slices[0])
        head = "".join(f'<th class="{"" if name == "value" else "number"}">{escape(name)}</th>' for name in names)
        rows = "".join(f"<tr>{''.join(_cell(one[name]) for name in names)}</tr>" for one in slices)
        parts.append(
            f'<h2>By {escape(column)}</h2><div class="wide"><table class="columns"><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return "".join(parts)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{_number(value) if isinstance(value, float) or value is None else f"{value:,}"}</td>'


def _splits(content: ReportContent) -> str:
    if not content.splits:
        return ""
    lines = [(name, _split(split)) for name, split in content.splits.items()]
    return f"<h2>Rows</h2>{_table(lines)}"


def _split(split: Mapping[str, int]) -> str:
    rows, positives = split["rows"], split["positives"]
    return f"{rows:,} rows, {positives:,} positive ({positives / max(rows, 1):.3%})"


def _settings(content: ReportContent) -> str:
    if not content.settings:
        return ""
    lines = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in content.settings.items()]
    return f"<h2>Settings</h2>{_table(lines)}"
