"""A feature set's report: one HTML page that needs nothing but itself, and runs nothing.

It has the facts of the version, the SQL, and a row per column with a picture of its values. Every text of the data and
of the SQL is escaped; the page asks browsers to run no script and to load nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.tables.charts import distribution, has_frequent_values, number_text, text_of
from airflow_provider_mlfeat.tables.checks import CheckReport
from airflow_provider_mlfeat.tables.feature_sets import FeatureSet
from airflow_provider_mlfeat.tables.sql_html import highlight_sql
from airflow_provider_mlfeat.tables.statistics import ColumnStatistics

_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_LISTED = 8


def render_report(feature_set: FeatureSet, checks: CheckReport | None = None) -> str:
    """The page of a version, with the results of its checks when there are any."""
    sections = [_facts(feature_set), _inputs(feature_set), *([_checks(checks)] if checks else [])]
    sections += [_columns(feature_set), _sql(feature_set)]
    return html_page("Feature set", feature_set.reference, sections)


def html_page(kind: str, title: str, sections: Iterable[str]) -> str:
    """A page that needs nothing but itself, and runs nothing.

    :param kind: what it is about, above the title.
    :param title: its name, as text.
    :param sections: what is on it, as HTML.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body><header><p class="kind">{escape(kind)}</p><h1>{escape(title)}</h1></header>'
        f"<main>{''.join(sections)}</main></body></html>\n"
    )


def write_report(feature_set: FeatureSet, path: str | Path, checks: CheckReport | None = None) -> Path:
    """Write the page to a file, in one step."""
    target = Path(path)
    with files.staged_file(target) as staging:
        staging.write_text(render_report(feature_set, checks), encoding="utf-8")
    return target


def _facts(feature_set: FeatureSet) -> str:
    metadata = feature_set.metadata
    facts = [
        ("rows", f"{feature_set.rows:,}"),
        ("columns", f"{len(feature_set.columns):,}"),
        ("version", str(feature_set.version)),
        ("engine", metadata.engine + (f" ({metadata.dialect} SQL)" if metadata.dialect != "feature" else "")),
        ("written", feature_set.committed_at.strftime("%Y-%m-%d %H:%M:%S UTC")),
    ]
    if feature_set.rows_of is not None:
        facts.append(("rows of", f"version {feature_set.rows_of}"))
    tiles = "".join(f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>" for name, text in facts)
    long = [("plan", metadata.plan_id), ("place", feature_set.uri), *metadata.details.items()]
    lines = "".join(f"<tr><th>{escape(name)}</th><td><code>{escape(text)}</code></td></tr>" for name, text in long)
    return f'<dl class="tiles">{tiles}</dl><table class="plain">{lines}</table>'


def _inputs(feature_set: FeatureSet) -> str:
    inputs = sorted(feature_set.metadata.inputs.items())
    if not inputs:
        return ""
    lines = "".join(f"<tr><th>{escape(table)}</th><td><code>{escape(at)}</code></td></tr>" for table, at in inputs)
    return f'<h2>Read from</h2><table class="plain">{lines}</table>'


def _checks(checks: CheckReport) -> str:
    lines = "".join(
        f'<tr><td class="state {one.state.lower()}">{one.state}</td><th>{escape(one.name)}</th>'
        f"<td>{escape(one.found)}</td><td>{escape(one.expected)}</td></tr>"
        for one in checks.results
    )
    return f'<h2>Checks</h2><div class="wide"><table class="plain">{lines}</table></div>'


def _columns(feature_set: FeatureSet) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("column", "values", "NULL", "distinct"))
    head += "".join(f'<th class="number">{name}</th>' for name in ("min", "median", "mean", "max"))
    rows = "".join(_column(column) for column in feature_set.statistics)
    return (
        f'<h2>Columns</h2><div class="wide"><table class="columns"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _column(column: ColumnStatistics) -> str:
    median = next((number_text(value, column) for share, value in column.quantiles if share == 0.5), "")
    mean = "" if column.mean is None else text_of(float(column.mean))
    cells = [
        f'<th scope="row"><span class="name">{escape(column.name)}</span>'
        f'<span class="type">{escape(column.type)}</span></th>',
        f"<td>{distribution(column)}{_top(column)}</td>",
        f"<td>{_nulls(column)}</td>",
        f"<td>{_distinct(column)}</td>",
        *(_cell(text) for text in (text_of(column.min), median, mean, text_of(column.max))),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _cell(text: str) -> str:
    shown = text if len(text) <= 24 else text[:23] + "…"
    return f'<td class="number" title="{escape(text)}">{escape(shown)}</td>'


def _nulls(column: ColumnStatistics) -> str:
    share = column.nulls / column.rows if column.rows else 0.0
    text = "none" if not column.nulls else f"{_share(share)}"
    bar = f'<span class="share"><i style="width:{share * 100:.1f}%"></i></span>' if column.nulls else ""
    nans = f'<span class="type">{column.nans:,} NaN</span>' if column.nans else ""
    return f'<span title="{column.nulls:,} of {column.rows:,} rows">{text}</span>{bar}{nans}'


def _distinct(column: ColumnStatistics) -> str:
    if column.distinct is None:
        return ""
    return f"{column.distinct:,}" if column.distinct_is_exact else f"≈ {column.distinct:,}"


def _top(column: ColumnStatistics) -> str:
    """The most frequent values, folded away."""
    if not has_frequent_values(column):
        return ""
    about = "" if column.distinct_is_exact else "≥ "
    lines = "".join(
        f"<tr><td>{escape(text_of(value))}</td><td>{about}{count:,}</td><td>{_share(count / column.rows)}</td></tr>"
        for value, count in _first(column.top)
    )
    return f"<details><summary>top values</summary><table>{lines}</table></details>"


def _first(top: Iterable[tuple[bool | int | float | str, int]]) -> list[tuple[bool | int | float | str, int]]:
    return list(top)[:_LISTED]


def _share(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.001 else f"{share * 100:.1f} %"


def _sql(feature_set: FeatureSet) -> str:
    return f'<h2>SQL</h2><pre class="sql"><code>{highlight_sql(feature_set.metadata.sql.strip())}</code></pre>'
