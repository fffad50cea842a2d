"""The charts of a report as PNG files, for places that show pictures: MLflow, chats, slides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.training.report.content import ReportContent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#2f6fde", "#d1690e", "#1f7a45", "#8d4fc4")
_SHOWN_FIELDS = 30


def draw_pictures(content: ReportContent, folder: Path) -> tuple[str, ...]:
    """Write a PNG per chart that has something to show; their names."""
    made: list[str] = []
    training = (
        ("loss", content.losses(), "logloss"),
        ("auc", content.aucs(), "AUC"),
        ("throughput", content.throughput(), "rows/s"),
    )
    for name, lines, y_name in training:
        if any(line.points for line in lines):
            with _picture(folder, name, made) as axes:
                for line, colour in zip(lines, _COLOURS, strict=False):
                    if line.points:
                        axes.plot(*zip(*line.points, strict=True), color=colour, label=line.name, marker=_mark(line))
                _label(axes, content.epoch_name, y_name, legend=len(lines) > 1)
    for split, judgement in content.judgements.items():
        _draw_curves(split, judgement, folder, made)
    if content.importance:
        with _picture(folder, "importance", made) as axes:
            shown = list(reversed(content.importance[:_SHOWN_FIELDS]))
            axes.barh([_plain(one.field) for one in shown], [one.auc_lost for one in shown], color=_COLOURS[0])
            axes.tick_params(axis="y", labelsize=6)
            _label(axes, "AUC lost when a field's values are shuffled", "")
    return tuple(made)


def _draw_curves(split: str, judgement: Any, folder: Path, made: list[str]) -> None:
    curves = judgement.curves
    for name, points, x_name, y_name in (
        ("roc", curves.roc, "false positive rate", "true positive rate"),
        ("precision_recall", curves.precision_recall, "recall", "precision"),
        ("calibration", curves.calibration, "mean score", "share of positives"),
    ):
        if not points:
            continue
        with _picture(folder, f"{split}_{name}", made) as axes:
            axes.plot(*zip(*points, strict=True), color=_COLOURS[0], marker="o" if name == "calibration" else None)
            if name != "precision_recall":
                axes.axline((0, 0), slope=1, color="grey", linestyle="--", linewidth=0.8)
            _label(axes, x_name, y_name)
    histogram = curves.histogram
    with _picture(folder, f"{split}_scores", made) as axes:
        parts = (("label 0", histogram.negatives), ("label 1", histogram.positives))
        for (name, counts), colour in zip(parts, _COLOURS, strict=False):
            shares = [count / max(sum(counts), 1) for count in counts]
            axes.stairs(shares, histogram.edges, fill=True, alpha=0.6, color=colour, label=name)
        _label(axes, "log odds of the score", "share of the class", legend=True)


def _mark(line: Any) -> str | None:
    return "o" if line.marks else None


def _plain(text: str) -> str:
    """A name as it is: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def _label(axes: Axes, x_name: str, y_name: str, *, legend: bool = False) -> None:
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(frameon=False)


@contextmanager
def _picture(folder: Path, name: str, made: list[str]) -> Iterator[Axes]:
    # The object form of matplotlib: no global state, no window system, safe in a server.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(name.replace("_", " "))
    yield axes
    with files.staged_file(folder / f"{name}.png") as staging, staging.open("wb") as file:
        # No date in the file: the same run gives the same bytes.
        canvas.print_png(file, metadata={"Software": None})
    made.append(f"{name}.png")
