"""A feature set's report is one page that shows everything and runs nothing."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.tables.charts import distribution, number_text, text_of
from airflow_provider_mlfeat.tables.checks import parse_checks, run_checks
from airflow_provider_mlfeat.tables.feature_sets import FeatureSet, FeatureSetMetadata
from airflow_provider_mlfeat.tables.report import render_report, write_report
from airflow_provider_mlfeat.tables.sql_html import highlight_sql
from airflow_provider_mlfeat.tables.statistics import ColumnStatistics, collect_statistics, type_words

EVIL = "</code></td><script>alert('x')</script>&\""
VOID = {"meta", "line", "rect"}


class Page(HTMLParser):
    """Checks nesting, and keeps texts and tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def rows() -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "amount": random.normal(size=500),
            "kind": pa.array(random.choice(["a", "b", EVIL], 500)),
            EVIL: pa.array(random.integers(0, 3, 500), mask=random.random(500) < 0.25),
            "day": pa.array(random.integers(18_000, 19_000, 500).astype(np.int32)).cast(pa.date32()),
            "at": pa.array(random.integers(0, 10**12, 500)).cast(pa.timestamp("ms")),
            "flag": random.random(500) < 0.5,
            "nothing": pa.nulls(500, pa.float64()),
            "wild": pa.array([float("nan"), float("inf")] * 250),
        }
    )


def feature_set(table: pa.Table, sql: str = "SELECT 1") -> FeatureSet:
    metadata = FeatureSetMetadata(sql, "p" * 64, {"t": "version 3", EVIL: EVIL}, details={"run": EVIL})
    statistics = collect_statistics(table.to_batches(), table.schema)
    columns = tuple((field.name, type_words(field.type)) for field in table.schema)
    committed = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    return FeatureSet("features", "jd", "/tables/jd", 4, table.num_rows, columns, metadata, statistics, committed)


def test_facts_and_columns_are_there() -> None:
    page = Page(render_report(feature_set(rows())))
    for text in (
        "features.jd@4",
        "500",
        "p" * 64,
        "version 3",
        "2024-05-01 12:30:00 UTC",
        "amount",
        "timestamp",
        "NaN",
    ):
        assert text in page.text
    assert page.tags.count("svg") == 7, "one picture a column, and none for a column of NULLs"
    assert page.tags.count("h2") == 3


def test_everything_is_escaped() -> None:
    table = rows()
    checks = parse_checks([{"check": "allowed_values", "column": "kind", "values": ["a"]}])
    report = run_checks(table.to_batches(), table.schema, checks)
    page = render_report(feature_set(table, f"SELECT '{EVIL}' -- {EVIL}"), report)
    assert "<script" not in page
    assert "alert(&#x27;x&#x27;)" in page
    assert "script" not in Page(page).tags


def test_the_page_needs_nothing_else() -> None:
    page = Page(render_report(feature_set(rows())))
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href"} & {name for name, _ in page.attributes}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert "prefers-color-scheme: dark" in page.text


def test_checks_are_shown() -> None:
    table = rows()
    documents = [{"check": "row_count", "minimum": 1_000}, {"check": "nulls", "column": EVIL, "severity": "warning"}]
    page = Page(
        render_report(feature_set(table), run_checks(table.to_batches(), table.schema, parse_checks(documents)))
    )
    for text in ("Checks", "FAILED", "warning", "500 rows", "at least 1000 rows"):
        assert text in page.text


def test_a_set_without_rows_or_inputs(tmp_path: Path) -> None:
    made = feature_set(rows().slice(0, 0))
    target = write_report(made, tmp_path / "deep" / "report.html")
    page = Page(target.read_text())
    assert "svg" not in page.tags
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]


def test_bars_are_as_high_as_their_counts() -> None:
    column = collect_statistics([pa.record_batch({"k": ["a"] * 38 + ["b"] * 19})], pa.schema({"k": pa.string()}))[0]
    picture = distribution(column)
    assert '<title>a: 38</title><rect class="hit"' in picture
    assert 'height="38.00"' in picture
    assert 'height="19.00"' in picture
    assert Page(picture).tags.count("g") == 2


def test_a_column_of_ids_has_no_picture() -> None:
    column = collect_statistics(
        [pa.record_batch({"k": [f"user {n}" for n in range(99)]})], pa.schema({"k": pa.string()})
    )
    assert distribution(column[0]) == ""


def test_numbers_for_people() -> None:
    texts = [
        text_of(value) for value in (None, True, 1_234_567, 0.1, 1234.5678, 1e-7, 1e20, float("nan"), float("inf"), "")
    ]
    assert texts == ["", "true", "1,234,567", "0.1", "1,234.57", "1e-07", "1e+20", "nan", "inf", "''"]
    moment, day = (ColumnStatistics("c", type_, 1, 0) for type_ in ("timestamp", "date"))
    assert number_text(1_590_115_420_000, moment) == "2020-05-22 02:43"
    assert number_text(18_404, day) == "2020-05-22"
    assert number_text(1e300, moment) == "1e+300"


def test_sql_is_highlighted() -> None:
    text = "SELECT sum(`a`) OVER w, 'it''s', 1.5 -- why\nFROM t"
    assert highlight_sql(text) == (
        '<b>SELECT</b> <span class="sql-call">sum</span>(<span class="sql-name">`a`</span>) <b>OVER</b> w, '
        '<span class="sql-text">&#x27;it&#x27;&#x27;s&#x27;</span>, <span class="sql-number">1.5</span> '
        '<span class="sql-comment">-- why</span>\n<b>FROM</b> t'
    )


@pytest.mark.parametrize("text", ["", "'open", "/* open", "`open", '"a\\"b" "', "select a<b and c>'<'", "ünï 3x 0x1F"])
def test_highlighting_changes_no_text(text: str) -> None:
    assert Page(highlight_sql(text)).text == text


def test_a_browser_shows_it(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium here; apt-get install chromium brings it")
    target = write_report(feature_set(rows()), tmp_path / "report.html")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    options += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'browser'}",
    ]
    command = [browser, *options, "--dump-dom", target.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert Page(done.stdout).tags.count("svg") == 7
