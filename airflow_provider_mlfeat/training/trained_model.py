"""A trained model from its folder, ready to score: the same graph that serving runs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.golden import Golden
from airflow_provider_mlfeat.training.model_folder import GOLDEN, ONNX, ModelManifest, identity, read_manifest

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.encoder import Encoder

_BATCH = 8192


class TrainedModel:
    """A model folder.

    :param folder: where it is.
    :param manifest: what its ``model.json`` says.
    :param threads: of a prediction; 0 takes what the machine has.
    """

    def __init__(self, folder: Path, manifest: ModelManifest, threads: int = 0) -> None:
        self.folder = folder
        self.manifest = manifest
        self._threads = threads

    @classmethod
    def open(cls, folder: str | Path, *, threads: int = 0) -> TrainedModel:
        """The model in a folder; raises UserError where there is none."""
        place = local_folder(folder, "model")
        return cls(place, read_manifest(place), threads)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder whose ids the model understands."""
        from airflow_provider_mlfeat.dataset.encoder import Encoder

        encoder = Encoder.load(self.folder / self.manifest.encoder)
        if encoder.fingerprint != self.manifest.encoder_fingerprint:
            raise UserError(
                f"{self.folder}: the encoder's fingerprint is {encoder.fingerprint[:12]}, and the model was trained "
                f"with {self.manifest.encoder_fingerprint[:12]}"
            )
        return encoder

    @cached_property
    def golden(self) -> Golden:
        """The rows with known outputs."""
        return Golden.load(self.folder / GOLDEN)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        return ort.InferenceSession(str(self.folder / ONNX), options, providers=["CPUExecutionProvider"])

    def predict(self, ids: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Probabilities of rows, from ids [rows, n] and values [rows, m]."""
        wanted = (len(self.manifest.fields), len(self.manifest.values))
        if (ids.shape[1], values.shape[1]) != wanted:
            raise UserError(
                f"the model takes {wanted[0]} ids and {wanted[1]} values per row, and got {ids.shape[1]} and "
                f"{values.shape[1]}"
            )
        scores = np.empty(len(ids), dtype=np.float32)
        given = {"INPUT_0": (ids, np.int64), "INPUT_1": (values, np.float32)}
        for start in range(0, len(ids), _BATCH):
            rows = slice(start, start + _BATCH)
            feed = {
                tensor.name: np.ascontiguousarray(given[tensor.name][0][rows], dtype=given[tensor.name][1])
                for tensor in self.manifest.inputs
            }
            scores[rows] = self._session.run(["OUTPUT_0"], feed)[0][:, 0]
        return scores

    def check(self) -> float:
        """Verify every file's digest and the golden rows; the largest difference of an output.

        Raises UserError that names what is missing, changed or wrong.
        """
        for name, digest in self.manifest.files.items():
            path = self.folder / name
            if not path.is_file():
                raise UserError(f"{self.folder}: {name} is missing")
            if files.digest_file(path) != digest:
                raise UserError(f"{self.folder}: {name} is not what was written (its digest differs)")
        if identity(self.manifest) != self.manifest.fingerprint:
            raise UserError(f"{self.folder}: the manifest's fingerprint is not that of its contents")
        golden = self.golden
        return golden.compare(self.predict(golden.ids, golden.values), str(self.folder / ONNX))


def local_folder(place: str | Path, what: str) -> Path:
    """A folder of this machine, or one mounted here; raises UserError for an object store."""
    text = str(place)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if "://" in text:
        raise UserError(f"{what} '{place}' is in an object store: give a local or mounted folder")
    if not text:
        raise UserError(f"no {what} folder is given")
    return Path(text).absolute()
