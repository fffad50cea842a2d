"""What the rules look at: the candidate's scores, the rows behind them, and the champion on the same rows."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_mlfeat.dataset.folder import Dataset
    from airflow_provider_mlfeat.registry.versions import Version
    from airflow_provider_mlfeat.training.evaluation.intervals import Intervals
    from airflow_provider_mlfeat.training.evaluation.metrics import Metrics
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

log = logging.getLogger("mlfeat.job")
Scores = npt.NDArray[np.float32]
_BATCH = 65_536


@dataclass(frozen=True)
class Champion:
    """The model in use.

    :param version: of the registered model.
    :param model: its folder on this machine.
    """

    version: Version
    model: TrainedModel


@dataclass(frozen=True)
class Evidence:
    """The evaluation of a candidate, and what it can be compared with.

    :param model: the candidate.
    :param evaluation: what ``evaluation.json`` says.
    :param labels: of the evaluated rows.
    :param scores: the candidate's.
    :param baselines: scores of baselines of the same rows, by name.
    :param dataset: the evaluated dataset; needed for champions and slices.
    :param champion: the model in use, where there is one.
    """

    model: TrainedModel
    evaluation: dict[str, Any]
    labels: npt.NDArray[np.float32]
    scores: Scores
    baselines: dict[str, Scores] = field(default_factory=dict)
    dataset: Dataset | None = None
    champion: Champion | None = None

    @cached_property
    def metrics(self) -> Metrics:
        """Computed from the scores, whatever the evaluation says."""
        from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics

        return compute_metrics(self.labels, self.scores)

    @cached_property
    def intervals(self) -> Intervals:
        """95 % confidence intervals of the metrics."""
        from airflow_provider_mlfeat.training.evaluation.counts import count_scores
        from airflow_provider_mlfeat.training.evaluation.intervals import confidence_intervals

        return confidence_intervals(count_scores(self.labels, self.scores))

    @cached_property
    def features(self) -> pa.Table:
        """The raw features of the evaluated rows, in their order."""
        if self.dataset is None:
            raise UserError("slices and champions need the rows behind the scores: give the dataset")
        return self.dataset.features(self.evaluation["split"])

    @cached_property
    def champion_scores(self) -> Scores:
        """The champion's scores of the same rows, by its own encoder; raises UserError where it cannot score them."""
        assert self.champion is not None
        champion = self.champion.model
        lacking = [column for column in champion.encoder.columns if column not in self.features.column_names]
        if lacking:
            raise UserError(
                f"champion version {self.champion.version.number} reads feature '{lacking[0]}', which the dataset lacks"
            )
        log.info("scoring %d rows with champion version %d", len(self.labels), self.champion.version.number)
        scores = []
        for batch in self.features.to_batches(max_chunksize=_BATCH):
            encoded = champion.encoder.encode(batch)
            scores.append(champion.predict(encoded.ids, encoded.values))
        return np.concatenate(scores) if scores else np.zeros(0, np.float32)


def read_evidence(
    model: TrainedModel, evaluation: Path, dataset: Dataset | None = None, champion: Champion | None = None
) -> Evidence:
    """The evidence in an evaluation's folder; raises UserError when it is of another model or of other data.

    :param model: the candidate.
    :param evaluation: folder of its evaluation.
    :param dataset: that was evaluated.
    :param champion: the model in use.
    """
    document = _read_document(evaluation)
    if document["model_fingerprint"] != model.manifest.fingerprint:
        raise UserError(
            f"the evaluation {evaluation} is of model {document['model_fingerprint'][:12]}, and the model is "
            f"{model.manifest.fingerprint[:12]}: evaluate this model"
        )
    if dataset is not None and document["dataset_fingerprint"] != dataset.manifest.fingerprint:
        raise UserError(
            f"the evaluation {evaluation} is of dataset {document['dataset_fingerprint'][:12]}, and the dataset given "
            f"is {dataset.manifest.fingerprint[:12]}"
        )
    labels, scores, baselines = _read_scores(evaluation, document)
    if dataset is not None:
        known = np.asarray(dataset.split(document["split"]).labels)
        if not np.array_equal(known, labels):
            raise UserError(f"the labels in {evaluation} are not those of split '{document['split']}' of the dataset")
    return Evidence(model, document, labels, scores, baselines, dataset, champion)


def _read_document(folder: Path) -> dict[str, Any]:
    path = folder / "evaluation.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} is no evaluation: it has no evaluation.json") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    missing = [name for name in ("model_fingerprint", "dataset_fingerprint", "split") if name not in document]
    if missing:
        raise UserError(f"{path} lacks '{missing[0]}': evaluate the model again")
    return document


def _read_scores(folder: Path, document: dict[str, Any]) -> tuple[npt.NDArray[np.float32], Scores, dict[str, Scores]]:
    """Labels, scores, and the scores of the baselines that are known row by row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "scores.parquet"
    try:
        table = pq.read_table(path)
        columns = {name: table.column(name).to_numpy().astype(np.float32) for name in ("label", "score")}
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} holds no scores: {error}") from None
    labels, scores = columns["label"], columns["score"]
    if not np.isfinite(scores).all():
        raise UserError(f"{path}: the score of row {int(np.flatnonzero(~np.isfinite(scores))[0])} is no number")
    baselines = {}
    for name, said in (document.get("baselines") or {}).items():
        if name in table.column_names:
            baselines[name] = table.column(name).to_numpy().astype(np.float32)
        elif name == "constant" and _mean_score(said) is not None:
            baselines[name] = np.full(len(labels), _mean_score(said), np.float32)
    return labels, scores, baselines


def _mean_score(said: dict[str, Any]) -> float | None:
    value = said.get("metrics", said).get("mean_score")
    return None if value is None else float(value)
