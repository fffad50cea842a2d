"""What a report shows, whoever draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_mlfeat.training.evaluation.importance import Importance
from airflow_provider_mlfeat.training.evaluation.judgement import SplitJudgement
from airflow_provider_mlfeat.training.evaluation.metrics import Metrics
from airflow_provider_mlfeat.training.report.charts import Line

# Key of an epoch's record → name in the legend, per chart.
_LOSSES = {"train_loss": "training", "valid_logloss": "validation"}
_AUCS = {"train_auc": "training", "valid_auc": "validation"}
_THROUGHPUT = {"rows_per_second": "rows/s"}


@dataclass(frozen=True)
class ReportContent:
    """A report.

    :param kind: what it is about: ``Trained model`` or ``Evaluation``.
    :param title: of the page.
    :param tiles: the facts to see first.
    :param facts: further facts, with long values.
    :param judgements: by split, the most important first.
    :param epochs: records of a run's epochs; those of an evaluation are none.
    :param best_epoch: which epoch was kept.
    :param epoch_name: what the run counts: ``epoch`` or ``tree``.
    :param baselines: by name; what the first split's metrics have to beat.
    :param importance: of the fields, the greatest first.
    :param slices: by column.
    :param splits: rows and positives of each split.
    :param settings: what the model was trained with.
    """

    kind: str
    title: str
    tiles: Sequence[tuple[str, str]]
    facts: Sequence[tuple[str, str]]
    judgements: Mapping[str, SplitJudgement]
    epochs: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    epoch_name: str = "epoch"
    baselines: Mapping[str, Metrics] = field(default_factory=dict)
    importance: Sequence[Importance] = ()
    slices: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def losses(self) -> list[Line]:
        """Loss per epoch."""
        return self._per_epoch(_LOSSES)

    def aucs(self) -> list[Line]:
        """AUC per epoch."""
        return self._per_epoch(_AUCS)

    def throughput(self) -> list[Line]:
        """Rows per second per epoch."""
        return self._per_epoch(_THROUGHPUT)

    def _per_epoch(self, names: Mapping[str, str]) -> list[Line]:
        few = len(self.epochs) <= 40
        return [
            Line(name, [(float(one["epoch"]), float(one[key])) for one in self.epochs if key in one], marks=few)
            for key, name in names.items()
        ]
