"""A trained model's folder, as much of it as serving needs: what goes in and out, which files, and golden rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.serving.triton.configuration import Tensor

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.triton.tensors import Array

MANIFEST = "model.json"
GOLDEN_INPUTS = {"INPUT_0": "ids", "INPUT_1": "values", "FEATURES": "features"}
# The kind of a model that encodes raw features inside the server.
RAW_FEATURES = "raw_features"
# What a server needs of each kind of backend; of ONNX models also the files with weights beside them.
_FILES = {"python": ("model.onnx", "golden.npz"), "onnxruntime": ("model.onnx",), "pytorch": ("model.pt",)}
_FRONT_FILES = ("front.json", "encoder.bin", "encoder_code.zip", "golden.npz")
_BACKEND_FILES = Path(__file__).parent / "python_backend"


@dataclass(frozen=True)
class ServedModel:
    """A model folder that is to be served.

    :param folder: the folder.
    :param manifest: its ``model.json``.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, location: str) -> ServedModel:
        """Open a model folder.

        :param location: path of the folder, or its ``file://`` address.
        :raises UserError: there is no model, or not one that can be served.
        """
        path = location.removeprefix("file://")
        if "://" in path:
            raise UserError(f"a model is read from a local or mounted folder, not from '{location}'")
        folder = Path(path).absolute()
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"'{folder}' holds no model: it has no {MANIFEST}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{folder / MANIFEST} cannot be read: {error}") from None
        missing = [name for name in ("fingerprint", "inputs", "outputs", "files") if name not in manifest]
        if missing:
            raise UserError(f"{folder / MANIFEST} lacks {', '.join(missing)}")
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """What the model is, in one number."""
        return str(self.manifest["fingerprint"])

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes."""
        return _tensors(self.manifest["inputs"])

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives."""
        return _tensors(self.manifest["outputs"])

    @property
    def backend_file(self) -> Path:
        """What runs it inside the python backend."""
        return _BACKEND_FILES / ("raw_features.py" if self.manifest.get("kind") == RAW_FEATURES else "model.py")

    def files_for(self, backend: str) -> dict[str, Path]:
        """The files that a server needs, by name.

        :param backend: which backend serves it.
        :raises UserError: the model lacks one.
        """
        names = list(_FRONT_FILES if self.manifest.get("kind") == RAW_FEATURES else _FILES[backend])
        if "model.onnx" in names:
            names += [name for name in self.manifest["files"] if name.startswith("model.onnx") and name not in names]
        found = {name: self.folder / name for name in names}
        for name, path in found.items():
            if not path.is_file():
                raise UserError(f"'{self.folder}' has no {name}, which Triton's {backend} backend needs")
        return found

    def require_intact(self, name: str, path: Path) -> None:
        """A copy of one of its files is what the manifest says.

        :param name: the file's name in the model.
        :param path: the copy.
        """
        expected = self.manifest["files"].get(name)
        if expected is None:
            raise UserError(f"{self.folder / MANIFEST} does not name {name}")
        if files.digest_file(path) != expected:
            raise UserError(f"{self.folder / name} is not the file that its manifest describes: train or fetch it anew")

    def golden_rows(self) -> GoldenRows:
        """Rows with the answers that the model gave when it was made."""
        import numpy as np

        path = self.folder / "golden.npz"
        try:
            with np.load(path, allow_pickle=False) as golden:
                inputs = {
                    tensor.name: np.ascontiguousarray(golden[GOLDEN_INPUTS[tensor.name]]) for tensor in self.inputs
                }
                outputs = np.asarray(golden["outputs"], dtype=np.float32).reshape(-1)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"the golden rows {path} cannot be read: {error}") from None
        if not len(outputs):
            raise UserError(f"{path} holds no golden rows: nothing would prove that the server answers right")
        return GoldenRows(inputs, outputs)


@dataclass(frozen=True)
class GoldenRows:
    """Rows and the answers to expect.

    :param inputs: tensors by name.
    :param outputs: one answer per row.
    """

    inputs: dict[str, Array]
    outputs: Array

    def __len__(self) -> int:
        return len(self.outputs)

    def row(self, number: int) -> dict[str, Array]:
        """The tensors of one row.

        :param number: which row, counted around.
        """
        place = number % len(self)
        return {name: tensor[place : place + 1] for name, tensor in self.inputs.items()}


def _tensors(documents: list[dict[str, Any]]) -> tuple[Tensor, ...]:
    return tuple(Tensor(str(entry["name"]), str(entry["dtype"]), tuple(entry["shape"])) for entry in documents)
