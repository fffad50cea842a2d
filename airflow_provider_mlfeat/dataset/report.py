"""A dataset's report: what its splits hold, what became of each column, and how much of it serving will not know."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from airflow_provider_mlfeat.dataset.manifest import Manifest
from airflow_provider_mlfeat.dataset.splits import SPLITS
from airflow_provider_mlfeat.tables.report import html_page

REPORT_FILE = "report.html"
# From here on a field says little about new rows.
MANY_UNKNOWN = 0.2


def render_report(manifest: Manifest) -> str:
    """The page of a dataset."""
    sections = [_facts(manifest), _warnings(manifest), _splits(manifest), _fields(manifest), _dropped(manifest)]
    return html_page("Dataset", str(manifest.feature_set.get("reference", "")), sections)


def _facts(manifest: Manifest) -> str:
    facts = [
        ("rows", f"{sum(manifest.rows.values()):,}"),
        ("positives", _share(sum(manifest.positives.values()) / sum(manifest.rows.values()))),
        ("fields", f"{len(manifest.fields)}"),
        ("values", f"{len(manifest.values)}"),
        ("table rows", f"{sum(one['size'] for one in manifest.fields):,}"),
        ("profile", manifest.profile),
    ]
    tiles = "".join(f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>" for name, text in facts)
    long = [
        ("dataset", manifest.fingerprint),
        ("encoder", manifest.encoder_fingerprint),
        ("plan", manifest.plan_id or "none: the rows came from a file"),
        ("label", manifest.label),
        ("key", ", ".join(manifest.keys) or "none given"),
    ]
    lines = "".join(f"<tr><th>{name}</th><td><code>{escape(text)}</code></td></tr>" for name, text in long)
    return f'<dl class="tiles">{tiles}</dl><table class="plain">{lines}</table>'


def _warnings(manifest: Manifest) -> str:
    if not manifest.warnings:
        return ""
    lines = "".join(
        f'<tr><td class="state warning">warning</td><td>{escape(one)}</td></tr>' for one in manifest.warnings
    )
    return f'<h2>Warnings</h2><div class="wide"><table class="plain">{lines}</table></div>'


def _splits(manifest: Manifest) -> str:
    total = sum(manifest.rows.values())
    lines = "".join(
        _row(
            [f'<th scope="row">{name}</th>'],
            [
                f"{manifest.rows[name]:,}",
                _share(manifest.rows[name] / total),
                f"{manifest.positives[name]:,}",
                _share(manifest.positives[name] / manifest.rows[name]),
            ],
        )
        for name in SPLITS
    )
    head = _head(["split"], ["rows", "of all", "positives", "share"])
    return f"<h2>Splits: {escape(_how(manifest.split))}</h2>{_table(head, lines)}"


def _how(split: Mapping[str, Any]) -> str:
    columns = ", ".join(split["columns"])
    if split["kind"] != "time":
        return f"by {split['kind']}" + (f" of {columns}" if columns else "")
    valid, test = (_moment(one) for one in split["boundaries"])
    return f"by {columns}, valid from {valid}, test from {test}"


def _moment(milliseconds: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)


def _fields(manifest: Manifest) -> str:
    lines = "".join(
        _row(
            [_name(field), f"<td>{escape(field['kind'])}</td>"],
            [f"{field['size']:,}", *(_shares(field, "null", name) for name in SPLITS)],
            [_shares(field, "unknown", name) for name in SPLITS],
        )
        for field in manifest.fields
    )
    lines += "".join(_row([_name(value), f"<td>{escape(value['kind'])}</td>"], [""] * 7) for value in manifest.values)
    numbers = ["size", *(f"NULL, {name}" for name in SPLITS), *(f"unknown, {name}" for name in SPLITS)]
    return f"<h2>Fields</h2>{_table(_head(['field', 'kind'], numbers), lines)}"


def _name(field: Mapping[str, Any]) -> str:
    column = "" if field["column"] == field["name"] else f'<span class="type">of {escape(field["column"])}</span>'
    return f'<th scope="row"><span class="name">{escape(field["name"])}</span>{column}</th>'


def _shares(field: Mapping[str, Any], what: str, split: str) -> str:
    share = float(field[what][split])
    if not share:
        return ""
    mark = ' class="state warning"' if what == "unknown" and split != "train" and share >= MANY_UNKNOWN else ""
    return f"<span{mark}>{_share(share)}</span>"


def _dropped(manifest: Manifest) -> str:
    if not manifest.dropped:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(one["column"])}</th><td>{escape(one["reason"])}</td></tr>'
        for one in manifest.dropped
    )
    return f"<h2>Left out</h2>{_table(_head(['column', 'reason'], []), lines)}"


def _head(texts: Iterable[str], numbers: Iterable[str]) -> str:
    cells = "".join(f"<th>{text}</th>" for text in texts)
    return cells + "".join(f'<th class="number">{text}</th>' for text in numbers)


def _row(cells: Iterable[str], *numbers: Iterable[str]) -> str:
    shown = "".join(f'<td class="number">{text}</td>' for part in numbers for text in part)
    return f"<tr>{''.join(cells)}{shown}</tr>"


def _table(head: str, lines: str) -> str:
    return (
        f'<div class="wide"><table class="columns"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _share(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.001 else f"{share * 100:.1f} %"
