"""A dataset's page."""

from __future__ import annotations

import html.parser
from pathlib import Path

import pyarrow as pa

from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.report import render_report
from tests.dataset.tables import visits
from tests.dataset.test_build import FIELDS, build, request


class Reader(html.parser.HTMLParser):
    """Checks that every element ends, and keeps the rows of all tables."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        if tag not in ("meta", "br", "line", "rect"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_it_says_what_the_dataset_holds(tmp_path: Path) -> None:
    shops = visits().column("shop").to_pylist()
    late = [shop if row < 1_800 else "new" for row, shop in enumerate(shops)]
    table = visits().set_column(3, "shop", pa.array(late))
    manifest = build(tmp_path, request("time", time="at"), table).manifest
    shop = next(field for field in manifest.fields if field["name"] == "shop")
    assert shop["unknown"] == {"train": 0.0, "valid": 0.0, "test": 1.0}
    assert shop["null"]["train"] == round(shops[:1_600].count(None) / 1_600, 6)
    (warning,) = manifest.warnings
    assert warning.endswith("say little about new rows: 'shop' (100%)")
    page = (tmp_path / "dataset" / "report.html").read_text(encoding="utf-8")
    assert page == render_report(manifest)
    rows = {row[0]: row[1:] for row in read(page).rows if row}
    positives = manifest.positives["train"]
    assert rows["train"] == ["1,600", "80.0 %", str(positives), f"{positives / 16:.1f} %"]
    assert rows["shop"][0] == "vocabulary"
    assert rows["shop"][-1] == "100.0 %"
    assert rows["items"] == ["value", *[""] * 7]
    assert "valid from 2026-01-" in page


def test_it_runs_and_loads_nothing(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    table = visits().append_column(name, visits().column("shop"))
    fields = (*FIELDS, Field(name, name, "vocabulary"))
    manifest = build(tmp_path, request("random", fields=fields), table).manifest
    page = render_report(manifest)
    assert "default-src 'none'" in page
    assert any(row and row[0] == name for row in read(page).rows)
