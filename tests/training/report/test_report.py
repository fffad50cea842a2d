"""The page is well-formed, safe and complete; the pictures are pictures."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from airflow_provider_mlfeat.training.evaluation.counts import count_scores
from airflow_provider_mlfeat.training.evaluation.curves import curves_of
from airflow_provider_mlfeat.training.evaluation.importance import Importance, permutation_importance
from airflow_provider_mlfeat.training.evaluation.judgement import judge_split
from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.report.charts import Line, line_chart
from airflow_provider_mlfeat.training.report.content import ReportContent
from airflow_provider_mlfeat.training.report.page import render_report
from airflow_provider_mlfeat.training.report.pictures import draw_pictures
from airflow_provider_mlfeat.training.reporting import Silence


class Balance(HTMLParser):
    """Complains of tags that are not closed where they have to be, and collects what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def content() -> ReportContent:
    random = np.random.default_rng(0)
    scores = (1 / (1 + np.exp(-random.normal(-3, 1.5, 4_000)))).astype(np.float32)
    labels = (random.random(4_000) < scores).astype(np.float32)
    epochs = [
        {"epoch": place, "train_loss": 0.4 / place, "valid_auc": 0.7 + place / 50, "valid_logloss": 0.5 / place}
        | {"rows_per_second": 1e5, "seconds": 1.0}
        for place in range(1, 6)
    ]
    return ReportContent(
        kind="Trained model",
        title="deepfm <b>@1</b>",
        tiles=[("AUC", "0.81"), ("epochs", "5")],
        facts=[("dataset", "/data/<script>alert(1)</script>")],
        judgements={"test": judge_split(labels, scores, intervals=True), "valid": judge_split(labels, scores)},
        epochs=epochs,
        best_epoch=5,
        baselines={"constant": judge_split(labels, np.full(4_000, 0.1, np.float32)).metrics},
        importance=[Importance("price $x$", 0.2), Importance("age", -0.01)],
        slices={"sex": [{"value": "<f>", "rows": 10, "positives": 2, "auc": 0.5}]},
        splits={"train": {"rows": 10_000, "positives": 500}},
        settings={"hidden_layers": [400, 400]},
    )


def test_the_page_is_whole_and_runs_nothing(content: ReportContent) -> None:
    page = render_report(content)
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.seen.count("svg") == 3 + 2 * 4
    assert "script" not in parser.seen
    assert "&lt;script&gt;" in page
    assert "deepfm &lt;b&gt;@1&lt;/b&gt;" in page
    assert "Content-Security-Policy" in page
    for text in ("calibration_slope", "+0.2000", "By sex", "&lt;f&gt;", "10,000 rows, 500 positive (5.000%)"):
        assert text in page, text
    assert "nan" not in page.replace("tenant", "")


def test_there_is_a_picture_per_chart(content: ReportContent, tmp_path: Path) -> None:
    made = draw_pictures(content, tmp_path)
    parts = ("roc", "precision_recall", "calibration", "scores")
    expected = {"loss", "auc", "throughput", "importance", *(f"{s}_{p}" for s in ("test", "valid") for p in parts)}
    assert set(made) == {f"{name}.png" for name in expected}
    for name in made:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "again"
    again.mkdir()
    draw_pictures(content, again)
    assert all((again / name).read_bytes() == (tmp_path / name).read_bytes() for name in made)


def test_an_evaluation_without_epochs_shows_what_it_has(content: ReportContent, tmp_path: Path) -> None:
    bare = replace(content, epochs=(), importance=(), slices={}, baselines={}, settings={}, splits={})
    assert "<h2>Training" not in render_report(bare)
    assert "loss.png" not in draw_pictures(bare, tmp_path)


def test_one_class_and_one_score_are_drawn_too() -> None:
    one_class = judge_split(np.zeros(5), np.full(5, 0.25, np.float32))
    page = render_report(ReportContent("Evaluation", "t", [], [], {"test": one_class}))
    assert "ROC, area" not in page
    assert "Scores" in page
    assert line_chart("none", [Line("a", ())], "x", "y") == ""
    assert "polyline" in line_chart("flat", [Line("a", [(1, 0.5), (2, 0.5)])], "x", "y")


def test_curves_are_the_definitions() -> None:
    labels, scores = np.array([1, 1, 0, 1, 0]), np.array([0.9, 0.8, 0.8, 0.3, 0.1])
    curves = curves_of(count_scores(labels, scores))
    np.testing.assert_allclose(curves.roc, [(0, 0), (0, 1 / 3), (0.5, 2 / 3), (0.5, 1), (1, 1)])
    # The recall of 2/3 is reached at a tie: one point for two rows; what comes after all are found is not drawn.
    np.testing.assert_allclose(curves.precision_recall, [(1 / 3, 1), (2 / 3, 2 / 3), (1, 3 / 4)])
    assert sum(curves.histogram.positives) == 3
    assert sum(curves.histogram.negatives) == 2
    assert sum(curves.calibration_rows) == 5


def test_importance_finds_the_field_that_decides() -> None:
    random = np.random.default_rng(1)
    ids = random.integers(0, 4, (3_000, 3)).astype(np.int32)
    values = random.normal(size=(3_000, 1)).astype(np.float32)
    odds = (ids[:, 1] - 1.5) * 2 + values[:, 0] * 0.5

    def predict(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
        return (1 / (1 + np.exp(-((ids[:, 1] - 1.5) * 2 + values[:, 0] * 0.5)))).astype(np.float32)

    labels = (random.random(3_000) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    rows = Examples(ids, values, labels)
    names, values_of = ("noise", "main", "tags"), ("price",)
    found = permutation_importance(predict, rows, names, values_of, Silence(), Silence())
    assert [one.field for one in found[:2]] == ["main", "price"]
    assert found[0].auc_lost > 0.2 > found[1].auc_lost > 0.005
    assert {one.field: one.auc_lost for one in found}["noise"] == 0
    together = permutation_importance(predict, rows, ("tags", "main", "tags"), values_of, Silence(), Silence())
    assert [one.field for one in together].count("tags") == 1
    one_class = Examples(ids, values, np.zeros(3_000, np.float32))
    assert permutation_importance(predict, one_class, names, values_of, Silence(), Silence()) == ()
