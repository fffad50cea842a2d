"""Encodes raw features inside Triton's python backend, and asks the same version of the model for the answer.

This file is copied into each version's folder and runs in the server's own environment, with numpy, pyarrow and xxhash.
The encoder's code lies beside it, as it was when the version was written. A version whose encoder gives other ids than
were stored with the model does not load.
"""

from __future__ import annotations

import datetime
import importlib
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

FEATURES, OUTPUT = "FEATURES", "OUTPUT_0"


class TritonPythonModel:
    """One instance of one version."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the encoder, and compare what it makes of the golden rows.

        :param arguments: what Triton tells: the model's folder, its version and its configuration.
        """
        if int(np.__version__.partition(".")[0]) >= 2:
            raise triton.TritonModelException(f"numpy {np.__version__} is in the model's environment; it needs numpy<2")
        folder = Path(arguments["model_repository"]) / arguments["model_version"]
        described = json.loads((folder / "front.json").read_text(encoding="utf-8"))
        self.model, self.version = described["asks"], int(arguments["model_version"])
        self.inputs = described["inputs"]
        # Modules of a zip file are compiled in memory: nothing is written beside the version.
        sys.path.insert(0, str(folder / "encoder_code.zip"))
        package = importlib.import_module(f"{described['package']}.dataset.encoder")
        self.error = importlib.import_module(f"{described['package']}.errors").UserError
        self.encoder = package.Encoder.load(folder / "encoder.bin")
        self.readers = {name: _READERS[kind.partition("(")[0]] for name, kind in self.encoder.columns.items()}
        self._encode_golden_rows(folder / "golden.npz")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests; one that does not fit gets an error of its own.

        :param requests: requests of one or more rows each.
        """
        responses: list[Any] = [None] * len(requests)
        fitting: list[tuple[int, Any, Any]] = []
        for place, request in enumerate(requests):
            try:
                rows = triton.get_input_tensor_by_name(request, FEATURES).as_numpy().reshape(-1)
                fitting.append((place, *self._encode(rows)))
            except (self.error, ValueError, TypeError, AttributeError, RecursionError) as error:
                responses[place] = triton.InferenceResponse([], triton.TritonError(str(error) or repr(error)))
        if not fitting:
            return responses
        ids = np.concatenate([encoded[1] for encoded in fitting])
        values = np.concatenate([encoded[2] for encoded in fitting])
        scores, problem = self._ask(ids, values)
        start = 0
        for place, rows, _ in fitting:
            end = start + len(rows)
            if problem is None:
                tensor = triton.Tensor(OUTPUT, np.ascontiguousarray(scores[start:end]))
                responses[place] = triton.InferenceResponse([tensor])
            else:
                responses[place] = triton.InferenceResponse([], triton.TritonError(problem))
            start = end
        return responses

    def _encode(self, rows: Any) -> tuple[Any, Any]:
        encoded = [self.encoder.encode_row(self._row(text)) for text in rows]
        return np.stack([row.ids for row in encoded]), np.stack([row.values for row in encoded])

    def _row(self, text: bytes) -> dict[str, Any]:
        """A row as the encoder takes it: JSON has no points in time and no decimals, so these come as text."""
        try:
            row = json.loads(text)
        except ValueError as error:
            raise ValueError(f"a row is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"a row is a JSON object with the features by name, not {str(row)[:60]}")
        missing = [name for name in self.readers if name not in row]
        if missing:
            raise ValueError(f"the row lacks column '{missing[0]}', which the encoder reads")
        return {name: _read(name, row[name], read) for name, read in self.readers.items()}

    def _ask(self, ids: Any, values: Any) -> tuple[Any, str | None]:
        """The scores of encoded rows, from the version that was trained with this encoder."""
        tensors = {"INPUT_0": np.ascontiguousarray(ids, np.int64), "INPUT_1": np.ascontiguousarray(values, np.float32)}
        inputs = [triton.Tensor(name, tensors[name]) for name in self.inputs]
        request = triton.InferenceRequest(
            model_name=self.model, model_version=self.version, requested_output_names=[OUTPUT], inputs=inputs
        )
        answer = request.exec()
        if answer.has_error():
            return None, answer.error().message()
        return triton.get_output_tensor_by_name(answer, OUTPUT).as_numpy(), None

    def _encode_golden_rows(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as golden:
            ids, values = self._encode(golden["features"].reshape(-1))
            if not (np.array_equal(ids, golden["ids"]) and np.array_equal(values, golden["values"])):
                raise triton.TritonModelException("the encoder makes other ids of the golden rows than were stored")


def _read(name: str, value: Any, read: Any) -> Any:
    if value is None or read is None:
        return value
    try:
        return read(value)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"column '{name}': {value!r} cannot be read: {error}") from None


def _moment(value: Any) -> Any:
    """Milliseconds since 1970, or a text."""
    return datetime.datetime.fromisoformat(value) if isinstance(value, str) else value


def _date(value: Any) -> Any:
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value


def _decimal(value: Any) -> Any:
    return Decimal(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


# By the encoder's names of types; None takes the value as JSON gives it.
_READERS: dict[str, Any] = {
    **dict.fromkeys(("string", "bool", "int", "float32", "float64")),
    "timestamp": _moment,
    "date": _date,
    "decimal": _decimal,
}
