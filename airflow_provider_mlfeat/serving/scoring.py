"""Where probabilities come from: ONNX Runtime in this process, or a Triton server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.encoder import Encoder
    from airflow_provider_mlfeat.serving.releases import ModelReference

Floats = npt.NDArray[np.float32]


class Scorer(Protocol):
    """Gives probabilities for encoded rows.

    :param is_local: whether it computes in this process, so that waiting for it elsewhere would gain nothing.
    """

    is_local: bool

    def score(self, ids: npt.NDArray[np.int64], values: Floats) -> Floats:
        """One probability per row; waits."""

    async def score_later(self, ids: npt.NDArray[np.int64], values: Floats) -> Floats:
        """One probability per row; the event loop goes on meanwhile."""

    def close(self) -> None:
        """Give back what is open."""


class OnnxScorer:
    """Runs the model in this process.

    :param model: the model.
    """

    is_local = True

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    def score(self, ids: npt.NDArray[np.int64], values: Floats) -> Floats:
        """One probability per row."""
        return self._model.predict(ids, values)

    async def score_later(self, ids: npt.NDArray[np.int64], values: Floats) -> Floats:
        """The same, at once."""
        return self.score(ids, values)

    def close(self) -> None:
        """Nothing is open."""


class ServedModel:
    """A model as the server uses it: checked, with its encoder.

    :param reference: which model, and where it runs.
    """

    def __init__(self, reference: ModelReference) -> None:
        self.reference = reference
        # One thread: requests run beside each other, not within each other.
        self._model = TrainedModel.open(Path(reference.folder), threads=1)
        if self._model.manifest.fingerprint != reference.fingerprint:
            raise UserError(
                f"{reference.folder} holds model {self._model.manifest.fingerprint[:12]}, and the release names "
                f"{reference.fingerprint[:12]}"
            )
        self._model.check()
        self.scorer: Scorer = self._scorer()
        self._replay()

    @property
    def encoder(self) -> Encoder:
        """What turns features into the model's input."""
        return self._model.encoder

    @property
    def plan_id(self) -> str | None:
        """What the model's features mean."""
        return self._model.manifest.plan_id

    def local_scores(self, ids: npt.NDArray[np.int64], values: Floats) -> npt.NDArray[np.float64]:
        """What the model's own file says, computed here: the reference for what a server says."""
        return self._model.predict(ids, values).astype(np.float64)

    def _scorer(self) -> Scorer:
        if self.reference.backend == "onnx":
            return OnnxScorer(self._model)
        if self.reference.backend == "triton":
            from airflow_provider_mlfeat.serving.triton_scoring import TritonScorer

            return TritonScorer(dict(self.reference.endpoint), has_values=bool(self._model.manifest.values))
        raise UserError(f"unknown backend '{self.reference.backend}'; there is onnx and triton")

    def _replay(self) -> None:
        """The golden rows must come out as in training, wherever the model runs."""
        golden: Any = self._model.golden
        golden.compare(self.scorer.score(golden.ids, golden.values), f"model {self.reference.name}")
