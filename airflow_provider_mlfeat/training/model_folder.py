"""The folder of a trained model: everything that serving, registration and evaluation need, and nothing else.

``model.json`` is written last, so a folder with one is whole. It holds the digest of every other file, the shapes of
inputs and outputs, and what the model was made of; ``fingerprint`` is the identity of what is served (the graph, its
weights, and the encoder), ``recipe`` of what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

MANIFEST = "model.json"
ONNX = "model.onnx"
ONNX_DATA = "model.onnx.data"
PROGRAM = "model.pt2"
GOLDEN = "golden.npz"
GOLDEN_FEATURES = "golden_features.parquet"
METRICS = "metrics.json"
EPOCHS = "epochs.jsonl"
REPORT = "report.html"
MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of the served graph; its first dimension, the rows, is not part of the shape.

    :param name: as in the graph.
    :param dtype: Triton's word: ``INT64`` or ``FP32``.
    :param shape: of one row.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Tensor:
        """A tensor from its JSON form."""
        return cls(document["name"], document["dtype"], tuple(document["shape"]))


def input_tensors(fields: int, values: int) -> tuple[Tensor, ...]:
    """``INPUT_0`` with the ids and ``INPUT_1`` with the values; an input without columns is left out."""
    named = (Tensor("INPUT_0", "INT64", (fields,)), Tensor("INPUT_1", "FP32", (values,)))
    return tuple(tensor for tensor in named if tensor.shape != (0,))


OUTPUT_TENSORS = (Tensor("OUTPUT_0", "FP32", (1,)),)


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """What ``model.json`` says.

    :param kind: ``deepfm``, ``wide_deep``, ``lr``, ``xgboost`` or ``module:package.name:Class``.
    :param fields: name and size (rows of the embedding, row 0 included) of each column of ids, in order.
    :param values: name of each column of values, in order.
    :param hyper_parameters: what the model was made with.
    :param encoder_fingerprint: the encoder whose ids the model understands.
    :param plan_id: what the features mean.
    :param dataset_fingerprint: what the model was trained on.
    :param feature_set: name and version of the features behind the dataset.
    :param metrics: split → metric → value.
    :param rows: split → rows and positives.
    :param inputs: of the graph.
    :param outputs: of the graph; the probability after the sigmoid.
    :param files: SHA-256 of every other file of the folder.
    :param encoder: name of the encoder's file.
    :param recipe: identity of dataset, settings and code: equal recipes need not be trained twice.
    :param fingerprint: identity of what is served.
    :param version: of this document.
    """

    kind: str
    fields: tuple[Mapping[str, Any], ...]
    values: tuple[str, ...]
    hyper_parameters: Mapping[str, Any]
    encoder_fingerprint: str
    plan_id: str | None
    dataset_fingerprint: str
    feature_set: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, float | None]]
    rows: Mapping[str, Mapping[str, int]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...] = OUTPUT_TENSORS
    files: Mapping[str, str] = field(default_factory=dict)
    encoder: str = ""
    recipe: str = ""
    fingerprint: str = ""
    version: int = MANIFEST_VERSION

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of the embedding of each column of ids."""
        return tuple(int(one["size"]) for one in self.fields)


def identity(manifest: ModelManifest) -> str:
    """The fingerprint: of the graph with its weights, its inputs and outputs, the encoder and the plan."""
    served = {name: digest for name, digest in manifest.files.items() if name in (ONNX, ONNX_DATA, manifest.encoder)}
    document = manifest.to_document()
    parts = {name: document[name] for name in ("kind", "inputs", "outputs", "encoder_fingerprint", "plan_id")}
    return files.digest_text(files.canonical_json([parts, served]))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but its manifest."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): files.digest_file(path) for path in sorted(found)}


def read_manifest(folder: Path) -> ModelManifest:
    """The manifest of a model folder; raises UserError for a folder that is none."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        reason = f"it has no {MANIFEST}" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is no model folder: {reason}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    version = document.get("version") if isinstance(document, dict) else None
    if version != MANIFEST_VERSION:
        raise UserError(f"{path} has version {version}, and this release reads {MANIFEST_VERSION}")
    try:
        tensors = {name: tuple(Tensor.of(one) for one in document[name]) for name in ("inputs", "outputs")}
        parts = {"fields": tuple(document["fields"]), "values": tuple(document["values"])}
        return ModelManifest(**{**document, **tensors, **parts})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no model manifest: {error}") from None


def find_recipe(folders: Sequence[Path], recipe: str) -> Path | None:
    """The first of some folders that holds a whole model of a recipe."""
    for folder in folders:
        if (folder / MANIFEST).exists() and read_manifest(folder).recipe == recipe:
            return folder
    return None
